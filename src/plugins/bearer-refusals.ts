import { type Rejection, reject } from '../core/errors.ts'
import type { TokenFault } from '../core/services/tokens.ts'

/** How requests are refused, as plugins are told in their configuration. */
export interface RefusalSettings {
  readonly realm: string
  readonly status: number
  readonly message?: string | undefined
  /** Scopes that are asked for. */
  readonly scopes: readonly string[]
}

/**
 * Every answer to a request that doesn't get in, made beforehand. The challenges are those of RFC 6750 §3: a client learns whether
 * it has to bring another token, and nobody learns what was wrong with this one; that stands in the access log.
 */
export class Refusals {
  readonly missing: Rejection
  /** The request has two tokens where one may be. */
  readonly repeated: Rejection
  readonly scope: Rejection
  readonly #invalid: Rejection
  /** By the reason of the fault: a few words of ours, never anything of a token. */
  readonly #byFault = new Map<string, Rejection>()

  constructor(config: RefusalSettings, scheme: string) {
    const { realm, status, scopes } = config
    const challenge = (error: string): string[] => ['www-authenticate', `${scheme} realm="${realm}"${error}`]
    const message = config.message === undefined ? {} : { message: config.message }
    this.missing = reject('credentials_missing', { status, ...message, headers: challenge('') })
    this.#invalid = reject('credentials_invalid', {
      status,
      ...message,
      headers: challenge(', error="invalid_token"'),
    })
    this.repeated = reject('credentials_invalid', {
      status: status === 401 ? 400 : status,
      ...message,
      headers: challenge(', error="invalid_request"'),
      detail: 'token_repeated',
    })
    this.scope = reject('access_denied', {
      status: 403,
      headers: challenge(`, error="insufficient_scope", scope="${scopes.join(' ')}"`),
      detail: 'insufficient_scope',
    })
  }

  of({ kind, reason }: TokenFault): Rejection {
    const known = this.#byFault.get(reason)
    if (known !== undefined) return known
    const made = kind === 'invalid' ? { ...this.#invalid, detail: reason } : this.#ours(kind, reason)
    this.#byFault.set(reason, made)
    return made
  }

  #ours(kind: 'unavailable' | 'overloaded', detail: string): Rejection {
    return reject(kind === 'unavailable' ? 'auth_unavailable' : 'auth_overloaded', { detail })
  }
}
