import { originDead, redisFrozen, slowClients, workerKilled } from '../disturbance.ts'
import type { Scenario } from '../scenario.ts'

/** One mishap after the other, with time in between to be well again. */
export const chaos: Scenario = {
  name: 'chaos',
  proves:
    'a crash or a stall of a worker, of Redis or of a service costs the requests that it held and hardly any other, and passes',
  seconds: 60,
  quickSeconds: 8,
  share: 0.35,
  kinds: ['usual'],
  origins: 2,
  globalLimit: null,
  phases: [{ name: 'chaos', part: 1, from: 1 }],
  disturbances: [
    { ...workerKilled, from: 0.12, to: 0.12 },
    { ...redisFrozen, from: 0.32, to: 0.42 },
    { ...originDead, from: 0.55, to: 0.65 },
    { ...slowClients, from: 0.78, to: 0.88 },
  ],
}
