import type { KeySet } from './key-sets.ts'

export type Claims = Readonly<Record<string, unknown>>

/** JOSE header members that decide something. */
export interface TokenHeader {
  readonly alg: string
  readonly kid: string | null
  readonly typ: string | null
}

/** Whose tokens are believed, and what they may be signed with (RFC 8725 §3.1). */
export interface TrustedIssuer {
  /** What `iss` must be; `null`: not looked at. */
  readonly issuer: string | null
  /** One of them must be in `aud`; empty: not looked at. */
  readonly audiences: readonly string[]
  /** Never taken from the token. */
  readonly algorithms: readonly string[]
  readonly keys: KeySet
}

/** What makes a token good. `T` is what the caller wants to know of a good one, found out once per token. */
export interface TokenRules<T> {
  /** Rules with the same text share a verifier, and the tokens that it knows. */
  readonly fingerprint: string
  readonly issuers: readonly TrustedIssuer[]
  /** Milliseconds by which clocks may differ. */
  readonly clockSkew: number
  /** Which of `exp`, `nbf`, `iat` must be there. What is there is always checked. */
  readonly required: readonly ('exp' | 'nbf' | 'iat')[]
  /** Milliseconds since `iat` after which a token is too old whatever `exp` says; 0: no limit. */
  readonly maxAge: number
  /** Bytes: longer ones are refused unread. */
  readonly maxSize: number
  readonly cache: { readonly entries: number; readonly bytes: number }
  /**
   * Runs when signature, times, issuer and audience are good. `digest` is the SHA-256 of the whole token in lower-case hex. What it
   * returns must not be `undefined` and is kept with the token; to throw is to refuse.
   */
  accept(claims: Claims, header: TokenHeader, digest: string): T | TokenFault
}

/** Why a token is not good. `reason` is a snake_case word for the log: the client is told nothing of it. */
export class TokenFault {
  /** `unavailable`: no key to check it with can be had now; `overloaded`: too many wait to be checked. */
  readonly kind: 'invalid' | 'unavailable' | 'overloaded'
  readonly reason: string

  constructor(kind: TokenFault['kind'], reason: string) {
    this.kind = kind
    this.reason = reason
  }
}

export interface TokenVerifier<T> {
  /** At once for tokens that are known, HMACs and what is plainly wrong; else after a visit to the pool. Never rejects. */
  verify(token: string): T | TokenFault | Promise<T | TokenFault>
}

export interface TokenVerifiers {
  open<T>(rules: TokenRules<T>): TokenVerifier<T>
}
