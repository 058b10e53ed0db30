import { largestResident } from '../processes.ts'
import { compare } from '../rounds.ts'
import { onStage, startAll } from './stage.ts'
import type { Workload } from './workload.ts'

export const slow: Workload = {
  name: 'slow',
  title: 'Slow upstream',
  about:
    'The upstream answers after 100 ms, 2,000 requests are in flight: at most 20,000 a second are possible. What counts is how little the wait grows, and what it costs in memory and processor time.',
  minutes: 1.5,
  run: ({ plan, choice, peers, quick, step }) =>
    onStage(async (stage) => {
      const connections = quick ? 200 : 2000
      const subjects = await startAll(stage, peers, { origin: stage.origin.port, kept: 4096 })
      const found = await compare('100 ms', subjects, { ...plan, connections, paths: ['/api/slow'] }, step, { choice })
      const groups = found.map((group) => ({
        ...group,
        rows: group.rows.map((row, i) => ({
          ...row,
          figures: { 'RSS MB': largestResident(subjects[i]?.started.process.pid as number) / 1e6 },
        })),
      }))
      return { groups }
    }),
}
