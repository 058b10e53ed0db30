import type { Scenario } from '../scenario.ts'
import { chaos } from './chaos.ts'
import { flood } from './flood.ts'
import { ramp } from './ramp.ts'
import { reloadStorm } from './reload-storm.ts'
import { soak } from './soak.ts'
import { spike } from './spike.ts'
import { steady } from './steady.ts'

export const scenarios: readonly Scenario[] = [steady, ramp, spike, soak, reloadStorm, chaos, flood]
