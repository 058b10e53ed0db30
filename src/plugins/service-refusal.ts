import { type Rejection, reject } from '../core/errors.ts'
import type { HttpFault } from '../core/services/http.ts'

/** How requests are refused that a service outside should have decided about: always, and with the reason in the log only. */

const byKind: Readonly<Record<HttpFault['kind'], Rejection>> = {
  connect: reject('auth_unavailable', { detail: 'service_unreachable' }),
  timeout: reject('auth_unavailable', { detail: 'service_timeout' }),
  broken: reject('auth_unavailable', { detail: 'service_answer_broken' }),
  too_large: reject('auth_unavailable', { detail: 'service_answer_too_large' }),
  breaker_open: reject('auth_unavailable', { detail: 'service_breaker_open' }),
  overloaded: reject('auth_overloaded', { detail: 'service_calls_limit' }),
}

/** The service did not answer. */
export function refusalOf({ kind }: HttpFault): Rejection {
  return byKind[kind]
}

/** The service answered something that makes no sense. */
export const nonsense: Rejection = reject('auth_unavailable', { detail: 'service_answer_invalid' })

const byStatus = new Map<number, Rejection>()

/** The service answered with a status that decides nothing. */
export function undecided(status: number): Rejection {
  let refusal = byStatus.get(status)
  if (refusal === undefined) {
    refusal = reject('auth_unavailable', { detail: `service_status_${status}` })
    // A status has three digits: this does not grow.
    byStatus.set(status, refusal)
  }
  return refusal
}
