import { bodies } from './bodies.ts'
import { budget } from './budget.ts'
import { flood } from './flood.ts'
import { fullchain } from './fullchain.ts'
import { idle } from './idle.ts'
import { jwt } from './jwt.ts'
import { latency } from './latency.ts'
import { micro } from './micro.ts'
import { passthrough } from './passthrough.ts'
import { plugins } from './plugins.ts'
import { routes } from './routes.ts'
import { scale } from './scale.ts'
import { slow } from './slow.ts'
import { soak } from './soak.ts'
import { tls } from './tls.ts'
import type { Workload } from './workload.ts'

/** Everything that can be measured, in the order in which it is. */
export const workloads: readonly Workload[] = [
  passthrough,
  fullchain,
  routes,
  bodies,
  tls,
  idle,
  slow,
  plugins,
  scale,
  latency,
  budget,
  soak,
  micro,
  jwt,
  flood,
]
