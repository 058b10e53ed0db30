import type { Admission, Limit, LimitStore } from '../../core/services/limits.ts'
import type { Decision, Slot } from './batch.ts'

/** What the store said. */
export class StoreAdmission implements Admission {
  readonly admitted: boolean
  readonly refusedBy: number
  readonly remaining: readonly number[]
  readonly resetAt: readonly number[]
  readonly retryAfter: number
  readonly delay: number
  readonly wouldRefuse: number
  readonly decidedBy = 'store'
  readonly limits: readonly Limit[]
  readonly keys: readonly string[]
  previous: Admission | null = null
  /** What `release` gives back; `null`: nothing. */
  slots: readonly Slot[] | null

  constructor(
    decision: Omit<Decision, 'slot' | 'now' | 'receipts'>,
    limits: readonly Limit[],
    keys: readonly string[],
    slots: readonly Slot[] | null,
  ) {
    this.admitted = decision.refusedBy === -1
    this.refusedBy = decision.refusedBy
    this.remaining = decision.remaining
    this.resetAt = decision.resetAt
    this.retryAfter = decision.retryAfter
    this.delay = decision.delay
    this.wouldRefuse = decision.wouldRefuse
    this.limits = limits
    this.keys = keys
    this.slots = slots
  }
}

/** Milliseconds after which it makes sense to ask a store again that could not say. */
const pause = 1000

/** What `on_store_error` decides by itself: to refuse nothing, or everything. */
export function presumed(decidedBy: 'allow' | 'deny', limits: readonly Limit[], keys: readonly string[]): Admission {
  const now = Date.now()
  const admitted = decidedBy === 'allow'
  return {
    admitted,
    refusedBy: -1,
    remaining: limits.map(({ limit }) => (admitted ? limit : 0)),
    resetAt: limits.map(() => now),
    retryAfter: admitted ? 0 : pause,
    delay: 0,
    wouldRefuse: 0,
    decidedBy,
    limits,
    keys,
    previous: null,
  }
}

/** What the counters of the node said in place of the store. */
export class NodeAdmission implements Admission {
  readonly admitted: boolean
  readonly refusedBy: number
  readonly remaining: readonly number[]
  readonly resetAt: readonly number[]
  readonly retryAfter: number
  readonly delay: number
  readonly wouldRefuse: number
  readonly decidedBy = 'node'
  readonly limits: readonly Limit[]
  readonly keys: readonly string[]
  previous: Admission | null = null
  readonly #store: LimitStore
  readonly #admission: Admission

  constructor(store: LimitStore, admission: Admission) {
    this.#store = store
    this.#admission = admission
    this.admitted = admission.admitted
    this.refusedBy = admission.refusedBy
    this.remaining = admission.remaining
    this.resetAt = admission.resetAt
    this.retryAfter = admission.retryAfter
    this.delay = admission.delay
    this.wouldRefuse = admission.wouldRefuse
    this.limits = admission.limits
    this.keys = admission.keys
  }

  release(): void {
    this.#store.release(this.#admission)
  }
}
