import type { Scenario } from '../scenario.ts'

/** The everyday load for a long time: `--seconds 86400` for a day. */
export const soak: Scenario = {
  name: 'soak',
  proves: 'memory, open files and latency stay where they are',
  seconds: 600,
  quickSeconds: 2.4,
  share: 0.4,
  kinds: ['usual'],
  origins: 1,
  globalLimit: null,
  phases: [{ name: 'soak', part: 1, from: 1 }],
  disturbances: [],
}
