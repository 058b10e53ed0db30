import { type Counter, capacityOf, type Span, type Terms } from '../../services/limits/counters/counter.ts'
import { newCounter } from '../../services/limits/counters/new-counter.ts'
import { margin, term } from '../../services/limits/lease.ts'

/** Now, by both clocks. */
export interface Moment {
  /** Milliseconds since the epoch. */
  readonly wall: number
  readonly steady: number
}

/** Where the units of an entry come from. Those that are lent to workers stay in its budget until they are used. */
export interface Source {
  /** Units that are not used. */
  readonly budget: number
  /** Brings it up to now. */
  touch(terms: Terms, now: Moment, span: Span | null): void
  /** Counts units; `at`: when they were used, by the steady clock. */
  use(terms: Terms, units: number, now: Moment, at: number): void
  /** Counts units of a loan that is over since `until`, used or not; gives the window that they count in. */
  writeOff(terms: Terms, units: number, now: Moment, until: number, span: Span | null): number
  /** Units that were written off in the window that began at `start`, and not used, can still be of use. */
  takesBack(start: number): boolean
  /** Those that were not used after all. */
  undo(units: number, start: number): void
  /** Milliseconds until units fit if nobody else comes and what is lent counts as used. */
  wait(terms: Terms, units: number, lent: number, now: Moment): number
  /** `wait` for so many is certain: nothing can come sooner from elsewhere. */
  isCertain(units: number, now: Moment): boolean
  /** Units that others can have elsewhere. */
  readonly elsewhere: number
  /** Nobody can say now whether there are more units. */
  isBlind(now: Moment): boolean
  /** More units can be had from elsewhere. */
  canGrow(units: number, now: Moment): boolean
  /** Gets them; the ledger hears of it when that has ended, well or badly. */
  grow(units: number, now: Moment): void
  /** When the limit is whole again, milliseconds since the epoch. */
  wholeAt(terms: Terms, lent: number, now: Moment): number
  /** Milliseconds until all that counts has drained: so long a request waits for its turn. */
  delay(terms: Terms, now: Moment): number
  /** Until when, by the steady clock, units that are lent now may be used. */
  loanEnd(terms: Terms, now: Moment): number
  /** Nothing is lost when it is forgotten. */
  isIdle(terms: Terms, now: Moment): boolean
}

/** The counter of this node. */
export class CounterSource implements Source {
  budget = 0
  readonly elsewhere = 0
  readonly #counter: Counter

  constructor(terms: Terms) {
    this.#counter = newCounter(terms.algorithm)
  }

  touch(terms: Terms, now: Moment, span: Span | null): void {
    this.budget = capacityOf(terms) - this.#counter.level(terms, timeOf(terms, now), span)
  }

  isCertain(): boolean {
    return true
  }

  isBlind(): boolean {
    return false
  }

  canGrow(): boolean {
    return false
  }

  grow(): void {}

  use(terms: Terms, units: number, now: Moment, at: number): void {
    if (isWindowed(terms)) this.#counter.use(terms, units, now.wall)
    else {
      // What is reported so late that it has expired counts no more.
      if (terms.algorithm === 'sliding_log' && at + terms.window <= now.steady) return
      this.#counter.level(terms, now.steady, null)
      this.#counter.use(terms, units, at)
    }
    this.budget -= units
  }

  writeOff(terms: Terms, units: number, now: Moment, until: number, span: Span | null): number {
    // The window in which they may have been used last. As a rule it has ended just now, and the counter is still in it.
    const time = now.wall - Math.max(0, now.steady - until)
    if (!isWindowed(terms) || time < this.#counter.start) this.use(terms, units, now, now.steady)
    else {
      this.#counter.level(terms, time, span)
      this.#counter.use(terms, units, time)
      this.budget -= units
    }
    return this.#counter.start
  }

  takesBack(start: number): boolean {
    return this.#counter.counts(start)
  }

  undo(units: number, start: number): void {
    this.#counter.undo(units, start)
  }

  wait(terms: Terms, units: number, lent: number, now: Moment): number {
    return this.#counter.wait(terms, units, lent, timeOf(terms, now))
  }

  wholeAt(terms: Terms, lent: number, now: Moment): number {
    const time = timeOf(terms, now)
    return now.wall + Math.ceil(this.#counter.wholeAt(terms, lent, time) - time - 1e-6)
  }

  delay(terms: Terms, now: Moment): number {
    return this.wholeAt(terms, 0, now) - now.wall
  }

  loanEnd(terms: Terms, now: Moment): number {
    if (!isWindowed(terms)) return now.steady + term
    return now.steady + Math.min(term, this.#counter.wholeAt(terms, 0, now.wall) - now.wall - margin)
  }

  isIdle(terms: Terms, now: Moment): boolean {
    return this.#counter.isIdle(timeOf(terms, now))
  }
}

/** Windows are those of the time of day. All else only needs to know how much time has passed. */
function isWindowed({ algorithm }: Terms): boolean {
  return algorithm === 'fixed_window' || algorithm === 'sliding_window'
}

function timeOf(terms: Terms, now: Moment): number {
  return isWindowed(terms) ? now.wall : now.steady
}
