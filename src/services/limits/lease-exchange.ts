import type { WorkerLink } from '../../core/messages.ts'
import {
  answerFields,
  type BookTerms,
  type Clock,
  findingFields,
  grantFields,
  type Petition,
  type Ruling,
  clock as realClock,
  verdicts,
} from './lease.ts'
import type { Account } from './lease-account.ts'
import { Holding } from './lease-holding.ts'

/** A request that waits for the primary. */
export interface Ask {
  readonly accounts: readonly Account[]
  readonly costs: readonly number[]
  /** By the steady clock. */
  readonly deadline: number
  /** Called once; with `null` when the primary has said nothing by the deadline. */
  decide: ((finding: Finding | null) => void) | null
}

/** What the primary says of one request. */
export interface Finding {
  /** Index of the limit that refused, or one of `verdicts`. */
  readonly verdict: number
  readonly delay: number
  readonly wouldRefuse: number
  readonly retryAfter: number
  readonly remaining: readonly number[]
  readonly resetAt: readonly number[]
}

const exchanges = new WeakMap<WorkerLink, Exchange>()

/** The one exchange of a worker: what it has in hand is shared by all stores. */
export function exchangeOf(link: WorkerLink, clock: Clock = realClock): Exchange {
  const exchange = exchanges.get(link) ?? new Exchange(link, clock)
  exchanges.set(link, exchange)
  return exchange
}

/**
 * A worker's end of the counters. One petition at a time is under way; what comes up meanwhile goes out with the next: the
 * busier the primary is, the more travels together.
 */
export class Exchange {
  readonly clock: Clock
  readonly holding: Holding
  readonly #link: WorkerLink
  readonly #asks = new Map<number, Ask>()
  #lastAsk = 0
  #waiting = 0
  #number = 0
  /** The accounts of the petition under way, and when it went out; 0: none is. */
  #sent: readonly Account[] = []
  /** The books whose terms it tells. */
  #told: readonly BookTerms[] = []
  #sentAt = 0
  /** The next petition. */
  #next: Account[] = []
  #nextAsks: number[] = []
  #flush: NodeJS.Immediate | null = null
  #patience: NodeJS.Timeout | null = null
  /** When `#patience` ends. */
  #patientUntil = 0
  #stores = 0

  constructor(link: WorkerLink, clock: Clock) {
    this.#link = link
    this.clock = clock
    this.holding = new Holding(
      () => clock.steady(),
      (account) => this.settle(account),
    )
    link.on('limits', (body) => this.#hear(body as Ruling))
  }

  /** Requests that wait now. */
  get waiting(): number {
    return this.#waiting
  }

  /** The primary owes an answer for longer than `bound` milliseconds: it makes no sense to wait for it. */
  isDeaf(now: number, bound: number): boolean {
    return this.#sentAt !== 0 && now - this.#sentAt > bound
  }

  /** Has the primary decide on a request, together with all others of this tick. What is in hand for it goes back. */
  ask(ask: Ask, now: number): void {
    const id = (this.#lastAsk += 1)
    this.#asks.set(id, ask)
    this.#waiting++
    this.#nextAsks.push(id, ask.accounts.length)
    for (let i = 0; i < ask.accounts.length; i++) {
      const account = ask.accounts[i] as Account
      account.touchedAt = now
      account.pins++
      this.#nextAsks.push(this.#enlist(account), ask.costs[i] as number)
    }
    this.#waitUntil(ask.deadline, now)
    this.#schedule()
  }

  /** What became of an account goes to the primary, and what it needs is asked for. */
  settle(account: Account): void {
    account.low = 0
    this.#enlist(account)
    this.#schedule()
  }

  /** Slots of a request that is over. */
  release(account: Account, slots: number): void {
    account.inFlight -= slots
    if (account.tight) {
      account.returned += slots
      this.settle(account)
    } else account.permits += slots
  }

  /** A store begins to use it. */
  open(): void {
    this.#stores++
  }

  /** A store doesn't use it any more. When none does, all that is in hand goes back. */
  close(): void {
    this.#stores--
    if (this.#stores > 0) return
    const accounts = this.holding.close()
    if (accounts.length > 0) this.#giveBack(accounts)
  }

  #enlist(account: Account): number {
    if (account.slot === -1) {
      account.slot = this.#next.push(account) - 1
      account.pins++
    }
    return account.slot
  }

  #schedule(): void {
    if (this.#flush !== null || this.#sentAt !== 0) return
    this.#flush = setImmediate(() => {
      this.#flush = null
      if (this.#next.length > 0 || this.holding.hasNews) this.#send()
    })
  }

  #send(): void {
    const now = this.clock.steady()
    this.#layAside()
    const petition = this.#petition((this.#number += 1), this.#next, now, this.#nextAsks)
    this.#sent = this.#next
    this.#told = petition.books
    this.#sentAt = now
    this.#next = []
    this.#nextAsks = []
    for (const account of this.#sent) account.slot = -1
    this.#link.send('limits', petition)
  }

  /** What is in hand for those who ask goes back, also what was lent while they waited: only others are told to give back. */
  #layAside(): void {
    const asks = this.#nextAsks
    for (let at = 0; at < asks.length; ) {
      const end = at + 2 + 2 * (asks[at + 1] as number)
      for (at += 2; at < end; at += 2) {
        const account = this.#next[asks[at] as number] as Account
        const given = Math.min(asks[at + 1] as number, account.permits)
        account.permits -= given
        account.returned += given
      }
    }
  }

  /** Sent at once: somebody waits for it. */
  #giveBack(accounts: readonly Account[]): void {
    this.#link.send('limits', this.#petition(0, accounts, this.clock.steady(), []))
  }

  #petition(number: number, accounts: readonly Account[], now: number, asks: readonly number[]): Petition {
    const wall = this.clock.wall()
    const fields: (string | number)[] = []
    const uses: number[] = []
    for (let i = 0; i < accounts.length; i++) {
      const account = accounts[i] as Account
      const { book } = account
      const span = book.calendar === null ? null : book.calendar(wall)
      // What was lent for a window that is over can't be used any more.
      if (now >= account.until && !book.isConcurrency) account.surrender()
      const want = number === 0 || this.#stores === 0 ? 0 : account.wanted(now)
      fields.push(book.id, account.key, account.serial, account.used, account.returned, want)
      fields.push(span === null ? 0 : span.start, span === null ? 0 : span.end)
      if (account.uses !== null && account.uses.length > 0) {
        uses.push(i, account.uses.length / 2)
        for (const use of account.uses) uses.push(use)
        account.uses = []
      }
      account.used = 0
      account.returned = 0
    }
    // News only goes with what is answered: from the answer on it is known.
    const books = number === 0 ? [] : this.holding.takeNews()
    return { number, books, accounts: fields, uses, asks }
  }

  #hear(ruling: Ruling): void {
    const isReply = ruling.number !== 0 && ruling.number === this.#number && this.#sentAt !== 0
    if (isReply) this.holding.known(this.#told)
    this.#answer(ruling.answers)
    if (isReply) {
      this.#take(ruling.grants)
      this.#sentAt = 0
      if (this.#next.length > 0) this.#schedule()
    }
    if (ruling.recalls.length > 0) this.#recall(ruling.recalls)
    if (this.#waiting > 0 || this.#patience === null) return
    clearTimeout(this.#patience)
    this.#patience = null
  }

  #take(grants: readonly number[]): void {
    this.#endLoans(grants)
    for (let i = 0; i < this.#sent.length; i++) {
      const account = this.#sent[i] as Account
      const at = i * grantFields
      account.pins--
      const lent = grants[at] as number
      const serial = grants[at + 1] as number
      account.serial = serial
      account.until = grants[at + 2] as number
      account.left = grants[at + 3] as number
      account.resetAt = grants[at + 4] as number
      if (lent === 0) continue
      account.permits += lent
      this.holding.watch(account)
      if (account.book.isNew) {
        account.surrender()
        this.settle(account)
      } else {
        account.low = account.permits / 2
        account.tight = false
      }
    }
    this.#sent = []
  }

  /** What is left of loans that were over before the petition came: the primary counts it as used until it hears. */
  #endLoans(grants: readonly number[]): void {
    const over: Account[] = []
    for (let i = 0; i < this.#sent.length; i++) {
      const account = this.#sent[i] as Account
      if (grants[i * grantFields + 1] === account.serial || account.book.isConcurrency) continue
      account.surrender()
      if (account.returned > 0) over.push(account)
      else account.void()
    }
    if (over.length > 0) this.#giveBack(over)
  }

  #answer(answers: readonly number[]): void {
    for (let at = 0; at < answers.length; ) {
      const id = answers[at] as number
      const ask = this.#asks.get(id)
      this.#asks.delete(id)
      if (ask !== undefined) this.#conclude(ask, answers, at)
      at += answerFields + (answers[at + 5] as number) * findingFields
    }
  }

  #conclude(ask: Ask, answers: readonly number[], at: number): void {
    const verdict = answers[at + 1] as number
    const wouldRefuse = answers[at + 3] as number
    const remaining: number[] = []
    const resetAt: number[] = []
    const isLate = ask.decide === null
    for (const account of ask.accounts) account.pins--
    for (let i = 0; i < ask.accounts.length && verdict !== verdicts.unavailable; i++) {
      const account = ask.accounts[i] as Account
      const cost = ask.costs[i] as number
      const finding = at + answerFields + i * findingFields
      account.left = answers[finding] as number
      account.resetAt = answers[finding + 1] as number
      remaining.push(account.left)
      resetAt.push(account.resetAt)
      if ((answers[finding + 2] as number) > 0 && !account.book.isNew) {
        account.closedUntil = answers[finding + 2] as number
        account.closedCost = cost
      }
      if (verdict !== verdicts.admitted || (wouldRefuse & (1 << i)) !== 0) continue
      account.admitted += cost
      if (!account.book.isConcurrency) continue
      account.inFlight += cost
      this.holding.watch(account)
      if (isLate) this.release(account, cost)
    }
    if (isLate) return
    const [delay, retryAfter] = [answers[at + 2] as number, answers[at + 4] as number]
    this.#decide(ask, { verdict, delay, wouldRefuse, retryAfter, remaining, resetAt })
  }

  #recall(recalls: readonly (string | number)[]): void {
    const accounts: Account[] = []
    for (let i = 0; i < recalls.length; i += 2) {
      const book = this.holding.books[recalls[i] as number]
      if (book === undefined) continue
      const account = this.holding.account(book, recalls[i + 1] as string)
      account.surrender()
      account.tight = book.isConcurrency
      accounts.push(account)
    }
    this.#giveBack(accounts)
  }

  #decide(ask: Ask, finding: Finding | null): void {
    const { decide } = ask
    if (decide === null) return
    ask.decide = null
    this.#waiting--
    decide(finding)
  }

  #waitUntil(deadline: number, now: number): void {
    if (this.#patience !== null) {
      if (deadline >= this.#patientUntil) return
      clearTimeout(this.#patience)
    }
    this.#patientUntil = deadline
    // A busy process that finds its time up may have the answer in its channel: that is read first.
    this.#patience = setTimeout(() => setImmediate(() => this.#lapse()), Math.max(0, deadline - now))
  }

  #lapse(): void {
    this.#patience = null
    const now = this.clock.steady()
    let next = Infinity
    for (const ask of this.#asks.values()) {
      if (ask.decide === null) continue
      // It may be counted nevertheless: then the answer, when it comes, frees its slots.
      if (ask.deadline <= now + 1) this.#decide(ask, null)
      else next = Math.min(next, ask.deadline)
    }
    if (next !== Infinity) this.#waitUntil(next, now)
  }
}
