import { createSecretKey, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { SignJWT } from 'jose'

/** The algorithms of JWS whose key is a public one. */
export const asymmetricAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const

export const hmacAlgorithms = ['HS256', 'HS384', 'HS512'] as const

export type Algorithm = (typeof asymmetricAlgorithms)[number] | (typeof hmacAlgorithms)[number]

/** A key to sign with, and what verifies it. */
export interface SigningKey {
  readonly kid: string
  readonly algorithm: Algorithm
  readonly privateKey: KeyObject
  /** The public key, or the secret, as a JWK with `kid`, `alg` and `use`. */
  readonly jwk: JsonWebKey
  /** Of a public key; `''` for a secret. */
  readonly pem: string
}

const curves: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }

/** RSA keys take long to make: all of a run share one, which fits six algorithms. */
let rsa: { readonly publicKey: KeyObject; readonly privateKey: KeyObject } | null = null

/** A new key for that algorithm. RSA keys are made only once per process unless `fresh`. */
export function signingKey(algorithm: Algorithm, kid = `${algorithm}-key`, fresh = false): SigningKey {
  if (algorithm.startsWith('HS')) {
    const secret = createSecretKey(Buffer.from(`${kid}-${'s'.repeat(64)}`))
    return {
      kid,
      algorithm,
      privateKey: secret,
      jwk: { ...secret.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' },
      pem: '',
    }
  }
  const { publicKey, privateKey } = keyPair(algorithm, fresh)
  return {
    kid,
    algorithm,
    privateKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' },
    pem: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  }
}

function keyPair(algorithm: Algorithm, fresh: boolean): { publicKey: KeyObject; privateKey: KeyObject } {
  const namedCurve = curves[algorithm]
  if (namedCurve !== undefined) return generateKeyPairSync('ec', { namedCurve })
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519')
  if (fresh) return generateKeyPairSync('rsa', { modulusLength: 2048 })
  rsa ??= generateKeyPairSync('rsa', { modulusLength: 2048 })
  return rsa
}

/** The text of a JWKS file. */
export function jwksText(...keys: readonly SigningKey[]): string {
  return JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })
}

export const issuer = 'https://auth.example.com'
export const audience = 'api.example.com'

/** What a token says unless a test says otherwise; `undefined` leaves a claim out. Good for ten minutes. */
export function usualClaims(claims: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000)
  const all = { iss: issuer, aud: audience, sub: 'user-1', iat: now, exp: now + 600, ...claims }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** A token by jose: made by somebody else than checks it. */
export function token(
  key: SigningKey,
  claims: Readonly<Record<string, unknown>> = {},
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new SignJWT(usualClaims(claims))
    .setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: 'JWT', ...header })
    .sign(key.privateKey)
}

/** A token that no library would make: header and payload as they are, signed with RS256 (or not at all). */
export function forgedToken(header: unknown, payload: unknown, key: SigningKey | null): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${key === null ? '' : sign('sha256', Buffer.from(input), key.privateKey).toString('base64url')}`
}

/** Challenges as clients read them. */
export const challenges = {
  missing: 'Bearer realm="api"',
  invalid: 'Bearer realm="api", error="invalid_token"',
  repeated: 'Bearer realm="api", error="invalid_request"',
} as const
