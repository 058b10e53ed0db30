import type { Limit } from '../../core/services/limits.ts'
import { capacityOf, type Terms, termsOf } from './counters/counter.ts'
import { horizon, type Pool, portion, term, tidying } from './lease.ts'

/** One limit of the configuration as a worker counts by it: that of the latest configuration under its name. */
export class Book {
  readonly id: number
  readonly pool: Pool
  readonly isConcurrency: boolean
  readonly accounts = new Map<string, Account>()
  terms: Terms
  calendar: Limit['calendar']
  /** Milliseconds that a call to Redis may take. */
  timeout: number
  /** The primary may not know the terms yet: what it lends or refuses is by those before. */
  isNew = true

  constructor(id: number, pool: Pool, limit: Limit, timeout: number) {
    this.id = id
    this.pool = pool
    this.isConcurrency = limit.algorithm === 'concurrency'
    this.terms = termsOf(limit)
    this.calendar = limit.calendar
    this.timeout = timeout
  }

  /** A request that has to wait for its turn must be told when that is: such turns can't be lent. */
  get lends(): boolean {
    return this.terms.algorithm !== 'leaky_bucket' || this.terms.nodelay
  }
}

/** What a worker has in hand of one limit under one key, and what it knows of the rest. Times are of the steady clock. */
export class Account {
  readonly book: Book
  readonly key: string
  /** Units that may be used without asking; for concurrency: free slots. */
  permits = 0
  /** Until when they may be used. */
  until = 0
  /** Number of the loan that they belong to. */
  serial = 0
  /** With fewer permits than this it is time to ask for more. */
  low = 0
  /** Costs of at least `closedCost` are refused until `closedUntil`. */
  closedUntil = 0
  closedCost = 0
  /** Units that others could still have when the primary was last heard. */
  left = 0
  /** When the limit would have been whole then; milliseconds since the epoch. */
  resetAt = 0
  /** Used and given back since the primary was last told. */
  used = 0
  returned = 0
  /** Concurrency: slots of requests in flight. */
  inFlight = 0
  /** Concurrency: slots are short, so what becomes free is given back at once; until some are lent again. */
  tight = false
  /** Times and units of what was used: sliding_log only. */
  uses: number[] | null
  /** Index in the petition that is being written; -1: not in it. */
  slot = -1
  /** Petitions and requests about it that are not answered: until then it must not be forgotten, or it would be there twice. */
  pins = 0
  /** All units admitted so far. */
  admitted = 0
  /** The same when `rate` (units per millisecond) was measured, and when that was. */
  measured = 0
  measuredAt: number
  rate = 0
  /** When it was last used or asked about. */
  touchedAt: number
  #firstOfLast = 0

  constructor(book: Book, key: string, now: number) {
    this.book = book
    this.key = key
    this.measuredAt = now
    this.touchedAt = now
    this.uses = book.terms.algorithm === 'sliding_log' ? [] : null
  }

  /** Takes units out of what is in hand. */
  spend(units: number, now: number): void {
    this.permits -= units
    this.admitted += units
    this.touchedAt = now
    if (this.book.isConcurrency) {
      this.inFlight += units
      return
    }
    this.used += units
    if (this.uses !== null) this.#note(this.uses, units, now)
  }

  /** Lays all but `keep` units aside, to be given back with the next petition. */
  surrender(keep = 0): void {
    if (this.permits <= keep) return
    this.returned += this.permits - keep
    this.permits = keep
    this.low = 0
  }

  /** Units to ask for, judged by what was used lately. */
  wanted(now: number): number {
    if (!this.book.lends) return 0
    if (this.book.isConcurrency) return this.tight && this.left <= this.inFlight ? 0 : this.inFlight >> 2
    this.#measure(now)
    const want = Math.floor(Math.max(this.rate * horizon, this.#slice)) - this.permits
    return want < 2 ? 0 : want
  }

  /** Lays aside what it will not need soon. Called every so often. */
  tidy(now: number): void {
    const quiet = now - this.touchedAt
    if (quiet >= term || quiet > Math.max(tidying, gaps / this.rate)) this.#rest(now)
    else if (this.book.isConcurrency) this.surrender(Math.max(1, this.inFlight))
    else {
      this.#measure(now)
      this.surrender(Math.ceil(2 * Math.max(this.rate * horizon, this.#slice)))
    }
  }

  /** What came lately comes no more. */
  #rest(now: number): void {
    this.rate = 0
    this.measured = this.admitted
    this.measuredAt = now
    this.surrender()
  }

  /** What it will use in a whole term, if that is little. */
  get #slice(): number {
    return Math.min(this.rate * term, capacityOf(this.book.terms) / portion)
  }

  /** The rate is that of the last few units, or of the last term. */
  #measure(now: number): void {
    const elapsed = now - this.measuredAt
    const units = this.admitted - this.measured
    if (elapsed < shortest || (this.rate > 0 && units < enough && elapsed < term)) return
    this.rate = units / elapsed
    this.measured = this.admitted
    this.measuredAt = now
  }

  /** What was lent is void, and counted by the primary as used. */
  void(): void {
    this.permits = 0
    this.used = 0
    this.returned = 0
    if (this.uses !== null) this.uses = []
  }

  /** Nothing is lost when it is forgotten. */
  get isEmpty(): boolean {
    return this.permits === 0 && this.used === 0 && this.returned === 0 && this.inFlight === 0 && this.pins === 0
  }

  #note(uses: number[], units: number, now: number): void {
    const last = uses.length - 2
    // What falls into one millisecond counts as the last of it.
    if (last >= 0 && now - this.#firstOfLast < 1) {
      uses[last] = now
      uses[last + 1] = (uses[last + 1] as number) + units
    } else {
      this.#firstOfLast = now
      uses.push(now, units)
    }
  }
}

/** Milliseconds over which a rate is measured at least, and units that make it one. */
const shortest = 5
const enough = 8

/** A key is at rest when so many times as much time has passed as between two units before. */
const gaps = 8
