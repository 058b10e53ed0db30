import type { AttemptFailure } from './client.ts'

/** What follows a failed attempt: the same target on a connection of its own, another target, or nothing. */
export type Retry = 'same-fresh' | 'other' | null

/** Most targets that one request meets, however many there are: an upstream that is down must not cost minutes. */
const mostTargets = 3

/**
 * Whether a failed attempt may be followed by another one.
 *
 * `bodySent`: a byte of the request body was handed to the attempt and not kept, so it can't be sent again. `tried`: targets that
 * this request has met so far, the failed one included. `targets`: targets that can be picked.
 *
 * A request that has not left goes to another target. One that met a stale connection goes to the same target again, on
 * a fresh connection, when it is idempotent: the upstream may have seen it (RFC 9110 §9.2.2, RFC 9112 §9.3.1). A fresh
 * connection is never stale, so this happens once a target.
 */
export function mayRetry(
  failure: AttemptFailure,
  method: string,
  bodySent: boolean,
  tried: number,
  targets: number,
): Retry {
  if (bodySent) return null
  if (failure.stale && (failure.unsent || isIdempotent(method))) return 'same-fresh'
  return failure.unsent && tried < targets && tried < mostTargets ? 'other' : null
}

/** Methods whose repetition has the effect of one request (RFC 9110 §9.2.2). */
function isIdempotent(method: string): boolean {
  switch (method) {
    case 'GET':
    case 'HEAD':
    case 'OPTIONS':
    case 'TRACE':
    case 'PUT':
    case 'DELETE':
      return true
    default:
      return false
  }
}
