import { generateKeyPairSync, sign } from 'node:crypto'
import { createKey, hashKey } from '../../src/core/api-key.ts'
import type { Caller } from '../load/job.ts'

export const issuer = 'https://auth.example.com'
export const audience = 'api.example.com'

/** Callers with tokens of their own. */
const tokenCount = 200

/** An API key, and what the configuration says of it. */
export interface ApiKey {
  readonly id: string
  readonly key: string
  readonly hash: string
}

/** Keys and tokens of one run: made anew each time, so that none of them stands in a file of the repository. */
export interface Credentials {
  readonly jwks: object
  /** One of each user. */
  readonly tokens: readonly string[]
  /** Of `shop`, which has no limit to speak of, and of `trial`, which has one that it goes beyond. */
  readonly shop: ApiKey
  readonly trial: ApiKey
}

export function createCredentials(): Credentials {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const header = encode({ alg: 'RS256', typ: 'JWT', kid: 'loadtest' })
  const now = Math.floor(Date.now() / 1000)
  const tokens = Array.from({ length: tokenCount }, (_, i) => {
    const claims = { iss: issuer, aud: audience, sub: userName(i), scope: 'orders:read', iat: now, exp: now + 172_800 }
    const input = `${header}.${encode(claims)}`
    return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`
  })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'loadtest', alg: 'RS256', use: 'sig' }
  return { jwks: { keys: [jwk] }, tokens, shop: createApiKey('shop'), trial: createApiKey('trial') }
}

/** Each token in turn. */
export function tokenCallers(tokens: readonly string[]): Caller[] {
  return tokens.map((token, i) => ({ name: userName(i), headers: `authorization: Bearer ${token}\r\n` }))
}

/** Tokens whose signatures are wrong, and no two of which are the same. */
export function forgedCallers(tokens: readonly string[]): Caller[] {
  return tokens.map((token) => {
    const at = token.lastIndexOf('.') + 20
    return { name: '', headers: `authorization: Bearer ${token.slice(0, at)}{n}${token.slice(at + 12)}\r\n` }
  })
}

export function keyCaller({ id, key }: ApiKey): Caller {
  return { name: id, headers: `x-api-key: ${key}\r\n` }
}

function userName(i: number): string {
  return `user-${i}`
}

function createApiKey(id: string): ApiKey {
  const key = createKey('sk_load', id)
  return { id, key, hash: hashKey(key) }
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
