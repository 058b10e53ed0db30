import type { Scenario } from '../scenario.ts'

/**
 * To three times the usual load and back. The gateway is told to let twice the usual load through: what is beyond must be refused
 * at once and with 429, so that what is let through is answered as ever.
 */
export const spike: Scenario = {
  name: 'spike',
  proves:
    'three times the load is let through as far as it is allowed and refused beyond, at once; afterwards all is as before',
  seconds: 40,
  quickSeconds: 4.4,
  share: 0.28,
  kinds: ['usual'],
  origins: 1,
  globalLimit: 2,
  phases: [
    { name: 'before', part: 0.25, from: 1 },
    { name: 'rise', part: 0.05, from: 1, to: 3 },
    { name: 'spike', part: 0.35, from: 3 },
    { name: 'fall', part: 0.1, from: 3, to: 1 },
    { name: 'after', part: 0.25, from: 1 },
  ],
  disturbances: [],
}
