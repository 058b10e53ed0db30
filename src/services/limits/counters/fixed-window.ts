import { type Counter, grain, type Span, type Terms } from './counter.ts'

/** Requests since the window began. */
export class FixedWindow implements Counter {
  readonly algorithm = 'fixed_window'
  start = 0
  #end = 0
  #count = 0
  /** Units counted after its end, as the next window of a calendar was not known yet, and when the last of them were. */
  #late = 0
  #lateAt = 0

  level(terms: Terms, now: number, span: Span | null): number {
    const start = span === null ? now - (now % terms.window) : span.start
    if (start !== this.start) this.#turn(start, span === null ? start + terms.window : span.end, now)
    else this.#end = span === null ? start + terms.window : span.end
    return this.#count
  }

  use(_terms: Terms, units: number, now: number): void {
    this.#count += units
    if (now < this.#end) return
    this.#late += units
    this.#lateAt = now
  }

  undo(units: number, start: number): void {
    if (start === this.start) this.#count = Math.max(0, this.#count - units)
  }

  counts(start: number): boolean {
    return start === this.start
  }

  wait(terms: Terms, units: number, lent: number, now: number): number {
    if (units > terms.limit + grain) return Infinity
    return this.#count + lent + units > terms.limit + grain ? Math.max(1, Math.ceil(this.#end - now)) : 0
  }

  wholeAt(): number {
    return this.#end
  }

  isIdle(now: number): boolean {
    if (this.#count <= grain) return true
    return now >= (this.#late === 0 ? this.#end : this.#lateAt + this.#end - this.start)
  }

  #turn(start: number, end: number, now: number): void {
    // A request that was sent just before the edge and is counted just behind it.
    if (start < this.start && now >= this.start) return
    // What was counted goes along where windows were given another length, or the clock was put back.
    if (now >= this.#end) this.#count = this.#lateAt < start ? 0 : this.#late
    this.#late = 0
    this.start = start
    this.#end = end
  }
}
