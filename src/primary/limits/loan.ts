import { capacityOf, type Span, type Terms } from '../../services/limits/counters/counter.ts'
import { term, tidying } from '../../services/limits/lease.ts'
import { kinds } from '../../services/limits/lease-script.ts'
import type { Book } from './book.ts'
import type { Entry } from './entry.ts'
import type { Moment, Source } from './source.ts'

/** Milliseconds of traffic that a node borrows at once. */
const horizon = 200

/** Milliseconds for which a loan of Redis holds at most; each call begins them anew. */
const loanTerm = 2000

/** A loan that is no larger than such a part of the limit is meant for a whole term. Not `strict`. */
const portion = 100

/** Milliseconds for which Redis is not asked again when others may give something back. Not `strict`. */
const pause = 100

/** Milliseconds over which a rate is measured at least. */
const shortest = 20

/** Milliseconds after which a counter that nobody asks for is forgotten here. */
const lifetime = 10_000

let serials = 0

/** Who borrows for it. */
export interface Borrower {
  /** Has a loan settled, and enlarged if it needs that, with the next call. */
  enlist(loan: Loan): void
  /** Redis can't be asked now. */
  isDown(now: Moment): boolean
}

/** What this node has borrowed from Redis of one limit under one key: see lease-script.ts. */
export class Loan implements Source {
  /** Units that are not used: here, or lent to workers. */
  budget = 0
  /** Units that others could still borrow when Redis was last heard. */
  elsewhere: number
  /** Set as soon as it is known. */
  entry: Entry | null = null
  readonly book: Book
  readonly key: string
  /** A call is under way. */
  isCalling = false
  /** It is to be part of the next call. */
  isEnlisted = false
  readonly #borrower: Borrower
  #serial = (serials += 1)
  #sequence = 0
  /** Serial of the loan that the call under way is about. */
  #called = 0
  /** Units used, over the whole loan; and over the one before, with its serial. */
  #used = 0
  #over = { serial: 0, used: 0 }
  /** As much of `#used` as Redis knows, and as the call under way tells it. Negative: of the loan before, it doesn't know all. */
  #told = 0
  #telling = 0
  /** When units of a sliding_log were used, as far as Redis doesn't know it. */
  #uses: number[] = []
  /** By the steady clock, as are all times here. */
  #until = 0
  #span: Span | null = null
  #needed = 0
  #unit = 0
  /** Costs of at least `#closedUnit` don't fit until then, and until when Redis is not asked about it. */
  #closedUntil = 0
  #closedUnit = 0
  #silentUntil = 0
  /** Nobody else held anything when Redis was last heard. */
  #isAlone = true
  #failedAt = -1
  #resetAt = 0
  /** When all that counts will have drained. */
  #emptyAt = 0
  #low = 0
  #admitted = 0
  #measured = 0
  #measuredAt = 0
  #rate = 0
  #touchedAt = 0
  #isEnding = false

  constructor(book: Book, key: string, borrower: Borrower) {
    this.book = book
    this.key = key
    this.#borrower = borrower
    this.elsewhere = capacityOf(book.terms)
  }

  get #isConcurrency(): boolean {
    return this.book.terms.algorithm === 'concurrency'
  }

  /** Units that would be admitted twice if Redis lent them anew. */
  get outstanding(): number {
    return this.budget + this.#used - this.#told
  }

  touch(_terms: Terms, now: Moment, span: Span | null): void {
    this.#span = span
    // Slots are renewed as long as they are held, whatever Redis does.
    if (now.steady < this.#until || this.#isConcurrency) return
    if (this.#until !== 0) this.#end()
  }

  isBlind(now: Moment): boolean {
    return this.#failedAt === now.steady || this.#borrower.isDown(now)
  }

  canGrow(units: number, now: Moment): boolean {
    if (this.isBlind(now) || units > capacityOf(this.book.terms)) return false
    if (this.isCalling || this.isEnlisted) return true
    return now.steady > this.#silentUntil || units < this.#closedUnit
  }

  grow(units: number, now: Moment): void {
    this.#touchedAt = now.steady
    this.#needed += units
    this.#unit = Math.max(this.#unit, units)
    this.#borrower.enlist(this)
  }

  use(terms: Terms, units: number, now: Moment, at: number): void {
    this.budget -= units
    this.#used += units
    this.#admitted += units
    this.#touchedAt = now.steady
    if (terms.algorithm === 'sliding_log') this.#uses.push(at, units)
    if (this.budget - (this.entry?.lent ?? 0) < this.#low) {
      this.#low = 0
      this.#borrower.enlist(this)
    }
  }

  writeOff(terms: Terms, units: number, now: Moment): number {
    this.use(terms, units, now, now.steady)
    return this.#serial
  }

  takesBack(): boolean {
    return false
  }

  undo(units: number, serial: number): void {
    if (serial !== this.#over.serial) return
    this.#over.used = Math.max(0, this.#over.used - units)
    this.#borrower.enlist(this)
  }

  wait(terms: Terms, units: number, _lent: number, now: Moment): number {
    if (units > capacityOf(terms)) return Infinity
    if (units < this.#closedUnit || this.#closedUntil <= now.steady) return units <= this.budget ? 0 : 1
    return Math.ceil(this.#closedUntil - now.steady)
  }

  isCertain(units: number, now: Moment): boolean {
    return this.#isAlone && units >= this.#closedUnit && now.steady < this.#closedUntil
  }

  wholeAt(_terms: Terms, _lent: number, now: Moment): number {
    return this.#resetAt === 0 ? now.wall : this.#resetAt
  }

  /** Units in hand stand last in the queue. */
  delay({ window, limit }: Terms, now: Moment): number {
    return Math.max(0, Math.ceil(this.#emptyAt - now.steady - (this.budget * window) / limit))
  }

  loanEnd(_terms: Terms, now: Moment): number {
    return this.#isConcurrency ? Infinity : Math.min(now.steady + term, this.#until)
  }

  isIdle(_terms: Terms, now: Moment): boolean {
    return this.budget === 0 && !this.isCalling && !this.isEnlisted && now.steady - this.#touchedAt > lifetime
  }

  /**
   * Looks for what lies idle, and for what must be renewed before its time is over; gives whether anything is held. Called
   * every so often.
   */
  tidy(now: Moment): boolean {
    const lent = this.entry?.lent ?? 0
    const quiet = now.steady - this.#touchedAt
    // Traffic that stops must not look as if it went on.
    if (quiet >= loanTerm) this.#rate = 0
    const most = lent + (quiet < tidying ? Infinity : this.#slice)
    if (this.budget > most && !this.isCalling) {
      this.budget = most
      this.#low = 0
      this.#borrower.enlist(this)
    } else if (this.outstanding > 0 && this.#until - now.steady < loanTerm / 2) this.#borrower.enlist(this)
    return this.outstanding > 0
  }

  /** Everything that is not in use goes back, for good. */
  surrender(): void {
    this.#isEnding = true
    this.budget = this.entry?.lent ?? 0
    this.#needed = 0
  }

  /** Arguments of the script. */
  message(now: Moment): (string | number)[] {
    const { terms } = this.book
    const life = this.#isConcurrency ? terms.window : loanTerm
    const want = this.#wanted(now)
    const uses = this.#uses
    this.#uses = []
    this.#sequence += 1
    this.#called = this.#serial
    this.#telling = this.#used
    const message: (string | number)[] = [
      kinds[terms.algorithm],
      capacityOf(terms),
      terms.limit,
      terms.window,
      this.#span?.start ?? 0,
      this.#span?.end ?? 0,
      life,
      this.book.pool === 'strict' ? 1 : 0,
      this.#serial,
      this.#sequence,
      this.#used,
      this.budget,
      this.#over.serial,
      this.#over.used,
      this.#needed,
      want,
      Math.max(1, this.#unit),
      uses.length / 2,
    ]
    // How long ago: clocks of nodes and Redis may differ, and what comes late counts as later.
    for (let i = 0; i < uses.length; i += 2)
      message.push(Math.floor(now.steady - (uses[i] as number)), uses[i + 1] as number)
    return message
  }

  /** Redis has answered a message that was sent at `sentAt`. */
  answered(reply: readonly (number | string)[], sentAt: number, now: Moment): void {
    const [granted = 0, life = 0, left = 0, wholeAt = 0, wait = 0, others = 0, drain = 0] = reply.map(Number)
    this.isCalling = false
    this.elsewhere = left
    this.#resetAt = wholeAt
    this.#emptyAt = now.steady + drain
    // Lent to a loan that has ended meanwhile: it comes back with the next message.
    if (this.#called !== this.#serial) return
    this.budget += granted
    this.#told = this.#telling
    this.#isAlone = others === 0
    this.#until = sentAt + life
    this.#low = granted > this.#needed ? (this.budget - (this.entry?.lent ?? 0)) / 2 : 0
    this.#closedUntil = 0
    this.#silentUntil = 0
    if (wait !== 0) {
      this.#closedUnit = this.#unit
      this.#closedUntil = wait === -1 ? Infinity : now.steady + wait
      const silence = this.#isAlone ? this.#closedUntil : now.steady + (this.book.pool === 'strict' ? 0 : pause)
      this.#silentUntil = Math.min(silence, this.#closedUntil)
    }
    this.#needed = 0
    this.#unit = 0
  }

  /** Redis has not answered. What it may have lent nevertheless is known to it as not held with the next message. */
  failed(now: Moment): void {
    this.isCalling = false
    this.#needed = 0
    this.#unit = 0
    this.#failedAt = now.steady
  }

  /** Other counters, of another Redis: nothing that was borrowed holds there. */
  reset(): void {
    this.budget = this.#isConcurrency ? (this.entry?.lent ?? 0) : 0
    this.#end()
    this.#closedUntil = 0
    this.#silentUntil = 0
  }

  /** The loan is over. What was not used of it comes back with the next message. */
  #end(): void {
    this.#over = { serial: this.#serial, used: this.#used }
    this.#serial = serials += 1
    this.#told -= this.#used
    this.#used = 0
    this.#uses = []
    this.#until = 0
    this.#low = 0
    if (!this.#isConcurrency) this.budget = 0
  }

  #wanted(now: Moment): number {
    if (this.#isEnding || !lends(this.book.terms)) return 0
    const elapsed = now.steady - this.#measuredAt
    if (elapsed >= shortest) {
      this.#rate = (this.#admitted - this.#measured) / elapsed
      this.#measured = this.#admitted
      this.#measuredAt = now.steady
    }
    if (this.#isConcurrency) return (this.entry?.lent ?? 0) >> 2
    const isQuiet = now.steady - this.#touchedAt >= tidying
    return Math.max(0, Math.floor(Math.max(isQuiet ? 0 : this.#rate * horizon, this.#slice)) - this.budget)
  }

  /** What is used in a whole term, if that is little. */
  get #slice(): number {
    if (this.book.pool === 'strict' || this.#isConcurrency) return 0
    return Math.floor(Math.min(this.#rate * loanTerm, capacityOf(this.book.terms) / portion))
  }
}

/** A request that has to wait for its turn must be told when that is. */
function lends({ algorithm, nodelay }: Terms): boolean {
  return algorithm !== 'leaky_bucket' || nodelay
}
