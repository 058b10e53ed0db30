export type LimitAlgorithm =
  | 'fixed_window'
  | 'sliding_window'
  | 'sliding_log'
  | 'token_bucket'
  | 'leaky_bucket'
  | 'concurrency'

/** One limit, ready to be checked; made at compile. The key says whose counter it is. */
export interface Limit {
  /**
   * Names it among all limits of the gateway, the same over reloads: what its counters are kept under. Limits of the same name
   * have the same terms, but for those of a snapshot before. `titleOf` is what people call it.
   */
  readonly name: string
  readonly algorithm: LimitAlgorithm
  /** Requests (or their cost) per window; for `concurrency` those in flight. */
  readonly limit: number
  /** Milliseconds. For `concurrency`: after so long a slot whose owner is silent counts as free. */
  readonly window: number
  /** token_bucket: its capacity. leaky_bucket: how many may wait, or pass at once with `nodelay`. Else 0. */
  readonly burst: number
  readonly nodelay: boolean
  /**
   * Calendar quotas: start and end (milliseconds since the epoch) of the window that holds a moment, in the quota's time zone;
   * `null`: windows of `window` milliseconds since the epoch. Only for fixed_window.
   */
  readonly calendar: ((now: number) => { readonly start: number; readonly end: number }) | null
  /** Counts and tells, refuses nothing. */
  readonly observe: boolean
}

/** What logs, metrics and headers call a limit: what stands behind the last slash of its name. */
export function titleOf({ name }: Pick<Limit, 'name'>): string {
  return name.slice(name.lastIndexOf('/') + 1)
}

/** What a store said of one request. Arrays are in the order of the limits asked for. */
export interface Admission {
  readonly admitted: boolean
  /** Index of the limit that refused, of several the one that takes longest to admit; or -1. */
  readonly refusedBy: number
  /** What is left after this request; at least 0. */
  readonly remaining: readonly number[]
  /**
   * When the limit is whole again if nobody else comes, milliseconds since the epoch; for fixed and sliding windows the end of
   * the window that runs. `concurrency`: now, as nobody knows.
   */
  readonly resetAt: readonly number[]
  /**
   * Milliseconds after which the same request would be admitted if nobody else came; 0 when admitted. `Infinity`: never, it
   * costs more than the limit can hold. A `concurrency` that is full says 1000: nobody knows when a request will end.
   */
  readonly retryAfter: number
  /** Milliseconds that an admitted request has to wait (leaky_bucket without `nodelay`); 0 mostly. */
  readonly delay: number
  /** One bit per limit in observe mode that would have refused. */
  readonly wouldRefuse: number
  /** The store could not say: what `on_store_error` decided. */
  readonly decidedBy: 'store' | 'allow' | 'deny' | 'node'
  /** Set by who asked: what was asked, for headers, metrics and `release`. */
  readonly limits: readonly Limit[]
  readonly keys: readonly string[]
  /** The admission of an earlier check of the same request. */
  previous: Admission | null
}

/**
 * Counters somewhere. A request is admitted by all of its limits or by none: a refused one consumes nothing from any. Limits
 * in observe mode stand apart from that: each says on its own whether it would refuse, and counts what it would not have
 * refused of the requests that were admitted.
 */
export interface LimitStore {
  /**
   * Whether a request may pass. `keys` and `costs` are in the order of `limits`. Never rejects and never takes longer than the
   * store's bound; at once where no store has to be asked. Ask with the same array of limits each time: a store keeps what it
   * has compiled of it. Costs are whole numbers.
   */
  admit(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission>
  /** The request is over: gives back its `concurrency` slots. */
  release(admission: Admission): void
}

export interface LimitStoreSettings {
  readonly store: 'redis' | 'node' | 'leased'
  /** What happens when Redis does not answer in time. */
  readonly onError: 'allow' | 'deny' | 'node'
  /** Milliseconds that a call may take. */
  readonly timeout: number
  /** `leased`: admit not one too many, at the price of more calls. */
  readonly strict: boolean
}

export interface LimitStores {
  /** The same settings give the same store. */
  open(settings: LimitStoreSettings): LimitStore
}
