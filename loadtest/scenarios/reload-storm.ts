import { reloads } from '../disturbance.ts'
import type { Scenario } from '../scenario.ts'

/**
 * Another configuration every second: routes come and go, limits change, and every fifth file has a fault. Each answer says which
 * configuration it went through, so that one of a configuration that was no longer in force, or not yet, counts as wrong.
 */
export const reloadStorm: Scenario = {
  name: 'reload-storm',
  proves: 'reloads cost no request, hold on all workers at once, and a faulty file changes nothing',
  seconds: 30,
  quickSeconds: 4.8,
  share: 0.35,
  kinds: ['usual', 'even'],
  origins: 1,
  globalLimit: null,
  phases: [
    { name: 'storm', part: 0.85, from: 1 },
    { name: 'after', part: 0.15, from: 1 },
  ],
  disturbances: [{ ...reloads, from: 0, to: 0.85 }],
}
