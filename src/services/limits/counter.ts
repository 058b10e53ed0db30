import type { Limit, LimitAlgorithm } from '../../core/services/limits.ts'

/** What a counter has to know of a limit: plain data, so that it travels between processes. */
export interface Terms extends Omit<Limit, 'calendar'> {
  /** Its windows come with each request, from who knows the time zone. */
  readonly calendar: boolean
}

/** Windows that are not those of the clock: the one that holds the request. Both in milliseconds since the epoch. */
export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * What was used of one limit under one key. Times are milliseconds of any clock, always the same one. The terms come with
 * every call, so that changed ones hold at once. Units are what requests cost.
 *
 * To be counted, `lent` units more than those used are on their way and count as if they were used now.
 */
export interface Counter {
  readonly algorithm: LimitAlgorithm
  /** Units that count at `now`; may be a fraction. Moves the counter on to `now`. */
  level(terms: Terms, now: number, span: Span | null): number
  /** Counts units, whether they fit or not. Call `level` first. */
  use(terms: Terms, units: number, now: number): void
  /** Takes back units that were counted in a window which began at `start`, as long as that matters. */
  undo(units: number, start: number): void
  /** Whether it does: what was used in that window still counts. */
  counts(start: number): boolean
  /** Start of the window that it is in; 0 where there are none. */
  readonly start: number
  /** Whole milliseconds from `now` until `units` more fit if nobody else comes; Infinity: never. Call `level` first. */
  wait(terms: Terms, units: number, lent: number, now: number): number
  /** When nothing counts any more; for windows: when this one ends. Call `level` first. */
  wholeAt(terms: Terms, lent: number, now: number): number
  /** Nothing is lost when it is forgotten. */
  isIdle(now: number): boolean
}

/** Fractions differ in their last digits; so much of a unit is none. */
export const grain = 1e-9

/** Most units that can count at once. */
export function capacityOf(terms: Pick<Limit, 'algorithm' | 'limit' | 'burst'>): number {
  if (terms.algorithm === 'leaky_bucket') return terms.burst + 1
  if (terms.algorithm === 'token_bucket' && terms.burst > 0) return terms.burst
  return terms.limit
}

export function termsOf(limit: Limit): Terms {
  const { name, algorithm, window, burst, nodelay, observe } = limit
  return { name, algorithm, limit: limit.limit, window, burst, nodelay, observe, calendar: limit.calendar !== null }
}

export function newCounter(algorithm: LimitAlgorithm): Counter {
  switch (algorithm) {
    case 'fixed_window':
      return new FixedWindow()
    case 'sliding_window':
      return new SlidingWindow()
    case 'sliding_log':
      return new SlidingLog()
    case 'token_bucket':
    case 'leaky_bucket':
      return new Bucket(algorithm)
    case 'concurrency':
      return new Concurrency()
  }
}

/** Requests since the window began. */
class FixedWindow implements Counter {
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

/** The window before counts as far as it still reaches into the last `window` milliseconds, evenly spread. */
class SlidingWindow implements Counter {
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

/** At least one millisecond. Fractions that are none don't make it one more. */
function wholeUp(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds - 1e-6))
}

/** Times that are kept apart; with more than that, neighbours are counted as the later of them. */
const apart = 1024

/** Every request counts for `window` milliseconds. */
class SlidingLog implements Counter {
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

/** A bucket that each request fills and that drains evenly: `limit` units per `window`. */
class Bucket implements Counter {
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

/** Requests in flight. Who counts them takes them off again, by using a negative number of units. */
class Concurrency implements Counter {
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

/** Milliseconds: nobody knows when a request in flight will end. */
const retryConcurrency = 1000
