import type { PooledAttempt } from './pooled-attempt.ts'

/** One connection of the undici client's pool, whatever it speaks. */
export interface PooledConnection {
  /** Requests that it can take now. */
  readonly capacity: number
  /** Requests that it took since it was opened. */
  readonly served: number
  /** Carries one more attempt; only while there is capacity. */
  run(attempt: PooledAttempt): void
}

/** What connections tell the pool that they belong to. */
export interface ConnectionOwner {
  /** There is capacity again. */
  onFree(connection: PooledConnection): void
  /** Has finished its request (1) and says in a moment that it is free or gone (-1). */
  onSettling(change: 1 | -1): void
  /** Takes no further requests, finishes those that it has. */
  onRetired(connection: PooledConnection): void
  onGone(connection: PooledConnection): void
  /** The connection ended before it took a byte of `attempt`. */
  onUnserved(attempt: PooledAttempt): void
}
