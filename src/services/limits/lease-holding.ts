import type { Limit } from '../../core/services/limits.ts'
import { termsOf } from './counters/counter.ts'
import { type BookTerms, type Pool, tidying } from './lease.ts'
import { Account, Book } from './lease-account.ts'

/** Accounts that a worker remembers at most: those that hold nothing can be forgotten at any time. */
const mostAccounts = 100_000

/** Milliseconds after which an account that holds nothing is forgotten. */
const lifetime = 10_000

/** All accounts of a worker. What lies idle goes back to the primary, what holds nothing is forgotten. */
export class Holding {
  readonly books: Book[] = []
  readonly #byName = new Map<string, Book>()
  /** Books whose terms the primary was not told yet. */
  #news: BookTerms[] = []
  /** Accounts with something in hand. */
  readonly #lent = new Set<Account>()
  /** Has an account settled with the next petition. */
  readonly #settle: (account: Account) => void
  readonly #now: () => number
  #accounts = 0
  #timer: NodeJS.Timeout | null = null
  #sweptAt = 0

  constructor(now: () => number, settle: (account: Account) => void) {
    this.#now = now
    this.#settle = settle
  }

  /** Makes a limit that was not seen before the one to count by under its name. */
  book(limit: Limit, pool: Pool, timeout: number): Book {
    const name = `${pool} ${limit.algorithm} ${limit.name}`
    let book = this.#byName.get(name)
    if (book === undefined) {
      book = new Book(this.books.length, pool, limit, timeout)
      this.#byName.set(name, book)
      this.books.push(book)
      this.#news.push({ id: book.id, pool, timeout, terms: book.terms })
    } else this.#renew(book, limit, timeout)
    return book
  }

  get hasNews(): boolean {
    return this.#news.length > 0
  }

  /** The terms that the primary was not told yet: now it is. */
  takeNews(): readonly BookTerms[] {
    const news = this.#news
    this.#news = []
    return news
  }

  /** What is heard from here on is by terms that the primary was told. */
  known(told: readonly BookTerms[]): void {
    for (const { id } of told) {
      const book = this.books[id]
      if (book !== undefined) book.isNew = this.#news.some((news) => news.id === id)
    }
  }

  account(book: Book, key: string): Account {
    this.#timer ??= setInterval(() => this.#tidy(), tidying).unref()
    let account = book.accounts.get(key)
    if (account !== undefined) return account
    if (this.#accounts >= mostAccounts) this.#makeRoom()
    account = new Account(book, key, this.#now())
    book.accounts.set(key, account)
    this.#accounts++
    return account
  }

  /** Something was lent. */
  watch(account: Account): void {
    this.#lent.add(account)
  }

  /** Nobody uses it for now: gives the accounts whose units go back. */
  close(): Account[] {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    for (const account of this.#lent) {
      account.surrender()
      account.tight = account.book.isConcurrency
    }
    return [...this.#lent]
  }

  #renew(book: Book, limit: Limit, timeout: number): void {
    const terms = termsOf(limit)
    book.calendar = limit.calendar
    if (timeout === book.timeout && JSON.stringify(terms) === JSON.stringify(book.terms)) return
    book.terms = terms
    book.timeout = timeout
    book.isNew = true
    this.#news.push({ id: book.id, pool: book.pool, timeout, terms })
    for (const account of book.accounts.values()) {
      // It was lent, or refused, by the old terms.
      account.closedUntil = 0
      account.surrender()
      account.tight = book.isConcurrency
      if (account.returned !== 0) this.#settle(account)
    }
  }

  #tidy(): void {
    const now = this.#now()
    for (const account of this.#lent) {
      account.tidy(now)
      // A loan that is used too slowly to run out must be renewed before its time is over.
      const ends = account.until - now < 2 * tidying && (account.permits > 0 || account.used > 0)
      if (ends || account.returned !== 0) this.#settle(account)
      if (account.permits === 0 && account.used === 0 && account.inFlight === 0) this.#lent.delete(account)
    }
    if (now - this.#sweptAt < lifetime / 2) return
    this.#sweptAt = now
    for (const book of this.books) {
      for (const account of book.accounts.values()) {
        if (account.isEmpty && now - account.touchedAt > lifetime && now > account.closedUntil) this.#forget(account)
      }
    }
    if (this.#accounts > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  /** Forgets the oldest of those that hold nothing: the primary still knows all that there is to know. */
  #makeRoom(): void {
    let looks = 1000
    for (const book of this.books) {
      for (const account of book.accounts.values()) {
        if (account.isEmpty) this.#forget(account)
        looks--
        if (looks === 0) return
      }
    }
  }

  #forget(account: Account): void {
    account.book.accounts.delete(account.key)
    this.#accounts--
  }
}
