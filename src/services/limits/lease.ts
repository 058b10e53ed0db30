import type { Terms } from './counters/counter.ts'

/**
 * What workers and the primary say to each other about counters. The primary owns them and lends workers units of a budget
 * ahead of the requests that will use them. What is lent counts as used until it comes back or its time is over: so nothing
 * is admitted twice, whoever dies or hangs, and a request that finds a unit in hand asks nobody.
 */

/** Where the budget comes from: the counters of this node, or Redis, from which the node itself borrows. */
export type Pool = 'node' | 'leased' | 'strict'

/** Milliseconds of traffic that one loan is meant for, however much that is. */
export const horizon = 50

/** Milliseconds for which a loan holds at most; each exchange begins them anew. */
export const term = 5000

/**
 * A loan that is no larger than such a part of the limit is meant for a whole term: of a thousand keys with little traffic
 * each, few requests have to ask (native-notes/limits.md).
 */
export const portion = 32

/** Milliseconds by which loans end before their window: clocks that are being adjusted run up to 0.05 % apart. */
export const margin = 2

/** Milliseconds between two looks at what lies idle. */
export const tidying = 200

/** A limit that a worker counts by; told before its first use, and whenever its terms have changed. */
export interface BookTerms {
  /** The worker's number for it. */
  readonly id: number
  readonly pool: Pool
  /** Milliseconds that a call to Redis may take. */
  readonly timeout: number
  readonly terms: Terms
}

/** From a worker. Lists are flat, as they are made and read by the thousand. */
export interface Petition {
  /** Its number; 0: asks for nothing and is not answered, for all of its accounts are given back whole. */
  readonly number: number
  readonly books: readonly BookTerms[]
  /** `accountFields` per account. */
  readonly accounts: readonly (string | number)[]
  /** When units of a sliding_log were used: index of the account, count, then as many pairs of time and units. */
  readonly uses: readonly number[]
  /** Requests that wait: id, count of limits, then per limit index of the account and cost. */
  readonly asks: readonly number[]
}

/**
 * Of each account: book, key, serial of the loan, units used, units given back, units wanted, start and end of the calendar
 * window (0: by the clock).
 */
export const accountFields = 8

/** From the primary. */
export interface Ruling {
  /** Number of the petition that is answered; 0: none. */
  readonly number: number
  /** `grantFields` for each account of the petition. */
  readonly grants: readonly number[]
  /** `answerFields` per request, then `findingFields` for each of its limits. */
  readonly answers: readonly number[]
  /** Pairs of book and key: whatever is left of them is to be given back. */
  readonly recalls: readonly (string | number)[]
}

/**
 * Units lent, serial of the loan (another than before: what was lent before counts as used), until when it holds, units that
 * are left to others, when the limit is whole again.
 */
export const grantFields = 5

/** Request id, verdict, delay, bits of observed limits that would have refused, milliseconds to retry, count of limits. */
export const answerFields = 6

/** Units left, when the limit is whole again, until when the same cost is refused for certain (0: not certain). */
export const findingFields = 3

/** Verdicts that are no index of the limit that refused. */
export const verdicts = { admitted: -1, unavailable: -2 } as const

const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** Milliseconds since the machine started: goes on evenly whatever happens to the time of day, the same in all processes. */
export function steady(): number {
  return performance.now() + origin
}

/** The two clocks that counting needs; tests have their own. */
export interface Clock {
  /** Milliseconds since the epoch; may be set back and forth. */
  wall(): number
  steady(): number
}

export const clock: Clock = { wall: Date.now, steady }
