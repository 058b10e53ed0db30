import type { Happened } from '../disturbance.ts'
import type { Tally } from '../load/tally.ts'
import type { Sample } from '../report/proc.ts'
import type { PlannedPhase } from '../scenario.ts'

/** Everything that was seen of a run. What could not be seen is `null`. */
export interface RunRecord {
  readonly phases: readonly RecordedPhase[]
  /** What happened from slice to slice, since the begin. */
  readonly slices: readonly Tally[]
  readonly samples: readonly Sample[]
  readonly happened: readonly Happened[]
  readonly reloads: readonly { readonly took: number; readonly asExpected: boolean }[]
  readonly writes: { readonly count: number; readonly repeated: number } | null
  readonly exitCode: number | string | null
  /** What the consumer `trial` may have been given at most, by the clock's seconds that the load touched. */
  readonly trialMost: number | null
  /** Requests a second that the gateway was found to answer when asked as fast as it answers. */
  readonly capacity: number | null
}

export interface RecordedPhase extends PlannedPhase {
  /** Of the requests that were due in it. */
  readonly tally: Tally
}
