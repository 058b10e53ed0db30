import { floodText, runFlood } from '../flood.ts'
import type { Workload } from './workload.ts'

export const flood: Workload = {
  name: 'flood',
  title: 'A flood of bad tokens',
  about:
    'How long callers with good tokens wait while others send tokens with bad signatures, each of them new, as fast as they can.',
  minutes: 3,
  extra: true,
  async run({ plan, step }) {
    const rows = await runFlood(plan, (text) => step(0.5, text.trim()))
    return { groups: [], data: rows, text: floodText(rows) }
  },
}
