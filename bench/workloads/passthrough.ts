import { startSluice } from '../peers/sluice.ts'
import { compare, type Subject } from '../rounds.ts'
import { onStage } from './stage.ts'
import type { Workload } from './workload.ts'

export const passthrough: Workload = {
  name: 'passthrough',
  title: 'Pass-through',
  about:
    'One route, one upstream, a small JSON answer, no plugins, no access log; X-Forwarded-*, and a request id are added by all. Sluice counts its metrics as always. With pipelining it sends up to 16 safe requests over one connection to a trusted upstream.',
  minutes: 3,
  run: ({ plan, choice, peers, step }) =>
    onStage(async ({ origin, hold }) => {
      const setup = { origin: origin.port }
      const subjects: Subject[] = [
        hold(await startSluice(setup)),
        { ...hold(await startSluice(setup, { BENCH_PIPELINING: '16' })), name: 'sluice, pipelining' },
      ]
      for (const peer of peers) subjects.push(hold(await peer.start(setup)))
      return { groups: await compare('Pass-through', subjects, plan, step, { choice, both: true }) }
    }),
}
