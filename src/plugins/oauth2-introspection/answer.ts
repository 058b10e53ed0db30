import type { KnownConsumer } from '../../core/plugin.ts'
import { type HttpAnswer, HttpFault } from '../../core/services/http.ts'
import { type Claims, TokenFault } from '../../core/services/tokens.ts'
import type { Answered } from '../answer-cache.ts'
import { type Identify } from '../claimed-identity.ts'
import { type ClaimRule, claimPath, fulfils } from '../claims.ts'
import { objectIn } from '../json-object.ts'
import { KnownToken } from '../known-token.ts'
import { refusalOf } from '../service-refusal.ts'
import type { Config } from './schema.ts'

/** A token as the provider described it, or why it does not count. */
export type Introspected = KnownToken | TokenFault

const inactive = new TokenFault('invalid', 'token_inactive')
const expired = new TokenFault('invalid', 'token_expired')
const notYet = new TokenFault('invalid', 'token_not_yet_valid')
const foreign = new TokenFault('invalid', 'issuer_not_trusted')
const misdirected = new TokenFault('invalid', 'audience_mismatch')
const unfulfilled = new TokenFault('invalid', 'claims_not_fulfilled')
const nonsense = new TokenFault('unavailable', 'service_answer_invalid')

/** Milliseconds by which the provider's clock may be ahead of ours. */
const clockSkew = 5000

/** Makes the function that reads the answer of an introspection endpoint (RFC 7662 §2.2). */
export function reading(
  config: Config,
  identify: Identify,
  consumers: ReadonlyMap<string, KnownConsumer>,
): (answer: HttpAnswer | HttpFault, digest: string) => Answered<Introspected> {
  const { ttl, negative_ttl } = config.cache
  const rules: readonly ClaimRule[] = Object.entries(config.claims).map(([name, value]) => ({
    path: claimPath(name),
    values: Array.isArray(value) ? value : [value],
  }))
  const refuse = (value: TokenFault): Answered<TokenFault> => {
    return { value, ttl: value.kind === 'invalid' ? negative_ttl : 0, isRefusal: true, bytes: 0 }
  }

  return (answer, digest) => {
    const claims = claimsIn(answer)
    if (claims instanceof TokenFault) return refuse(claims)
    const now = Date.now()
    const fault = faultIn(config, claims, now)
    if (fault !== null) return refuse(fault)
    if (!fulfils(claims, rules, config.match)) return refuse(unfulfilled)
    const identity = identify(claims, consumers)
    if (identity instanceof TokenFault) return refuse(identity)
    return {
      value: new KnownToken(claims, digest, identity, consumers),
      ttl: Math.min(ttl, endOf(claims) - now),
      isRefusal: false,
      // What is parsed takes more than its text, and so does what is made of it.
      bytes: (answer as HttpAnswer).body.length * 3,
    }
  }
}

/** When the token ends, in milliseconds since the epoch. */
export function endOf({ exp }: Claims): number {
  return typeof exp === 'number' ? exp * 1000 : Infinity
}

function claimsIn(answer: HttpAnswer | HttpFault): Claims | TokenFault {
  if (answer instanceof HttpFault) {
    const kind = answer.kind === 'overloaded' ? 'overloaded' : 'unavailable'
    return new TokenFault(kind, refusalOf(answer).detail ?? answer.kind)
  }
  if (answer.status !== 200) return new TokenFault('unavailable', `service_status_${answer.status}`)
  const claims = objectIn(answer.body)
  if (claims === null || typeof claims['active'] !== 'boolean') return nonsense
  return claims['active'] ? claims : inactive
}

/** The provider has looked at the token; what it can not know is for whom we take it. Its times are looked at because we remember. */
function faultIn({ issuer, audience }: Config, claims: Claims, now: number): TokenFault | null {
  for (const name of ['exp', 'nbf', 'iat']) {
    const value = claims[name]
    if (value !== undefined && value !== null && !(typeof value === 'number' && Number.isFinite(value))) return nonsense
  }
  const { nbf, iss, aud } = claims
  if (now >= endOf(claims)) return expired
  if (typeof nbf === 'number' && nbf * 1000 > now + clockSkew) return notYet
  if (issuer !== undefined && iss !== issuer) return foreign
  if (audience === undefined) return null
  const wanted = typeof audience === 'string' ? [audience] : audience
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  return named.some((name) => wanted.includes(name as string)) ? null : misdirected
}
