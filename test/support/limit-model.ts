import type { Limit } from '../../src/core/services/limits.ts'

/**
 * The algorithms as a textbook has them, slow and exact (whole numbers of any size, no fractions), over a clock that the
 * caller reads: milliseconds that never go back. What the stores say is held against this.
 */
export interface ModelAnswer {
  readonly admitted: boolean
  readonly refusedBy: number
  readonly remaining: readonly number[]
  readonly resetAt: readonly number[]
  readonly retryAfter: number
  readonly delay: number
  readonly wouldRefuse: number
}

/** What was used of one limit under one key. */
interface Tally {
  /** Units that a request may still cost at that time. */
  left(limit: Limit, now: number): number
  take(limit: Limit, now: number, cost: number): void
  resetAt(limit: Limit, now: number): number
}

export class LimitModel {
  readonly #tallies = new Map<string, Tally>()

  admit(
    now: number,
    limits: readonly Limit[],
    keys: readonly string[],
    costs: readonly number[] = limits.map(() => 1),
  ): ModelAnswer {
    const tallies = limits.map((limit, i) => this.#tally(limit, keys[i] as string))
    const cost = (i: number): number => costs[i] as number
    const waits = limits.map((limit, i) => wait(tallies[i] as Tally, limit, now, cost(i)))
    const enforced = waits.map((time, i) => (limits[i]?.observe === true ? 0 : time))
    const retryAfter = Math.max(0, ...enforced)
    const admitted = retryAfter === 0
    let delay = 0
    if (admitted) {
      for (const [i, limit] of limits.entries()) {
        if (waits[i] !== 0) continue
        if (!limit.observe) delay = Math.max(delay, delayOf(tallies[i] as Tally, limit, now))
        if (cost(i) > 0) tallies[i]?.take(limit, now, cost(i))
      }
    }
    return {
      admitted,
      refusedBy: admitted ? -1 : enforced.indexOf(retryAfter),
      remaining: tallies.map((tally, i) => Math.max(0, tally.left(limits[i] as Limit, now))),
      resetAt: tallies.map((tally, i) => tally.resetAt(limits[i] as Limit, now)),
      retryAfter,
      delay,
      wouldRefuse: limits.reduce((bits, limit, i) => bits | (limit.observe && waits[i] !== 0 ? 1 << i : 0), 0),
    }
  }

  /** The end of a request that was admitted. */
  release(limits: readonly Limit[], keys: readonly string[], costs: readonly number[] = limits.map(() => 1)): void {
    for (const [i, limit] of limits.entries()) {
      const tally = this.#tally(limit, keys[i] as string)
      if (tally instanceof Concurrency) tally.inFlight -= costs[i] as number
    }
  }

  #tally(limit: Limit, key: string): Tally {
    const name = `${limit.name} ${key}`
    const tally = this.#tallies.get(name) ?? new kinds[limit.algorithm]()
    this.#tallies.set(name, tally)
    return tally
  }
}

/** The least time after which the cost fits: found by trying, so that it is what it says. */
function wait(tally: Tally, limit: Limit, now: number, cost: number): number {
  if (cost > capacityOf(limit)) return Number.POSITIVE_INFINITY
  if (tally.left(limit, now) >= cost) return 0
  if (limit.algorithm === 'concurrency') return 1000
  let [low, high] = [0, 1]
  while (tally.left(limit, now + high) < cost) [low, high] = [high, high * 2]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (tally.left(limit, now + middle) >= cost) high = middle
    else low = middle
  }
  return high
}

/** A leaky bucket lets a request pass when what came before it has drained. */
function delayOf(tally: Tally, limit: Limit, now: number): number {
  return limit.algorithm === 'leaky_bucket' && !limit.nodelay ? tally.resetAt(limit, now) - now : 0
}

function capacityOf({ algorithm, limit, burst }: Limit): number {
  if (algorithm === 'leaky_bucket') return burst + 1
  return algorithm === 'token_bucket' && burst > 0 ? burst : limit
}

function windowAt({ window, calendar }: Limit, now: number): { start: number; end: number } {
  if (calendar !== null) return calendar(now)
  const start = now - (now % window)
  return { start, end: start + window }
}

/** Units since the window began. */
class FixedWindow implements Tally {
  #start = 0
  #count = 0

  left(limit: Limit, now: number): number {
    return limit.limit - (windowAt(limit, now).start === this.#start ? this.#count : 0)
  }

  take(limit: Limit, now: number, cost: number): void {
    this.#count = limit.limit - this.left(limit, now) + cost
    this.#start = windowAt(limit, now).start
  }

  resetAt(limit: Limit, now: number): number {
    return windowAt(limit, now).end
  }
}

/** Units of this window, and those of the one before as far as the last `window` milliseconds reach into it. */
class SlidingWindow implements Tally {
  readonly #counts = new Map<number, number>()

  left({ limit, window }: Limit, now: number): number {
    const elapsed = now % window
    const before = big(this.#counts.get(now - elapsed - window) ?? 0)
    const weighted = ceilingOf(before * big(window - elapsed), big(window))
    return limit - (this.#counts.get(now - elapsed) ?? 0) - Number(weighted)
  }

  take({ window }: Limit, now: number, cost: number): void {
    const start = now - (now % window)
    this.#counts.set(start, (this.#counts.get(start) ?? 0) + cost)
  }

  resetAt({ window }: Limit, now: number): number {
    return now - (now % window) + window
  }
}

/** Every unit counts for `window` milliseconds. */
class SlidingLog implements Tally {
  #times: number[] = []

  left({ limit, window }: Limit, now: number): number {
    return limit - this.#times.filter((time) => time + window > now).length
  }

  take(_limit: Limit, now: number, cost: number): void {
    for (let unit = 0; unit < cost; unit++) this.#times.push(now)
  }

  resetAt({ window }: Limit, now: number): number {
    const last = this.#times.at(-1)
    return last === undefined ? now : Math.max(now, last + window)
  }
}

/**
 * The generic cell rate algorithm as a bucket that fills with each request and drains evenly: `limit` units in `window`
 * milliseconds. Its level is counted in parts of a unit, `window` to the whole, so that `limit` parts drain in a
 * millisecond.
 */
class Bucket implements Tally {
  #level = 0n
  #at = 0

  left(limit: Limit, now: number): number {
    return capacityOf(limit) - Number(ceilingOf(this.#drained(limit, now), big(limit.window)))
  }

  take(limit: Limit, now: number, cost: number): void {
    this.#level = this.#drained(limit, now) + big(cost) * big(limit.window)
    this.#at = now
  }

  resetAt(limit: Limit, now: number): number {
    return now + Number(ceilingOf(this.#drained(limit, now), big(limit.limit)))
  }

  #drained({ limit }: Limit, now: number): bigint {
    const level = this.#level - big(now - this.#at) * big(limit)
    return level > 0n ? level : 0n
  }
}

class Concurrency implements Tally {
  inFlight = 0

  left({ limit }: Limit): number {
    return limit - this.inFlight
  }

  take(_limit: Limit, _now: number, cost: number): void {
    this.inFlight += cost
  }

  resetAt(_limit: Limit, now: number): number {
    return now
  }
}

const kinds = {
  fixed_window: FixedWindow,
  sliding_window: SlidingWindow,
  sliding_log: SlidingLog,
  token_bucket: Bucket,
  leaky_bucket: Bucket,
  concurrency: Concurrency,
} as const satisfies Record<Limit['algorithm'], new () => Tally>

function big(whole: number): bigint {
  return BigInt(whole)
}

function ceilingOf(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor
}
