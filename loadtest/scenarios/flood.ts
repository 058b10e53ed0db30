import type { Scenario } from '../scenario.ts'

/** Two forged tokens, no two of them alike, beside each good request. */
export const flood: Scenario = {
  name: 'flood',
  proves: 'forged tokens are all refused, and whoever has a good one hardly notices the flood',
  seconds: 30,
  quickSeconds: 3,
  share: 0.2,
  kinds: ['usual', 'forged'],
  origins: 1,
  globalLimit: null,
  phases: [
    { name: 'before', part: 0.3, from: 1 },
    { name: 'flood', part: 0.45, from: 3 },
    { name: 'after', part: 0.25, from: 1 },
  ],
  disturbances: [],
}
