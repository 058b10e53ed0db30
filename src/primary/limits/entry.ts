import { capacityOf, grain, type Span, type Terms } from '../../services/limits/counters/counter.ts'
import type { Moment, Source } from './source.ts'

/** What all entries of a limit have in common. */
export interface EntryBook {
  readonly terms: Terms
  /** Units lent to workers under all keys. */
  lent: number
  /** Lent units that were never reported: their worker is gone, or too late. */
  lose(units: number): void
}

/** What a worker has borrowed of an entry. */
export class Holder {
  /** Of this loan: no other ever has the same. */
  readonly serial: number
  /** Units that it has not reported as used or given back; for concurrency: slots of requests in flight, too. */
  out = 0
  /** By the steady clock: then the loan is over, and what is out counts as used. */
  until = 0
  /** Asked to give back what it has, and hasn't yet. */
  isRecalled = false
  /** It was, for too long: nobody waits for it any more. */
  isDeaf = false
  /** It has given back all that it could. */
  isDry = false
  /** Once the loan is over: the window in which what was out is counted. */
  start = 0

  constructor(serial: number) {
    this.serial = serial
  }
}

let serials = 0

const none: ReadonlyMap<number, Holder> = new Map()

function canGive({ out, isDry, isDeaf }: Holder): boolean {
  return out > 0 && !isDry && !isDeaf
}

/**
 * One limit under one key: what was used, and what is lent to whom. A lent unit takes the place of a used one from the moment
 * it is lent. When it was used it is counted as of then, or later, never earlier: so no order of reports, deaths and delays
 * leads to one unit too many.
 */
export class Entry {
  readonly key: string
  readonly book: EntryBook
  readonly source: Source
  /** Units lent to all workers. */
  lent = 0
  holders: Map<number, Holder> | null = null
  /** Holders that were recalled, and for whom somebody waits. */
  recalls = 0
  /** Requests that wait and will be decided by it: until then it must not be forgotten, or it would be there twice. */
  awaited = 0
  /** It is part of the petition at hand: the same holds for it. */
  isPinned = false
  /** Loans that are over, but of which units may still turn out not to be used. */
  #over: Map<number, Holder> | null = null
  #span: Span | null = null

  constructor(book: EntryBook, key: string, source: Source) {
    this.book = book
    this.key = key
    this.source = source
  }

  get isConcurrency(): boolean {
    return this.book.terms.algorithm === 'concurrency'
  }

  /** Brings it up to now. `end` 0: its windows are those of the clock, or as they were. */
  touch(now: Moment, start = 0, end = 0): void {
    // Before a window may end: what lapses was lent in this one.
    if (this.holders !== null) this.#lapse(this.holders, now)
    if (end !== 0 && this.#span?.end !== end) this.#span = { start, end }
    this.source.touch(this.book.terms, now, this.#span)
  }

  /** Units that can be given away. */
  get free(): number {
    return this.source.budget - this.lent
  }

  /** Units that are left to requests of anybody, as far as is known. */
  get left(): number {
    return Math.max(0, Math.floor(this.free + this.source.elsewhere + grain))
  }

  fits(units: number): boolean {
    return units <= this.free + grain
  }

  /** They would fit if all that is or was lent came back unused. */
  wouldFit(units: number): boolean {
    let most = this.source.budget
    for (const holder of (this.#over ?? none).values()) if (this.#isOwing(holder)) most += holder.out
    return units <= most + grain
  }

  /** The part of the limit that is used or lent, 0 to 1. */
  get saturation(): number {
    return 1 - Math.max(0, this.free + this.source.elsewhere) / capacityOf(this.book.terms)
  }

  /** Counts a request of a worker. */
  take(units: number, worker: number, now: Moment): void {
    if (this.isConcurrency) this.#lendTo(this.#holderOf(worker), units)
    else this.source.use(this.book.terms, units, now, now.steady)
  }

  /** Milliseconds that a request which is taken now has to wait for its turn. */
  delay(now: Moment): number {
    const { algorithm, nodelay } = this.book.terms
    return algorithm !== 'leaky_bucket' || nodelay ? 0 : this.source.delay(this.book.terms, now)
  }

  /** Lends a worker units, if there is time left to use them; what it has holds until then, too. */
  lend(units: number, worker: number, now: Moment): number {
    const until = this.source.loanEnd(this.book.terms, now)
    if (until <= now.steady || (units === 0 && this.holders?.get(worker) === undefined)) return 0
    const holder = this.#holderOf(worker)
    holder.until = Math.max(holder.until, until)
    if (units === 0) return 0
    holder.isDry = false
    this.#lendTo(holder, units)
    return units
  }

  /** A worker reports: units of a loan were used (`uses`: pairs of time and units, where times matter), others come back. */
  settle(
    worker: number,
    serial: number,
    used: number,
    returned: number,
    uses: readonly number[] | null,
    now: Moment,
  ): void {
    const holder = this.holders?.get(worker)
    if (holder === undefined || (holder.serial !== serial && !this.isConcurrency)) {
      return this.#settleOver(worker, serial, used, returned, now)
    }
    const gone = Math.min(holder.out, used + returned)
    holder.out -= gone
    this.#changeLent(-gone)
    const { terms } = this.book
    if (uses === null) {
      if (used > 0) this.source.use(terms, used, now, now.steady)
      return
    }
    for (let i = 0; i < uses.length; i += 2) {
      this.source.use(terms, uses[i + 1] as number, now, Math.min(uses[i] as number, now.steady))
    }
  }

  /** Another worker than this one may still give something back. */
  isRecallable(except: number): boolean {
    for (const [worker, holder] of this.holders ?? none) if (worker !== except && canGive(holder)) return true
    for (const [worker, holder] of this.#over ?? none) {
      if (worker !== except && this.#isOwing(holder) && canGive(holder)) return true
    }
    return false
  }

  /** True: the worker is to be told. */
  recall(worker: number): boolean {
    let isNew = false
    const over = this.#over?.get(worker)
    for (const holder of [this.holders?.get(worker), over]) {
      if (holder === undefined || holder.isRecalled || !canGive(holder)) continue
      if (holder === over && !this.#isOwing(holder)) continue
      holder.isRecalled = true
      this.recalls++
      isNew = true
    }
    return isNew
  }

  /** The worker has given back what it could. */
  answered(worker: number): void {
    for (const holder of [this.holders?.get(worker), this.#over?.get(worker)]) {
      if (holder === undefined || !holder.isRecalled) continue
      this.#endRecall(holder)
      holder.isDeaf = false
      holder.isDry = true
    }
  }

  /** Those that were recalled did not answer: nobody waits any longer. */
  endRecalls(): void {
    for (const holders of [this.holders ?? none, this.#over ?? none]) {
      for (const holder of holders.values()) {
        if (!holder.isRecalled) continue
        if (!holder.isDeaf) this.recalls--
        holder.isDeaf = true
      }
    }
  }

  /** The worker is gone: what it had lent counts as used, its requests in flight are over. */
  leave(worker: number, now: Moment): void {
    this.#forgetOver(worker)
    const holder = this.holders?.get(worker)
    if (holder === undefined) return
    this.holders?.delete(worker)
    this.#writeOff(holder, now)
    this.book.lose(holder.out)
  }

  /** Milliseconds until units fit if nobody else comes. */
  wait(units: number, now: Moment): number {
    return this.source.wait(this.book.terms, units, this.lent, now)
  }

  /** Until when, by the steady clock, units will not fit whatever happens; 0: that is not certain. */
  closedUntil(units: number, now: Moment): number {
    if (this.isConcurrency || this.lent > 0 || !this.source.isCertain(units, now)) return 0
    for (const holder of (this.#over ?? none).values()) if (this.#isOwing(holder) && canGive(holder)) return 0
    const wait = this.wait(units, now)
    return wait === 0 ? 0 : now.steady + wait
  }

  wholeAt(now: Moment): number {
    return this.source.wholeAt(this.book.terms, this.lent, now)
  }

  /** Nothing is lost when it is forgotten. */
  isIdle(now: Moment): boolean {
    return this.lent === 0 && this.awaited === 0 && this.source.isIdle(this.book.terms, now)
  }

  #holderOf(worker: number): Holder {
    this.holders ??= new Map()
    let holder = this.holders.get(worker)
    if (holder === undefined) {
      holder = new Holder((serials += 1))
      if (this.isConcurrency) holder.until = Infinity
      this.holders.set(worker, holder)
    }
    return holder
  }

  #lendTo(holder: Holder, units: number): void {
    holder.out += units
    this.#changeLent(units)
  }

  #changeLent(units: number): void {
    this.lent += units
    this.book.lent += units
  }

  #endRecall(holder: Holder): void {
    if (holder.isRecalled && !holder.isDeaf) this.recalls--
    holder.isRecalled = false
  }

  /** Of a loan that is over: it still matters whether it was used. */
  #isOwing(holder: Holder): boolean {
    return this.source.takesBack(holder.start)
  }

  #forgetOver(worker: number): void {
    const holder = this.#over?.get(worker)
    if (holder === undefined) return
    this.#endRecall(holder)
    this.#over?.delete(worker)
  }

  #lapse(holders: Map<number, Holder>, now: Moment): void {
    for (const [worker, holder] of holders) {
      if (holder.until > now.steady) continue
      holders.delete(worker)
      this.#writeOff(holder, now)
      if (holder.out === 0) continue
      holder.isDry = false
      this.#forgetOver(worker)
      this.#over ??= new Map()
      this.#over.set(worker, holder)
    }
  }

  #writeOff(holder: Holder, now: Moment): void {
    this.#endRecall(holder)
    this.#changeLent(-holder.out)
    if (this.isConcurrency || holder.out === 0) return
    const until = Math.min(holder.until, now.steady)
    holder.start = this.source.writeOff(this.book.terms, holder.out, now, until, this.#span)
  }

  /** A report of a loan that is over: all of it is counted, also what was not used. */
  #settleOver(worker: number, serial: number, used: number, returned: number, now: Moment): void {
    const holder = this.#over?.get(worker)
    if (holder === undefined || holder.serial !== serial) return
    this.source.undo(Math.min(holder.out, returned), holder.start)
    this.source.touch(this.book.terms, now, this.#span)
    holder.out = Math.max(0, holder.out - used - returned)
  }
}
