import type { PrimaryLink } from '../../core/messages.ts'
import type { Counter, Instruments } from '../../core/services/instruments.ts'
import {
  accountFields,
  type BookTerms,
  type Clock,
  type Petition,
  clock as realClock,
  verdicts,
} from '../../services/limits/lease.ts'
import type { RedisClient } from '../../services/redis.ts'
import type { Log } from '../../telemetry/logger.ts'
import { Book } from './book.ts'
import { BusyEntries } from './busy.ts'
import { Decider } from './decider.ts'
import type { Entry } from './entry.ts'
import { Lender } from './lender.ts'
import type { Loan } from './loan.ts'
import { Outbox } from './outbox.ts'
import { CounterSource, type Moment } from './source.ts'

/** Counters that are kept at most. */
const mostEntries = 1_000_000

/** Milliseconds between two looks for counters of which nothing is left, and how many are looked at. */
const sweeping = 1000
const swept = 5000

/** Milliseconds between two complaints that there are too many counters. */
const complaint = 60_000

/**
 * The counters of the node, for all its workers. One process owns them and lends workers units ahead of the requests: see
 * lease.ts. They outlive workers and reloads, but not this process.
 */
export class LimitLedger {
  readonly #log: Log
  readonly #instruments: Instruments
  readonly #clock: Clock
  readonly #capacity: number
  readonly #books = new Map<string, Book>()
  /** What workers call books by. */
  readonly #numbered = new Map<number, Book[]>()
  readonly #outbox: Outbox
  readonly #lender: Lender
  readonly #busy = new BusyEntries()
  readonly #decider: Decider
  readonly #messages: Counter
  readonly #asks: Counter
  #entries = 0
  #fullAt = -Infinity
  #sweepTimer: NodeJS.Timeout | null = null

  constructor(
    link: PrimaryLink,
    log: Log,
    instruments: Instruments,
    options: { readonly clock?: Clock; readonly capacity?: number } = {},
  ) {
    this.#log = log
    this.#instruments = instruments
    this.#clock = options.clock ?? realClock
    this.#capacity = options.capacity ?? mostEntries
    this.#outbox = new Outbox(link)
    this.#decider = new Decider(this.#numbered, this.#outbox, this.#busy, () => this.#now())
    this.#lender = new Lender(this.#clock, log, (loan) => this.#continue(loan))
    this.#messages = instruments.counter(
      'sluice_limit_petitions_total',
      'Messages of workers about counters; each asks about all that came up since the last.',
    )
    this.#asks = instruments.counter(
      'sluice_limit_asks_total',
      'Checks of limits that a worker could not decide by itself.',
    )
    instruments.gauge('sluice_limit_counters', 'Counters of limits in memory.', [], 'sum', () => this.#entries)
    link.on('limits', (body, worker) => this.#hear(body as Petition, worker))
    link.onLeave((worker) => this.#leave(worker))
  }

  /** Where limits with `store: leased` are borrowed from. */
  configure(redis: RedisClient | null): void {
    this.#lender.configure(redis)
  }

  /** What was borrowed from Redis goes back. */
  async close(): Promise<void> {
    this.#decider.close()
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer)
    await this.#lender.close()
  }

  status(): object {
    const busiest = this.#busy.status(this.#now())
    let lent = 0
    for (const book of this.#books.values()) lent += book.lent
    return { counters: this.#entries, lent, busiest }
  }

  #now(): Moment {
    return { wall: this.#clock.wall(), steady: this.#clock.steady() }
  }

  #hear(petition: Petition, worker: number): void {
    const now = this.#now()
    this.#messages.add(1)
    const books = this.#numbered.get(worker) ?? []
    this.#numbered.set(worker, books)
    for (const told of petition.books) {
      const book = this.#book(told)
      book.tell(worker, told)
      books[told.id] = book
    }
    const entries = this.#settle(petition, books, worker, now)
    if (petition.number === 0) {
      for (const entry of entries) entry?.answered(worker)
      for (const entry of entries) if (entry !== null) this.#decider.resume(entry, now)
    } else {
      this.#decideAll(petition, entries, worker, now)
      this.#grantAll(petition, entries, worker, now)
    }
    for (const entry of entries) if (entry !== null) entry.isPinned = false
    this.#outbox.flush()
  }

  /** Counters go on under new terms; only another algorithm begins anew. */
  #book(told: BookTerms): Book {
    const { name, algorithm } = told.terms
    const id = `${told.pool} ${algorithm} ${name}`
    let book = this.#books.get(id)
    if (book === undefined) {
      book = this.#newBook(told)
      this.#books.set(id, book)
    }
    return book
  }

  #newBook(told: BookTerms): Book {
    const labels = ['limit', told.terms.name, 'store', told.pool === 'node' ? 'node' : 'leased']
    const lost = 'Units that were lent and not reported in time, as by a worker that was killed: they count as used.'
    const book = new Book(told, this.#instruments.counter('sluice_limit_units_lost_total', lost, labels))
    const lent = (): number => (book.pool === 'node' ? book.lent : this.#lender.outstanding(book))
    const help = 'Units of limits that workers of this node (store: node) or the node itself (leased) have borrowed.'
    this.#instruments.gauge('sluice_limit_leases_outstanding', help, labels, 'sum', lent)
    return book
  }

  /** What became of earlier loans. */
  #settle(petition: Petition, books: readonly Book[], worker: number, now: Moment): (Entry | null)[] {
    const { accounts, uses } = petition
    const entries: (Entry | null)[] = []
    let use = 0
    for (let i = 0; i < accounts.length; i += accountFields) {
      const book = books[accounts[i] as number]
      // Who asks nothing may not have seen yet that terms have changed.
      if (petition.asks.length > 0) book?.adopt(worker)
      const entry = book === undefined ? null : this.#entry(book, accounts[i + 1] as string, now)
      let times: readonly number[] | null = null
      if (uses[use] === entries.length) {
        const end = use + 2 + 2 * (uses[use + 1] as number)
        times = uses.slice(use + 2, end)
        use = end
      }
      if (entry !== null) {
        entry.isPinned = true
        entry.touch(now, accounts[i + 6] as number, accounts[i + 7] as number)
        const [serial, used, returned] = [accounts[i + 2], accounts[i + 3], accounts[i + 4]] as [number, number, number]
        entry.settle(worker, serial, used, returned, times, now)
      }
      entries.push(entry)
    }
    return entries
  }

  #decideAll(petition: Petition, entries: readonly (Entry | null)[], worker: number, now: Moment): void {
    const { asks } = petition
    for (let at = 0; at < asks.length; ) {
      const [id, count] = [asks[at] as number, asks[at + 1] as number]
      const asked: Entry[] = []
      const costs: number[] = []
      for (let i = at + 2; i < at + 2 + 2 * count; i += 2) {
        const entry = entries[asks[i] as number]
        if (entry === null || entry === undefined) break
        asked.push(entry)
        costs.push(asks[i + 1] as number)
      }
      at += 2 + 2 * count
      this.#asks.add(1)
      if (asked.length < count) this.#outbox.answer(worker, id, verdicts.unavailable, 0, 0, 0, 0)
      else this.#decider.ask(worker, id, asked, costs, now)
    }
  }

  #grantAll(petition: Petition, entries: readonly (Entry | null)[], worker: number, now: Moment): void {
    const { accounts, number } = petition
    const grants = this.#outbox.grantsOf(worker, number)
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry | null
      if (entry === null) {
        grants.push(0, 0, 0, 0, now.wall)
        continue
      }
      const lent = entry.lend(this.#share(entry, accounts[i * accountFields + 5] as number), worker, now)
      const holder = entry.holders?.get(worker)
      grants.push(lent, holder?.serial ?? 0, holder?.until ?? 0, entry.left, entry.wholeAt(now))
    }
  }

  /** So many of the units that a worker wants as leave enough to the others. */
  #share(entry: Entry, wanted: number): number {
    if (wanted === 0 || entry.recalls > 0 || entry.awaited > 0) return 0
    const workers = this.#numbered.size
    return Math.max(0, Math.min(wanted, Math.floor(entry.free / (workers === 1 ? 1 : 2 * workers))))
  }

  /** Redis has answered, or not. */
  #continue({ entry }: Loan): void {
    if (entry === null) return
    const now = this.#now()
    entry.touch(now)
    this.#decider.resume(entry, now)
    this.#outbox.flush()
  }

  /** A worker has ended, however. */
  #leave(worker: number): void {
    this.#numbered.delete(worker)
    this.#outbox.forget(worker)
    const now = this.#now()
    for (const book of this.#books.values()) {
      book.leave(worker)
      for (const entry of book.entries.values()) {
        if (entry.holders === null) continue
        entry.touch(now)
        entry.leave(worker, now)
        this.#decider.resume(entry, now)
      }
    }
    this.#outbox.flush()
  }

  #entry(book: Book, key: string, now: Moment): Entry | null {
    const known = book.entries.get(key)
    if (known !== undefined) return known
    if (this.#entries >= this.#capacity && !this.#makeRoom(now)) return null
    this.#entries++
    this.#sweepTimer ??= setInterval(() => this.#sweep(), sweeping).unref()
    if (book.pool === 'node') return book.add(key, new CounterSource(book.terms))
    const loan = this.#lender.loan(book, key)
    loan.entry = book.add(key, loan)
    return loan.entry
  }

  /** Of the limit with the most keys: who floods one limit with keys makes the others forget nothing. */
  #makeRoom(now: Moment): boolean {
    let largest: Book | null = null
    for (const book of this.#books.values()) {
      if (largest === null || book.entries.size > largest.entries.size) largest = book
    }
    const made = largest?.makeRoom(now) ?? false
    if (made) this.#entries--
    if (now.steady - this.#fullAt > complaint) {
      this.#fullAt = now.steady
      this.#log.warn(
        { counters: this.#entries, limit: largest?.terms.name },
        'counters of limits are forgotten: too many',
      )
    }
    return made
  }

  #sweep(): void {
    const now = this.#now()
    const part = Math.max(swept, Math.ceil(this.#entries / 30))
    for (const book of this.#books.values()) this.#entries -= book.sweep(part, now)
    this.#busy.sweep(now)
    if (this.#entries > 0 || this.#sweepTimer === null) return
    clearInterval(this.#sweepTimer)
    this.#sweepTimer = null
  }
}
