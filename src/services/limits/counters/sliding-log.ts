import { type Counter, grain, type Terms, wholeUp } from './counter.ts'

/** Times that are kept apart; with more than that, neighbours are counted as the later of them. */
const apart = 1024

/** Every request counts for `window` milliseconds. */
export class SlidingLog implements Counter {
  readonly algorithm = 'sliding_log'
  readonly start = 0
  /** Ascending; those before `#first` have expired. */
  #times: number[] = []
  #units: number[] = []
  #first = 0
  #total = 0

  level(terms: Terms, now: number): number {
    const { window } = terms
    while (this.#first < this.#times.length && (this.#times[this.#first] as number) + window <= now) {
      this.#total -= this.#units[this.#first] as number
      this.#first++
    }
    if (this.#first === this.#times.length) this.#total = 0
    if (this.#first > 32 && this.#first * 2 >= this.#times.length) this.#compact()
    return this.#total
  }

  use(terms: Terms, units: number, now: number): void {
    const times = this.#times
    let at = times.length
    while (at > this.#first && (times[at - 1] as number) > now) at--
    this.#total += units
    const last = at - 1
    if (last >= this.#first && this.#joins(terms, last, now)) {
      times[last] = now
      this.#units[last] = (this.#units[last] as number) + units
    } else if (at === times.length) {
      times.push(now)
      this.#units.push(units)
    } else {
      times.splice(at, 0, now)
      this.#units.splice(at, 0, units)
    }
  }

  undo(): void {}

  counts(): boolean {
    return false
  }

  wait(terms: Terms, units: number, lent: number, now: number): number {
    const room = terms.limit - units
    if (room < -grain) return Infinity
    let total = this.#total + lent
    if (total <= room + grain) return 0
    for (let i = this.#first; i < this.#times.length; i++) {
      total -= this.#units[i] as number
      if (total <= room + grain) return wholeUp((this.#times[i] as number) + terms.window - now)
    }
    return terms.window
  }

  wholeAt(terms: Terms, lent: number, now: number): number {
    if (lent > 0) return now + terms.window
    return this.#first < this.#times.length ? (this.#times.at(-1) as number) + terms.window : now
  }

  isIdle(): boolean {
    return this.#total <= grain
  }

  /** Whether a time is counted as one with that before it. Never moves a request to an earlier time. */
  #joins({ window }: Terms, last: number, now: number): boolean {
    const time = this.#times[last] as number
    if (time === now) return true
    if (this.#times.length - this.#first < apart) return false
    const before = last > this.#first ? (this.#times[last - 1] as number) : time
    return now - before < window / apart
  }

  #compact(): void {
    this.#times = this.#times.slice(this.#first)
    this.#units = this.#units.slice(this.#first)
    this.#first = 0
  }
}
