import { join } from 'node:path'
import { compare, type Row, type Subject } from '../rounds.ts'
import { root, startGateway } from '../servers.ts'
import { onStage } from './stage.ts'
import type { Workload } from './workload.ts'

export const scale: Workload = {
  name: 'scale',
  title: 'Scale on one node',
  about:
    'One worker against two, answered by the gateway itself (request-termination), so that no origin takes a core; workers may use every core, the generator has its own or shares it. Efficiency is processor time per request with one worker by that with two: what is lost by the workers being two. "per core" is what a core full of it could do.',
  minutes: 0.5,
  run: ({ plan, choice, step }) =>
    onStage(async ({ hold }) => {
      const config = join(root, 'bench/configs/answer.yaml')
      const subjects: Subject[] = []
      for (const workers of [1, 2]) {
        const proxy = hold(await startGateway(config, 0, {}, null, [], { workers, core: null }))
        subjects.push({ ...proxy, name: `sluice, ${workers} worker${workers === 1 ? '' : 's'}` })
      }
      const found = await compare('Workers', subjects, plan, step, { choice })
      const groups = found.map((group) => {
        const alone = group.rows[0] as Row
        const rows = group.rows.map((row) => ({
          ...row,
          figures: { efficiency: alone.processorTime / row.processorTime, 'per core': 1e6 / row.processorTime },
        }))
        return { ...group, rows }
      })
      return { groups }
    }),
}
