import type { Scenario } from '../scenario.ts'

/** The everyday load, and before it the same load past the gateway: the difference is what the gateway costs. */
export const steady: Scenario = {
  name: 'steady',
  proves:
    'at half of its capacity the gateway answers everything, correctly and soon, and adds little to the time of the service',
  seconds: 30,
  quickSeconds: 2.4,
  share: 0.5,
  kinds: ['usual'],
  origins: 1,
  globalLimit: null,
  phases: [
    { name: 'direct', part: 0.2, from: 1, direct: true },
    { name: 'steady', part: 0.8, from: 1 },
  ],
  disturbances: [],
}
