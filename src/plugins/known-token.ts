import type { KnownConsumer } from '../core/plugin.ts'
import type { Revocations } from '../core/services/revocations.ts'
import { type Claims, TokenFault } from '../core/services/tokens.ts'
import type { Identify, Identity } from './claimed-identity.ts'

type Consumers = ReadonlyMap<string, KnownConsumer>

/**
 * A token that was found good, as the verifier remembers it: all that its requests need is here and ready. What can change while
 * the token does not (the list of the revoked, the consumers of the configuration) is looked at again only once it has changed.
 */
export class KnownToken {
  readonly claims: Claims
  /** Lower-case hex SHA-256 of the whole token. */
  readonly #digest: string
  #identity: Identity | TokenFault
  #consumers: Consumers
  /** The list, and its generation, that did not have this token. */
  #askedList: Revocations | null = null
  #askedGeneration = 0

  constructor(claims: Claims, digest: string, identity: Identity, consumers: Consumers) {
    this.claims = claims
    this.#digest = digest
    this.#identity = identity
    this.#consumers = consumers
  }

  identity(consumers: Consumers, identify: Identify): Identity | TokenFault {
    if (this.#consumers !== consumers) {
      this.#identity = identify(this.claims, consumers)
      this.#consumers = consumers
    }
    return this.#identity
  }

  isRevoked(revocations: Revocations): boolean {
    if (this.#askedGeneration === revocations.generation && this.#askedList === revocations) return false
    if (this.#stands(revocations)) return true
    this.#askedGeneration = revocations.generation
    this.#askedList = revocations
    return false
  }

  #stands(revocations: Revocations): boolean {
    const { jti, sub, iat } = this.claims
    const issuedAt = typeof iat === 'number' ? iat * 1000 : 0
    return (
      revocations.has('token', this.#digest, issuedAt) ||
      (typeof jti === 'string' && revocations.has('jti', jti, issuedAt)) ||
      (typeof sub === 'string' && revocations.has('sub', sub, issuedAt)) ||
      (!(this.#identity instanceof TokenFault) && revocations.has('consumer', this.#identity.consumer.id, issuedAt))
    )
  }
}
