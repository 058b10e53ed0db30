import { type Rejection, reject } from '../../core/errors.ts'
import { type HttpAnswer, HttpFault } from '../../core/services/http.ts'
import type { Answered } from '../answer-cache.ts'
import { objectIn } from '../json-object.ts'
import { nonsense, refusalOf, undecided } from '../service-refusal.ts'
import type { Config } from './schema.ts'

/** A token for the service behind. */
export interface Issued {
  /** The value of `Authorization`. */
  readonly authorization: string
}

export type Exchanged = Issued | Rejection

export function isIssued(exchanged: Exchanged): exchanged is Issued {
  return 'authorization' in exchanged
}

/** Tokens stand in a field (RFC 6750 §2.1 is stricter; providers are not). */
const sendable = /^[!-~]+$/

/** Used when the provider doesn't say how long a token is good, in milliseconds. */
const usualTtl = 60_000

/** Errors (RFC 6749 §5.2, RFC 8693 §2.2.2) that blame the token of the client. */
const blamesToken: ReadonlySet<string> = new Set(['invalid_request', 'invalid_grant', 'invalid_token'])
/** Errors that say: not for this caller. */
const denies: ReadonlySet<string> = new Set(['access_denied', 'invalid_scope', 'invalid_target', 'insufficient_scope'])

/** What the answer of a token endpoint means. */
export function readAnswer(config: Config, answer: HttpAnswer | HttpFault): Answered<Exchanged> {
  if (answer instanceof HttpFault) return refused(refusalOf(answer), 0)
  const { status, body } = answer
  const content = objectIn(body)
  if (status === 200) return content === null ? refused(nonsense, 0) : readIssued(config, content)
  if (status < 400 || status >= 500) return refused(undecided(status), 0)
  const error = content === null ? undefined : content['error']
  if (typeof error !== 'string') return refused(undecided(status), 0)
  const { negative_ttl } = config.cache
  if (blamesToken.has(error)) return refused(badToken(error), negative_ttl)
  if (denies.has(error)) return refused(denied(error), negative_ttl)
  // What is left is between the gateway and the provider: `invalid_client`, `unauthorized_client`…
  return refused(undecided(status), 0)
}

function readIssued({ cache }: Config, content: Record<string, unknown>): Answered<Exchanged> {
  const { access_token: token, token_type: type, expires_in: expiresIn } = content
  if (typeof token !== 'string' || !sendable.test(token)) return refused(nonsense, 0)
  // `N_A` is what a provider says of a token that is a plain JWT (RFC 8693 §2.2.1). Others need a proof of their own.
  if (typeof type !== 'string' || !/^(?:bearer|n_a)$/i.test(type)) return refused(nonsense, 0)
  const seconds = Number(expiresIn)
  const isKnown = expiresIn !== undefined && expiresIn !== null && Number.isFinite(seconds)
  const left = isKnown ? seconds * 1000 - cache.skew : usualTtl
  return {
    value: { authorization: `Bearer ${token}` },
    ttl: Math.max(0, Math.min(left, cache.ttl)),
    isRefusal: false,
    bytes: token.length,
  }
}

function refused(value: Rejection, ttl: number): Answered<Rejection> {
  return { value, ttl, isRefusal: true, bytes: 0 }
}

function badToken(error: string): Rejection {
  return reject('credentials_invalid', {
    headers: ['www-authenticate', 'Bearer error="invalid_token"'],
    detail: `exchange_${error}`,
  })
}

function denied(error: string): Rejection {
  return reject('access_denied', { detail: `exchange_${error}` })
}
