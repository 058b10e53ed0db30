import type { Claims, TokenFault, TokenRules, TrustedIssuer } from '../core/services/tokens.ts'
import { tokenFaults } from './token-faults.ts'

type TimeRules = Pick<TokenRules<unknown>, 'clockSkew' | 'required' | 'maxAge'>

/** Registered claims must have the types that RFC 7519 §4.1 gives them: whoever reads them next relies on it. */
export function checkTypes(claims: Claims): TokenFault | undefined {
  const { exp, nbf, iat, iss, sub, jti, aud } = claims
  const isGood =
    isTime(exp) && isTime(nbf) && isTime(iat) && isText(iss) && isText(sub) && isText(jti) && isTextOrList(aud)
  return isGood ? undefined : tokenFaults.claimMalformed
}

function isTime(value: unknown): boolean {
  return value === undefined || (typeof value === 'number' && Number.isFinite(value))
}

function isText(value: unknown): boolean {
  return value === undefined || typeof value === 'string'
}

function isTextOrList(value: unknown): boolean {
  if (!Array.isArray(value)) return isText(value)
  for (const item of value) if (typeof item !== 'string') return false
  return true
}

/** Whether the times are good at `now` (milliseconds since the epoch). The types must be checked already. */
export function checkTimes(claims: Claims, rules: TimeRules, now: number): TokenFault | undefined {
  for (const name of rules.required) if (claims[name] === undefined) return tokenFaults.missing[name]
  const { exp, nbf, iat } = claims as { exp?: number; nbf?: number; iat?: number }
  if (exp !== undefined && now >= exp * 1000 + rules.clockSkew) return tokenFaults.expired
  if (nbf !== undefined && now < nbf * 1000 - rules.clockSkew) return tokenFaults.notYetValid
  if (rules.maxAge > 0 && iat === undefined) return tokenFaults.missing.iat
  if (iat === undefined) return undefined
  if (now < iat * 1000 - rules.clockSkew) return tokenFaults.issuedInFuture
  return rules.maxAge > 0 && now >= iat * 1000 + rules.maxAge + rules.clockSkew ? tokenFaults.tooOld : undefined
}

/** The moment from which `checkTimes` refuses what it now accepts. */
export function goodUntil(claims: Claims, rules: TimeRules): number {
  const { exp = Infinity, iat = Infinity } = claims as { exp?: number; iat?: number }
  const end = rules.maxAge > 0 ? Math.min(exp * 1000, iat * 1000 + rules.maxAge) : exp * 1000
  return end + rules.clockSkew
}

/** The moment from which `checkTimes` may accept what is too early now. */
export function goodFrom(claims: Claims, rules: TimeRules): number {
  const { nbf = -Infinity, iat = -Infinity } = claims as { nbf?: number; iat?: number }
  return Math.max(nbf, iat) * 1000 - rules.clockSkew
}

/**
 * Those of the issuers whose token this can be: named by `iss`, with this algorithm and audience. Where one is named, those that don't look
 * at `iss` have no say: their keys must not speak for it.
 */
export function trustedFor(
  issuers: readonly TrustedIssuer[],
  claims: Claims,
  algorithm: string,
): readonly TrustedIssuer[] | TokenFault {
  const { iss, aud } = claims as { iss?: string; aud?: string | string[] }
  let named = issuers.filter(({ issuer }) => issuer !== null && issuer === iss)
  if (named.length === 0) named = issuers.filter(({ issuer }) => issuer === null)
  if (named.length === 0) return tokenFaults.issuerUnknown
  const fitting = named.filter(({ algorithms }) => algorithms.includes(algorithm))
  if (fitting.length === 0) return tokenFaults.algorithmNotAllowed
  const addressed = fitting.filter(({ audiences }) => audiences.length === 0 || hasOne(audiences, aud))
  return addressed.length === 0 ? tokenFaults.audienceMismatch : addressed
}

function hasOne(audiences: readonly string[], aud: string | string[] | undefined): boolean {
  if (aud === undefined) return false
  return typeof aud === 'string' ? audiences.includes(aud) : aud.some((one) => audiences.includes(one))
}
