import { join } from 'node:path'
import { prepareFullChain } from '../fullchain.ts'
import { startSluice } from '../peers/sluice.ts'
import { compare, type Subject } from '../rounds.ts'
import { root, startGateway } from '../servers.ts'
import { onStage } from './stage.ts'
import type { Workload } from './workload.ts'

export const fullchain: Workload = {
  name: 'fullchain',
  title: 'Full chain',
  about:
    'A thousand callers with an RS256 token each: verified, counted by a sliding window per consumer (of Redis, or of the node), identity fields added, the token taken away, an access log line written, metrics. Peers do of it what stands below.',
  minutes: 3,
  run: ({ plan, choice, peers, quick, step }) =>
    onStage(async ({ origin, hold, started }) => {
      const { folder, credentials, stores, env } = await prepareFullChain(started, quick ? 10 : 1000)
      const [credential] = credentials as [string]
      const subjects: Subject[] = []
      for (const store of stores) {
        const config = join(root, 'bench/configs/fullchain.yaml')
        const proxy = hold(await startGateway(config, origin.port, env(store), credential))
        subjects.push({ ...proxy, name: `sluice, ${store}` })
      }
      subjects.push({ ...hold(await startSluice({ origin: origin.port })), name: 'sluice, pass-through' })
      const notes =
        stores[0] === 'node' ? ['Without redis-server (apt-get install redis-server) only the node counts.'] : []
      for (const peer of peers) {
        notes.push(`${peer.name}: ${peer.chain ?? 'can do nothing of it, so left out'}.`)
        if (peer.chain === null) continue
        subjects.push(hold(await peer.start({ origin: origin.port, chain: { folder, credential } })))
      }
      const groups = await compare('Full chain', subjects, { ...plan, credentials }, step, { choice, both: true })
      return { groups, notes }
    }),
}
