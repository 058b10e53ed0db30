import { type Counter, capacityOf, grain, type Terms, wholeUp } from './counter.ts'

/** A bucket that each request fills and that drains evenly: `limit` units per `window`. */
export class Bucket implements Counter {
  readonly algorithm: 'token_bucket' | 'leaky_bucket'
  readonly start = 0
  /** In parts of a unit, `window` to the whole: so `limit` of them drain in a millisecond, and nothing is rounded. */
  #parts = 0
  #window = 1
  #at = 0
  #emptyAt = 0

  constructor(algorithm: 'token_bucket' | 'leaky_bucket') {
    this.algorithm = algorithm
  }

  level(terms: Terms, now: number): number {
    const { window } = terms
    if (window !== this.#window) {
      this.#parts = (this.#parts / this.#window) * window
      this.#window = window
    }
    // A clock that was put back drains nothing until it has caught up.
    if (now > this.#at) {
      this.#parts = Math.max(0, this.#parts - (now - this.#at) * terms.limit)
      this.#at = now
    }
    return this.#parts / window
  }

  use(terms: Terms, units: number, now: number): void {
    this.#parts += units * terms.window
    this.#emptyAt = now + this.#parts / terms.limit
  }

  undo(): void {}

  counts(): boolean {
    return false
  }

  wait(terms: Terms, units: number, lent: number): number {
    const room = capacityOf(terms) - units
    if (room < -grain) return Infinity
    const over = this.#parts + (lent - room) * terms.window
    return over <= grain * terms.window ? 0 : wholeUp(over / terms.limit)
  }

  wholeAt(terms: Terms, lent: number, now: number): number {
    return now + Math.ceil((this.#parts + lent * terms.window) / terms.limit)
  }

  isIdle(now: number): boolean {
    return now >= this.#emptyAt
  }
}
