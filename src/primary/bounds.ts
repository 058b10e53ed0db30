/** How long the primary has patience with its workers. Times in milliseconds. */
export interface Bounds {
  /** From the fork to the first word of a worker. */
  readonly start: number
  /** To compile a snapshot. */
  readonly prepare: number
  /** To swap to it. */
  readonly activate: number
  readonly ping: number
  /** Unanswered pings before a worker is called hung, and before it is killed. */
  readonly hung: number
  readonly lost: number
  /** Serving this long makes up for earlier deaths. */
  readonly stable: number
  /** Wait before the second respawn in a row; doubles each time up to `longest`. */
  readonly backoff: number
  readonly longest: number
  /** Deaths in a row without ever serving that make a worker hopeless. */
  readonly stillborn: number
  /** Granted beyond the drain's own limit before a worker is killed. */
  readonly slack: number
}

export const defaultBounds: Bounds = {
  start: 30_000,
  prepare: 60_000,
  activate: 30_000,
  ping: 1000,
  hung: 5,
  lost: 60,
  stable: 10_000,
  backoff: 200,
  longest: 10_000,
  stillborn: 5,
  slack: 2000,
}
