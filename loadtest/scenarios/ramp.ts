import type { Scenario } from '../scenario.ts'

/** Up in steps, to where it begins to hurt: the last step that is answered soon is what the node sustains. */
export const ramp: Scenario = {
  name: 'ramp',
  proves: 'the gateway keeps its latency up to a high share of its capacity, and loses nothing beyond',
  seconds: 40,
  quickSeconds: 2.4,
  share: 0.96,
  kinds: ['usual'],
  origins: 1,
  globalLimit: null,
  phases: Array.from({ length: 8 }, (_, i) => ({ name: `step ${i + 1}`, part: 1 / 8, from: (i + 1) / 8 })),
  disturbances: [],
}
