import type { Admission, Limit, LimitStore, LimitStoreSettings } from '../../core/services/limits.ts'
import type { ServiceHost } from '../host.ts'
import { capacityOf } from './counters/counter.ts'
import { type Pool, verdicts } from './lease.ts'
import type { Account, Book } from './lease-account.ts'
import { type Exchange, exchangeOf, type Finding } from './lease-exchange.ts'
import { presumed } from './redis-store-admission.ts'

/**
 * Milliseconds that the primary has at least. It is a process of the same machine: when it does not answer it is busy with a
 * reload, and not lost.
 */
const leastBound = 250

/** So many requests may wait before those that are bound to be refused are no longer taken to the primary. */
const crowd = 512

/**
 * Counters of the node, exact over all its workers (`store: node`), or of all nodes that share a Redis (`store: leased`). A
 * request that finds what it needs in hand, or a budget that is known to be used up, is decided at once. All others are taken
 * to the primary, those of a tick together.
 *
 * What an admission says is left is so as far as this worker knows: others may have used more since it last asked.
 */
export class NodeLimitStore implements LimitStore {
  readonly #exchange: Exchange
  readonly #pool: Pool
  readonly #onError: LimitStoreSettings['onError']
  readonly #bound: number
  /** For Redis, as far as the primary may wait for it. */
  readonly #timeout: number
  readonly #books = new WeakMap<Limit, Book>()
  /** Those of the request that is looked at; one array for all, as each look would need one (bench/micro/limits-node). */
  readonly #accounts: (Account | undefined)[] = []
  /** Decides when Redis can't; only for `leased`. */
  #fallback: NodeLimitStore | null = null

  constructor(host: ServiceHost, settings: LimitStoreSettings) {
    this.#exchange = exchangeOf(host.link)
    this.#exchange.open()
    this.#pool = settings.store !== 'leased' ? 'node' : settings.strict ? 'strict' : 'leased'
    this.#onError = settings.onError
    this.#timeout = settings.timeout
    this.#bound = this.#pool === 'node' ? Math.max(leastBound, settings.timeout) : settings.timeout
    if (this.#pool !== 'node' && settings.onError === 'node')
      this.#fallback = new NodeLimitStore(host, { ...settings, store: 'node', onError: 'deny' })
  }

  admit(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission> {
    const now = this.#exchange.clock.steady()
    let isKnown = true
    let lacks = false
    let refusedBy = -1
    let openAt = 0
    let wouldRefuse = 0
    for (let i = 0; i < limits.length; i++) {
      const account = this.#bookOf(limits[i] as Limit).accounts.get(keys[i] as string)
      this.#accounts[i] = account
      const cost = costs[i] as number
      if (account === undefined) isKnown = false
      else if (account.permits >= cost && now < account.until) continue
      else if (now >= account.closedUntil || cost < account.closedCost) lacks = true
      else if ((limits[i] as Limit).observe) wouldRefuse |= 1 << i
      else if (account.closedUntil > openAt) {
        openAt = account.closedUntil
        refusedBy = i
      }
    }
    // Limits of which nothing is known yet may refuse for longer: to say when to come again the primary is asked.
    if (refusedBy !== -1 && (isKnown || this.#exchange.waiting > crowd)) {
      const retryAfter = openAt === Infinity ? Infinity : Math.max(1, Math.ceil(openAt - now))
      return this.#refusal(limits, keys, refusedBy, retryAfter, wouldRefuse)
    }
    if (isKnown && !lacks && refusedBy === -1) return this.#take(limits, keys, costs, wouldRefuse, now)
    return this.#ask(limits, keys, costs, now)
  }

  release(admission: Admission): void {
    if (admission.decidedBy === 'node' && this.#fallback !== null) return this.#fallback.release(admission)
    if (!admission.admitted || admission.decidedBy === 'allow') return
    const { limits, keys } = admission
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i] as Limit
      if (limit.algorithm !== 'concurrency' || (admission.wouldRefuse & (1 << i)) !== 0) continue
      const account = this.#bookOf(limit).accounts.get(keys[i] as string)
      if (account !== undefined && account.inFlight > 0) this.#exchange.release(account, 1)
    }
  }

  /** With the last store of a worker all that it has in hand goes back. */
  close(): void {
    this.#fallback?.close()
    this.#exchange.close()
  }

  #bookOf(limit: Limit): Book {
    let book = this.#books.get(limit)
    if (book === undefined) {
      book = this.#exchange.holding.book(limit, this.#pool, this.#timeout)
      this.#books.set(limit, book)
    }
    return book
  }

  #take(
    limits: readonly Limit[],
    keys: readonly string[],
    costs: readonly number[],
    wouldRefuse: number,
    now: number,
  ): Admission {
    const remaining: number[] = []
    const resetAt: number[] = []
    for (let i = 0; i < limits.length; i++) {
      const account = this.#accounts[i] as Account
      if ((wouldRefuse & (1 << i)) === 0) {
        account.spend(costs[i] as number, now)
        if (account.permits < account.low) this.#exchange.settle(account)
      }
      remaining.push(Math.floor(account.left + account.permits))
      resetAt.push(account.resetAt)
    }
    return new Decision(limits, keys, 'store', -1, remaining, resetAt, 0, 0, wouldRefuse)
  }

  #refusal(
    limits: readonly Limit[],
    keys: readonly string[],
    refusedBy: number,
    retryAfter: number,
    wouldRefuse: number,
  ): Admission {
    const remaining: number[] = []
    const resetAt: number[] = []
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i] as Limit
      const account = this.#accounts[i]
      remaining.push(account === undefined ? capacityOf(limit) : Math.floor(account.left + account.permits))
      resetAt.push(account === undefined ? this.#exchange.clock.wall() : account.resetAt)
    }
    return new Decision(limits, keys, 'store', refusedBy, remaining, resetAt, retryAfter, 0, wouldRefuse)
  }

  #ask(
    limits: readonly Limit[],
    keys: readonly string[],
    costs: readonly number[],
    now: number,
  ): Admission | Promise<Admission> {
    const exchange = this.#exchange
    if (exchange.isDeaf(now, this.#bound)) return this.#blind(limits, keys, costs)
    const accounts: Account[] = []
    for (let i = 0; i < limits.length; i++) {
      accounts.push(exchange.holding.account(this.#bookOf(limits[i] as Limit), keys[i] as string))
    }
    return new Promise((resolve) => {
      const decide = (finding: Finding | null): void =>
        resolve(
          finding === null || finding.verdict === verdicts.unavailable
            ? this.#blind(limits, keys, costs)
            : decisionOf(limits, keys, finding),
        )
      exchange.ask({ accounts, costs, deadline: now + this.#bound, decide }, now)
    })
  }

  /** Nobody could say in time. */
  #blind(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission> {
    if (this.#fallback !== null) return this.#fallback.#decideFor(limits, keys, costs)
    return presumed(this.#onError === 'allow' ? 'allow' : 'deny', limits, keys)
  }

  #decideFor(
    limits: readonly Limit[],
    keys: readonly string[],
    costs: readonly number[],
  ): Admission | Promise<Admission> {
    const admission = this.admit(limits, keys, costs)
    return admission instanceof Promise ? admission.then(asNode) : asNode(admission)
  }
}

function asNode(admission: Admission): Admission {
  return admission.decidedBy === 'store' ? { ...admission, decidedBy: 'node' } : admission
}

function decisionOf(limits: readonly Limit[], keys: readonly string[], finding: Finding): Admission {
  const { verdict, remaining, resetAt, retryAfter, delay, wouldRefuse } = finding
  return new Decision(limits, keys, 'store', verdict, remaining, resetAt, retryAfter, delay, wouldRefuse)
}

class Decision implements Admission {
  readonly admitted: boolean
  readonly refusedBy: number
  readonly remaining: readonly number[]
  readonly resetAt: readonly number[]
  readonly retryAfter: number
  readonly delay: number
  readonly wouldRefuse: number
  readonly decidedBy: Admission['decidedBy']
  readonly limits: readonly Limit[]
  readonly keys: readonly string[]
  previous: Admission | null = null

  constructor(
    limits: readonly Limit[],
    keys: readonly string[],
    decidedBy: Admission['decidedBy'],
    refusedBy: number,
    remaining: readonly number[],
    resetAt: readonly number[],
    retryAfter: number,
    delay: number,
    wouldRefuse: number,
  ) {
    this.admitted = decidedBy === 'allow' || (decidedBy === 'store' && refusedBy === -1)
    this.refusedBy = refusedBy
    this.remaining = remaining
    this.resetAt = resetAt
    this.retryAfter = retryAfter
    this.delay = delay
    this.wouldRefuse = wouldRefuse
    this.decidedBy = decidedBy
    this.limits = limits
    this.keys = keys
  }
}
