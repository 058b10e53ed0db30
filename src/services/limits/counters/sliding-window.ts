import { type Counter, grain, type Terms, wholeUp } from './counter.ts'

/** The window before counts as far as it still reaches into the last `window` milliseconds, evenly spread. */
export class SlidingWindow implements Counter {
  readonly algorithm = 'sliding_window'
  start = 0
  #window = 0
  #before = 0
  #count = 0

  level(terms: Terms, now: number): number {
    const start = now - (now % terms.window)
    if (start !== this.start || terms.window !== this.#window) this.#turn(start, terms.window)
    return (this.#before * (terms.window - (now - start))) / terms.window + this.#count
  }

  use(_terms: Terms, units: number): void {
    this.#count += units
  }

  undo(units: number, start: number): void {
    if (start === this.start) this.#count = Math.max(0, this.#count - units)
    else if (start === this.start - this.#window) this.#before = Math.max(0, this.#before - units)
  }

  counts(start: number): boolean {
    return start === this.start || start === this.start - this.#window
  }

  wait(terms: Terms, units: number, lent: number, now: number): number {
    const room = terms.limit - units
    if (room < -grain) return Infinity
    const { window } = terms
    const left = this.start + window - now
    const count = this.#count + lent
    if ((this.#before * left) / window + count <= room + grain) return 0
    // Either the window before fades far enough within this one, or this one has to fade within the next.
    if (count <= room + grain) return wholeUp(left - (Math.max(0, room - count) * window) / this.#before)
    return wholeUp(left + window - (Math.max(0, room) * window) / count)
  }

  wholeAt(terms: Terms): number {
    return this.start + terms.window
  }

  isIdle(now: number): boolean {
    return (this.#before <= grain && this.#count <= grain) || now >= this.start + 2 * this.#window
  }

  #turn(start: number, window: number): void {
    const next = this.start + this.#window
    if (start >= next && window === this.#window) {
      this.#before = start < next + window ? this.#count : 0
      this.#count = 0
    } else if (start >= next) {
      this.#before = 0
      this.#count = start < next + this.#window ? this.#count : 0
    }
    // Else windows were given another length, or the clock was put back: what was counted goes along.
    this.start = start
    this.#window = window
  }
}
