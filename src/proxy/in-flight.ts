import { performance } from 'node:perf_hooks'
import type { Exchange } from './exchange.ts'

/** Milliseconds between two looks at the clock: how much later than configured a request may run out of time. */
export const tick = 50

/**
 * The front end cuts a connection that moves no bytes for 10 s, or fewer than 16 kB a second while uploading. Pausing
 * and resuming starts its clock anew; doing that every 4 s leaves the decision to the configured time limits.
 */
const ticksBetweenTouches = 4000 / tick

let now = performance.now()

/** `performance.now()` as of the last tick: for time limits, where 50 ms more or less don't matter. */
export function coarseNow(): number {
  return now
}

/**
 * All exchanges in flight. One timer looks at their deadlines: setting one is a store into the exchange, where a timer
 * a request would cost an allocation and two list operations.
 */
export class InFlight {
  readonly #exchanges: Exchange[] = []
  readonly #expire: (exchange: Exchange) => void
  readonly #timer: NodeJS.Timeout
  #ticks = 0

  constructor(expire: (exchange: Exchange) => void) {
    this.#expire = expire
    this.#timer = setInterval(() => this.#sweep(), tick)
    this.#timer.unref()
  }

  get size(): number {
    return this.#exchanges.length
  }

  add(exchange: Exchange): void {
    exchange.slot = this.#exchanges.length
    this.#exchanges.push(exchange)
  }

  remove(exchange: Exchange): void {
    const { slot } = exchange
    if (slot === -1) return
    const last = this.#exchanges.pop() as Exchange
    if (last !== exchange) {
      this.#exchanges[slot] = last
      last.slot = slot
    }
    exchange.slot = -1
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #sweep(): void {
    now = performance.now()
    this.#ticks++
    const touch = this.#ticks % ticksBetweenTouches === 0
    // Backwards: an exchange that expires leaves the table, and the last one takes its place.
    for (let i = this.#exchanges.length - 1; i >= 0; i--) {
      const exchange = this.#exchanges[i] as Exchange
      if (now >= exchange.deadline || now >= exchange.totalDeadline) this.#expire(exchange)
      else if (touch && (!exchange.bodyReceived || exchange.stalled) && !exchange.uploadPaused) {
        exchange.downstream.pause()
        exchange.downstream.resume()
      }
    }
  }
}
