export type BreakerState = 'closed' | 'open' | 'half-open'

/**
 * Leaves a service alone that fails again and again. Closed: calls go out. Open: none does, for a while. Half-open: one
 * call tries; how it ends decides.
 *
 * Times are milliseconds of one clock that the caller reads.
 */
export class Breaker {
  readonly #maxFailures: number
  readonly #cooldown: number
  #failures = 0
  /** When it opened; -1: it is closed. */
  #openedAt = -1
  #trying = false

  /** Opens after `maxFailures` in a row (0: never), for `cooldown` milliseconds. */
  constructor(maxFailures: number, cooldown: number) {
    this.#maxFailures = maxFailures
    this.#cooldown = cooldown
  }

  state(now: number): BreakerState {
    if (this.#openedAt === -1) return 'closed'
    return now - this.#openedAt < this.#cooldown ? 'open' : 'half-open'
  }

  /** Whether a call may go out now. Who is told so must say how it ended. */
  admits(now: number): boolean {
    if (this.#openedAt === -1) return true
    if (this.#trying || now - this.#openedAt < this.#cooldown) return false
    this.#trying = true
    return true
  }

  /** True: that closed it. */
  succeeded(): boolean {
    const wasOpen = this.#openedAt !== -1
    this.#failures = 0
    this.#openedAt = -1
    this.#trying = false
    return wasOpen
  }

  /** True: that opened it. */
  failed(now: number): boolean {
    if (this.#openedAt !== -1) {
      // Calls that went out before it opened say nothing new; the one that tries does.
      if (this.#trying) this.#openedAt = now
      this.#trying = false
      return false
    }
    this.#failures += 1
    if (this.#maxFailures === 0 || this.#failures < this.#maxFailures) return false
    this.#openedAt = now
    return true
  }
}
