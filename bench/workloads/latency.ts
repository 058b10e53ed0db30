import { latencyText, runLatency } from '../latency.ts'
import type { Workload } from './workload.ts'

export const latency: Workload = {
  name: 'latency',
  title: 'Latency',
  about:
    'What is added to a direct call at half and at four fifths of the maximum, in an open loop that is corrected for coordinated omission.',
  minutes: 7,
  extra: true,
  async run({ plan, step }) {
    const report = await runLatency(plan, (text) => step(0.5, text.trim()))
    return { groups: [], data: report, text: latencyText(report) }
  },
}
