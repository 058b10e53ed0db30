import { hash } from 'node:crypto'
import type { Kept, PluginLog } from '../core/plugin.ts'
import { TokenFault, type TokenRules, type TokenVerifier, type TrustedIssuer } from '../core/services/tokens.ts'
import type { VerificationKey } from '../core/verification-key.ts'
import { type Jws, readJws } from './jws.ts'
import { hasFittingLength, isHmac, isKnownAlgorithm, isSignedWith, signatureBytes } from './jwt-signature.ts'
import { TokenCache } from './token-cache.ts'
import { checkTimes, checkTypes, goodFrom, goodUntil, trustedFor } from './token-claims.ts'
import { TokenDigests } from './token-digests.ts'
import { tokenFaults } from './token-faults.ts'
import type { TokenFigures } from './token-figures.ts'
import type { Verification, VerificationPool } from './verification-pool.ts'

/** Tokens of one verifier that may be on their way: to the pool, which has a bound of its own, or to keys not yet fetched. */
const maxPending = 8192

/** Keys that are tried on a token that doesn't name one: an attacker chooses how many that are. */
const maxKeys = 8

const noKeys: readonly VerificationKey[] = Object.freeze([])

/** What a verifier shares with others of its process. */
export interface VerifierParts {
  readonly pool: VerificationPool
  readonly figures: TokenFigures
  readonly log: PluginLog
  readonly onClose: () => void
}

/**
 * Checks tokens by one set of rules and remembers the outcome. What is cheap to refuse is refused first: shape, header, issuer,
 * times; only then are keys looked for and a signature checked. A token that is known costs a comparison or a hash, and a look-up; no promise.
 */
export class JwtVerifier<T> implements TokenVerifier<T>, Kept {
  readonly #rules: TokenRules<T>
  readonly #pool: VerificationPool
  readonly #figures: TokenFigures
  readonly #log: PluginLog
  readonly #cache: TokenCache<T>
  readonly #digests = new TokenDigests()
  /** The same token, come again before it is checked, waits for the first. */
  readonly #pending = new Map<string, Promise<T | TokenFault>>()
  readonly #onClose: () => void

  constructor(rules: TokenRules<T>, { pool, figures, log, onClose }: VerifierParts) {
    this.#rules = rules
    this.#pool = pool
    this.#figures = figures
    this.#log = log
    this.#onClose = onClose
    this.#cache = new TokenCache(rules.cache, figures.lookups)
  }

  /** Good tokens that are kept. */
  get cached(): number {
    return this.#cache.size
  }

  verify(token: string): T | TokenFault | Promise<T | TokenFault> {
    if (token.length > this.#rules.maxSize) return tokenFaults.tooLarge
    const remembered = this.#digests.find(token)
    const digest = remembered === '' ? hash('sha256', token) : remembered
    const known = this.#cache.find(digest, Date.now())
    if (known === undefined) return this.#pending.get(digest) ?? this.#check(token, digest)
    if (remembered === '' && !(known instanceof TokenFault)) this.#digests.keep(token, digest)
    return known
  }

  close(): void {
    this.#cache.clear()
    this.#digests.clear()
    this.#onClose()
  }

  #check(token: string, digest: string): T | TokenFault | Promise<T | TokenFault> {
    const jws = readJws(token)
    // Faults of shape are not worth a place among the bad ones: to find them costs no more than to remember them.
    if (jws instanceof TokenFault) return jws
    const trusted = this.#judge(jws)
    if (trusted instanceof TokenFault) return this.#refuse(digest, jws, trusted, noKeys)
    if (!hasFittingLength(jws.header.alg, signatureBytes(token))) {
      return this.#refuse(digest, jws, tokenFaults.signatureInvalid, noKeys)
    }
    if (this.#pending.size >= maxPending) return tokenFaults.overloaded
    const keys = findKeys(trusted, jws)
    const outcome =
      keys instanceof Promise
        ? keys.then(
            (found) => this.#checkSignature(token, digest, jws, trusted, found),
            (error: Error) => this.#keysFailed(error),
          )
        : this.#checkSignature(token, digest, jws, trusted, keys)
    return outcome instanceof Promise ? this.#wait(digest, outcome) : outcome
  }

  /** What can be said without a key: whose token it is, or why it is bad. */
  #judge({ header, claims }: Jws): readonly TrustedIssuer[] | TokenFault {
    const malformed = checkTypes(claims)
    if (malformed !== undefined) return malformed
    if (!isKnownAlgorithm(header.alg)) return tokenFaults.algorithmNotAllowed
    const trusted = trustedFor(this.#rules.issuers, claims, header.alg)
    if (trusted instanceof TokenFault) return trusted
    return checkTimes(claims, this.#rules, Date.now()) ?? trusted
  }

  #checkSignature(
    token: string,
    digest: string,
    jws: Jws,
    trusted: readonly TrustedIssuer[],
    found: readonly VerificationKey[],
  ): T | TokenFault | Promise<T | TokenFault> {
    const { alg } = jws.header
    // The key says what it is for: a public key never verifies an HMAC, whatever the token and the rules say.
    const keys = found.filter((key) => key.live && key.algorithms.includes(alg)).slice(0, maxKeys)
    if (keys.length === 0) {
      return trusted.every((issuer) => issuer.keys.empty) ? tokenFaults.keysUnavailable : tokenFaults.keyUnknown
    }
    if (isHmac(alg)) {
      const key = keys.find((one) => isSignedWith(one.key, alg, token)) ?? null
      return this.#conclude(token, digest, jws, keys, key)
    }
    const verification = this.#pool.verify(token, alg, keys)
    if (verification instanceof TokenFault) return verification
    return verification.then((result) => this.#conclude(token, digest, jws, keys, result))
  }

  #conclude(
    token: string,
    digest: string,
    jws: Jws,
    keys: readonly VerificationKey[],
    verification: Verification,
  ): T | TokenFault {
    const { alg } = jws.header
    if (verification instanceof TokenFault) {
      this.#figures.verified(alg, 'failed')
      return verification
    }
    if (verification === null) {
      this.#figures.verified(alg, 'bad')
      return this.#refuse(digest, jws, tokenFaults.signatureInvalid, keys)
    }
    this.#figures.verified(alg, 'good')
    // Withdrawn while the token was on its way.
    if (!verification.live) return tokenFaults.keyUnknown
    const value = this.#accept(digest, jws)
    if (value instanceof TokenFault) return value.kind === 'invalid' ? this.#refuse(digest, jws, value, noKeys) : value
    this.#cache.keep(digest, value, verification, goodUntil(jws.claims, this.#rules), token.length)
    return value
  }

  #accept(digest: string, { claims, header }: Jws): T | TokenFault {
    try {
      return this.#rules.accept(claims, header, digest)
    } catch (error) {
      this.#log.error('the check of claims has failed', { reason: (error as Error).message })
      return tokenFaults.acceptFailed
    }
  }

  #refuse(digest: string, { header, claims }: Jws, fault: TokenFault, keys: readonly VerificationKey[]): TokenFault {
    const now = Date.now()
    const isEarly = fault === tokenFaults.notYetValid || fault === tokenFaults.issuedInFuture
    // With keys of another name, or none, the issuer may add the right one at any time: such tokens are tried again.
    if (keys.some(({ kid }) => kid === null || kid !== header.kid)) return fault
    this.#cache.refuse(digest, fault, keys, now, isEarly ? goodFrom(claims, this.#rules) : Infinity)
    return fault
  }

  #keysFailed(error: Error): TokenFault {
    this.#log.error('keys could not be looked for', { reason: error.message })
    return tokenFaults.keysUnavailable
  }

  #wait(digest: string, outcome: Promise<T | TokenFault>): Promise<T | TokenFault> {
    this.#pending.set(digest, outcome)
    const forget = (): void => void this.#pending.delete(digest)
    outcome.then(forget, forget)
    return outcome
  }
}

/** The keys that may have signed the token, of all whose token it can be. */
function findKeys(
  trusted: readonly TrustedIssuer[],
  { header }: Jws,
): readonly VerificationKey[] | Promise<readonly VerificationKey[]> {
  const [only] = trusted
  if (trusted.length === 1 && only !== undefined) return only.keys.find(header.kid, header.alg)
  const found = trusted.map(({ keys }) => keys.find(header.kid, header.alg))
  const waits = found.some((keys) => keys instanceof Promise)
  if (!waits) return (found as (readonly VerificationKey[])[]).flat()
  return Promise.all(found.map((keys) => Promise.resolve(keys))).then((lists) => lists.flat())
}
