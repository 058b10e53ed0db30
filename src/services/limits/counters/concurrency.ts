import { type Counter, grain, type Terms } from './counter.ts'

/** Milliseconds: nobody knows when a request in flight will end. */
const retryConcurrency = 1000

/** Requests in flight. Who counts them takes them off again, by using a negative number of units. */
export class Concurrency implements Counter {
  readonly algorithm = 'concurrency'
  readonly start = 0
  #inFlight = 0

  level(): number {
    return this.#inFlight
  }

  use(_terms: Terms, units: number): void {
    this.#inFlight += units
  }

  undo(): void {}

  counts(): boolean {
    return false
  }

  wait(terms: Terms, units: number, lent: number): number {
    if (units > terms.limit + grain) return Infinity
    return this.#inFlight + lent + units > terms.limit + grain ? retryConcurrency : 0
  }

  wholeAt(_terms: Terms, _lent: number, now: number): number {
    return now
  }

  isIdle(): boolean {
    return this.#inFlight <= grain
  }
}
