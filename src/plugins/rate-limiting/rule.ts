import type { AccessContext } from '../../core/context.ts'
import { type Rejection, reject } from '../../core/errors.ts'
import type { Counter, Instruments, Ranking } from '../../core/services/instruments.ts'
import type { Admission, Limit } from '../../core/services/limits.ts'
import { calendarOf } from './calendar.ts'
import { capacityOf } from './headers.ts'
import { compileKey, encode, type Key, type KeyPlace } from './key.ts'
import type { LimitRule } from './limit.ts'
import { Refusals } from './refusal.ts'
import type { Config } from './schema.ts'

/** Where a rule stands, and where it counts what it did. */
export interface RulePlace extends KeyPlace {
  /** Rules of the same scope count together. */
  readonly scope: string
  readonly instruments: Instruments
  /** What metrics call the route. */
  readonly routeLabel: string
}

const unavailable = reject('limits_unavailable', { headers: ['retry-after', '1'] })

/** The limits that a request meets together, ready to be checked. */
export class Rule {
  readonly limits: readonly Limit[]
  readonly costs: readonly number[]
  /** What an admission must be released for. */
  readonly hasSlots: boolean
  readonly #keys: readonly Key[]
  /** The keys, where they are the same for all requests. */
  readonly #sameKeys: readonly string[] | null
  readonly #outcomes: readonly Outcome[]

  constructor(rules: readonly LimitRule[], config: Config, place: RulePlace) {
    this.limits = rules.map((rule) => limitOf(rule, place))
    this.costs = rules.map(({ cost }) => cost)
    this.hasSlots = rules.some(({ algorithm }) => algorithm === 'concurrency')
    this.#keys = rules.map((rule) => compileKey(rule, place))
    const same = this.#keys.filter((key) => typeof key === 'string')
    this.#sameKeys = same.length === rules.length ? same : null
    this.#outcomes = rules.map((rule, i) => new Outcome(rule, this.limits[i] as Limit, config, place))
  }

  /** The keys of a request, in the order of the limits. */
  keysOf(ctx: AccessContext): readonly string[] {
    if (this.#sameKeys !== null) return this.#sameKeys
    const keys: string[] = []
    for (let i = 0; i < this.#keys.length; i++) {
      const key = this.#keys[i] as Key
      keys.push(typeof key === 'string' ? key : key(ctx))
    }
    return keys
  }

  /** Counts what became of a request; its refusal, if it was refused. */
  settle(admission: Admission): Rejection | undefined {
    const outcomes = this.#outcomes
    for (let i = 0; i < outcomes.length; i++) (outcomes[i] as Outcome).count(admission, i)
    if (admission.admitted) return undefined
    return admission.refusedBy === -1 ? unavailable : (outcomes[admission.refusedBy] as Outcome).refusal(admission)
  }
}

/** What comes of one limit: its refusals and its figures. */
class Outcome {
  readonly #refusals: Refusals
  readonly #checks: Counter
  readonly #refused: Counter
  readonly #wouldRefuse: Counter
  readonly #busiest: Ranking | null
  readonly #capacity: number

  constructor(rule: LimitRule, limit: Limit, { message, status, body, store }: Config, place: RulePlace) {
    const { instruments, routeLabel } = place
    const labels = ['route', routeLabel, 'limit', rule.name]
    this.#refusals = new Refusals({ status, message: rule.message ?? message, body })
    this.#checks = instruments.counter('sluice_limit_checks_total', 'Requests that a limit was asked about.', labels)
    this.#refused = instruments.counter('sluice_limit_refusals_total', 'Requests that a limit refused.', labels)
    this.#wouldRefuse = instruments.counter(
      'sluice_limit_would_refuse_total',
      'Requests that a limit would have refused, were it not in observe mode.',
      labels,
    )
    // What the primary counts for its workers, it ranks by itself.
    this.#busiest = store === 'redis' ? instruments.ranking('limits', labels) : null
    this.#capacity = capacityOf(limit)
  }

  count(admission: Admission, index: number): void {
    const isRefused = admission.refusedBy === index
    this.#checks.add(1)
    if (isRefused) this.#refused.add(1)
    if (((admission.wouldRefuse >>> index) & 1) === 1) this.#wouldRefuse.add(1)
    if (this.#busiest === null || admission.decidedBy !== 'store') return
    const used = 1 - (admission.remaining[index] as number) / this.#capacity
    this.#busiest.note(admission.keys[index] as string, isRefused ? 1 : used, isRefused)
  }

  refusal({ retryAfter }: Admission): Rejection {
    return this.#refusals.after(retryAfter)
  }
}

function limitOf(rule: LimitRule, { scope }: RulePlace): Limit {
  const { name, algorithm, limit, window, calendar, burst, nodelay, observe, tier } = rule
  // Those of a tier have terms of their own, so that they count for themselves.
  const owner = tier === '' ? encode(scope) : `${encode(scope)}/${encode(tier)}`
  return {
    name: `${owner}/${name}`,
    algorithm,
    limit,
    window,
    burst,
    nodelay,
    calendar: calendar === null ? null : calendarOf(calendar.unit, calendar.time_zone),
    observe,
  }
}
