import type { Limit, LimitAlgorithm } from '../../../core/services/limits.ts'

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

/** At least one millisecond. Fractions that are none don't make it one more. */
export function wholeUp(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds - 1e-6))
}
