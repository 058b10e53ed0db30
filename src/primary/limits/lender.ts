import { randomBytes } from 'node:crypto'
import type { Clock } from '../../services/limits/lease.ts'
import { tidying } from '../../services/limits/lease.ts'
import { leaseScript } from '../../services/limits/lease-script.ts'
import { type RedisClient, RedisFault, type RedisReply, type RedisScript } from '../../services/redis.ts'
import type { Log } from '../../telemetry/logger.ts'
import type { Book } from './book.ts'
import { type Borrower, Loan } from './loan.ts'
import type { Moment } from './source.ts'

/** Loans that one call of the script is about at most: it keeps Redis from everything else. */
const largestCall = 100

/** Failed calls in a row after which Redis is left alone, and for how many milliseconds. */
const maxFailures = 3
const cooldown = 250

/** Borrows from Redis for this node: whatever comes up in a tick with one call. In a cluster with one for each key. */
export class Lender implements Borrower {
  readonly #clock: Clock
  readonly #log: Log
  readonly #onNews: (loan: Loan) => void
  /** Another one for every process: what an earlier one has borrowed is not ours. */
  readonly #name = randomBytes(9).toString('base64url')
  readonly #scripts = new Map<number, RedisScript>()
  /** Loans of which something is held. */
  readonly #held = new Set<Loan>()
  #redis: RedisClient | null = null
  #next: Loan[] = []
  #flush: NodeJS.Immediate | null = null
  #timer: NodeJS.Timeout | null = null
  #failures = 0
  #downUntil = 0

  /** `onNews`: a loan was settled, or could not be. */
  constructor(clock: Clock, log: Log, onNews: (loan: Loan) => void) {
    this.#clock = clock
    this.#log = log
    this.#onNews = onNews
  }

  /** Another Redis, or none: what was borrowed from the one before is no longer valid. */
  configure(redis: RedisClient | null): void {
    if (redis === this.#redis) return
    this.#redis = redis
    this.#scripts.clear()
    this.#failures = 0
    for (const loan of this.#held) loan.reset()
    this.#held.clear()
  }

  loan(book: Book, key: string): Loan {
    return new Loan(book, key, this)
  }

  isDown(now: Moment): boolean {
    return this.#redis === null || now.steady < this.#downUntil
  }

  /** Units of a limit that this node holds, or has used without having said so: so many too many are admitted at worst. */
  outstanding(book: Book): number {
    let sum = 0
    for (const loan of this.#held) if (loan.book === book) sum += loan.outstanding
    return sum
  }

  enlist(loan: Loan): void {
    if (loan.isEnlisted) return
    loan.isEnlisted = true
    this.#next.push(loan)
    this.#schedule()
  }

  /** Gives back what is held; ends when Redis knows, or when it takes too long. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    if (this.#flush !== null) clearImmediate(this.#flush)
    const loans = [...this.#held]
    if (this.#redis === null || this.isDown(this.#now())) return
    for (const loan of loans) loan.surrender()
    await Promise.all(this.#portions(loans).map((portion) => this.#send(portion)))
  }

  #now(): Moment {
    return { wall: this.#clock.wall(), steady: this.#clock.steady() }
  }

  #schedule(): void {
    this.#flush ??= setImmediate(() => {
      this.#flush = null
      this.#sendAll()
    })
  }

  #sendAll(): void {
    const loans = this.#next
    this.#next = []
    const due: Loan[] = []
    for (const loan of loans) {
      // One call at a time for each: the next follows when this one is answered.
      if (loan.isCalling) this.#next.push(loan)
      else due.push(loan)
    }
    for (const portion of this.#portions(due)) void this.#call(portion)
  }

  /** Loans that can share a call. */
  #portions(loans: readonly Loan[]): Loan[][] {
    if (this.#redis?.settings.mode === 'cluster') return loans.map((loan) => [loan])
    const portions: Loan[][] = []
    for (let i = 0; i < loans.length; i += largestCall) portions.push(loans.slice(i, i + largestCall))
    return portions
  }

  async #call(loans: readonly Loan[]): Promise<void> {
    const redis = this.#redis
    for (const loan of loans) {
      loan.isEnlisted = false
      loan.isCalling = true
    }
    const sentAt = this.#clock.steady()
    const reply = await this.#send(loans)
    const now = this.#now()
    // What another Redis says of the loans of today is nothing.
    const isGood = !(reply instanceof RedisFault) && Array.isArray(reply) && redis === this.#redis
    this.#note(isGood ? null : reply, now)
    for (let i = 0; i < loans.length; i++) {
      const loan = loans[i] as Loan
      if (isGood) loan.answered(reply[i] as (number | string)[], sentAt, now)
      else loan.failed(now)
      if (loan.outstanding > 0) this.#hold(loan)
      this.#onNews(loan)
    }
    if (this.#next.length > 0) this.#schedule()
  }

  #send(loans: readonly Loan[]): Promise<RedisReply | RedisFault> {
    const redis = this.#redis
    const [first] = loans
    if (redis === null || first === undefined) return Promise.resolve(null)
    const now = this.#now()
    const keys: string[] = []
    const args: (string | number)[] = [this.#name]
    for (const loan of loans) {
      keys.push(redis.key(`lease:${loan.book.terms.name}:${loan.key}`))
      for (const arg of loan.message(now)) args.push(arg)
    }
    const { timeout } = first.book
    let script = this.#scripts.get(timeout)
    if (script === undefined) {
      script = redis.script(leaseScript, timeout)
      this.#scripts.set(timeout, script)
    }
    return script.run(keys, args)
  }

  #note(fault: unknown, now: Moment): void {
    if (fault === null) {
      if (this.#failures >= maxFailures) this.#log.info('limits are borrowed from Redis again')
      this.#failures = 0
      return
    }
    this.#failures++
    if (this.#failures < maxFailures) return
    this.#downUntil = now.steady + cooldown
    if (this.#failures > maxFailures) return
    const detail = fault instanceof RedisFault ? fault.detail : 'the reply is not one of the script'
    this.#log.error({ detail }, 'limits can not be borrowed from Redis')
  }

  #hold(loan: Loan): void {
    this.#held.add(loan)
    this.#timer ??= setInterval(() => this.#tidy(), tidying).unref()
  }

  #tidy(): void {
    const now = this.#now()
    for (const loan of this.#held) {
      loan.entry?.touch(now)
      if (!loan.tidy(now)) this.#held.delete(loan)
    }
    if (this.#held.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}
