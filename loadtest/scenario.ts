import type { Disturbance } from './disturbance.ts'
import type { KindName } from './kinds.ts'
import type { JobPhase } from './load/job.ts'

/** A stretch of a scenario. */
export interface Phase {
  readonly name: string
  /** Share of the scenario's seconds. */
  readonly part: number
  /** Load as a multiple of the scenario's rate. */
  readonly from: number
  /** At its end; as at its begin unless said. */
  readonly to?: number
  /** Past the gateway, to compare with. */
  readonly direct?: boolean
}

/** A load test: what it starts, load over time, what disturbs it. What must hold then stands in objectives.yaml. */
export interface Scenario {
  readonly name: string
  /** One line. */
  readonly proves: string
  readonly seconds: number
  /** With `--smoke`. */
  readonly smokeSeconds: number
  /** Its rate, as a share of what the gateway was found to do, unless a rate is given. */
  readonly share: number
  readonly kinds: readonly KindName[]
  /** Processes behind the gateway. */
  readonly origins: number
  /** Requests a second that the gateway lets through, as a multiple of the rate; `null`: all. */
  readonly globalLimit: number | null
  readonly phases: readonly Phase[]
  readonly disturbances: readonly Disturbance[]
}

/** A phase with its place in time. Seconds from the begin of the load. */
export interface PlannedPhase extends JobPhase {
  readonly begin: number
  readonly end: number
  readonly direct: boolean
  /** Whether it counts: the warm-up does not. */
  readonly measured: boolean
}

export interface Timing {
  readonly seconds: number
  /** Requests a second. */
  readonly rate: number
  /** Seconds before what is measured. */
  readonly warmUp: number
}

export const warmUpName = 'warm-up'

/** The phases of a scenario in time. Without an origin of one's own, nothing can go past the gateway. */
export function planOf({ phases }: Scenario, { seconds, rate, warmUp }: Timing, hasOrigin: boolean): PlannedPhase[] {
  const kept = phases.filter(({ direct }) => hasOrigin || direct !== true)
  const parts = kept.reduce((sum, { part }) => sum + part, 0)
  const first = kept.find(({ direct }) => direct !== true)?.from ?? 1
  let end = 0
  return [{ name: warmUpName, seconds: warmUp, from: first, measured: false }, ...kept].map((phase) => {
    const begin = end
    const length = 'part' in phase ? (phase.part / parts) * seconds : phase.seconds
    end += length
    const direct = 'direct' in phase && phase.direct === true
    return {
      name: phase.name,
      seconds: length,
      from: phase.from * rate,
      to: ('to' in phase && phase.to !== undefined ? phase.to : phase.from) * rate,
      target: direct ? 'origin' : 'gateway',
      begin,
      end,
      direct,
      measured: 'part' in phase,
    }
  })
}
