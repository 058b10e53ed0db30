import { createHmac, hash, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

/**
 * API keys as Sluice makes them: `<prefix>_<id>_<secret><checksum>`, such as `sk_live_x7Hq2mPa91Lc_…`.
 *
 * The id says which hash to compare with, so that nobody has to try them all; it is no secret. The secret is 256 random bits.
 * The checksum tells a mistyped key, or any old text, without a look into the store; and it lets scanners that look for leaked
 * keys be sure of one. Prefix and id hold letters and digits, the rest is base 62.
 *
 * Keys that others have made are opaque: any text. They are found by a keyed hash of the whole.
 */

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const secretLength = 43
const checksumLength = 6
const tailLength = secretLength + checksumLength
const longestId = 64
const longestPrefix = 32

/** The longest API key that is looked at, in characters. */
export const longestKey = 1024

/** Whether a new key may begin with `text`: `sk_live`, `acme`. */
export function isKeyPrefix(text: string): boolean {
  return text.length <= longestPrefix && /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/.test(text)
}

/** Whether `text` may be the id of a new key. */
export function isKeyId(text: string): boolean {
  return text.length > 0 && text.length <= longestId && isIdAt(text, 0, text.length)
}

/** An id of 71 random bits: enough that two never meet. */
export function randomKeyId(): string {
  return base62(BigInt(`0x${randomBytes(9).toString('hex')}`) % 62n ** 12n, 12)
}

/** A new key. Throws a `TypeError` when prefix or id are none. */
export function createKey(prefix: string, id: string): string {
  if (!isKeyPrefix(prefix) || !isKeyId(id)) throw new TypeError('not the prefix or the id of a key')
  // 62⁴³ is more than 2²⁵⁶: nothing of the randomness is lost.
  const secret = base62(BigInt(`0x${randomBytes(32).toString('hex')}`), secretLength)
  const text = `${prefix}_${id}_${secret}`
  return text + base62(BigInt(crc32(text)), checksumLength)
}

/** The id within a key that Sluice made; `null` for all other text. */
export function idOfKey(key: string): string | null {
  const tail = key.length - tailLength
  if (tail < 4 || key.length > longestKey || key.charCodeAt(tail - 1) !== underscore) return null
  const start = key.lastIndexOf('_', tail - 2) + 1
  const length = tail - 1 - start
  if (start < 2 || length < 1 || length > longestId || !isIdAt(key, start, tail - 1)) return null
  return crc32(key.slice(0, -checksumLength)) === checksumAtEnd(key) ? key.slice(start, tail - 1) : null
}

const underscore = 95

/** Letters, digits and hyphens. */
function isIdAt(text: string, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i)
    if (base62Digit(c) === -1 && c !== 45) return false
  }
  return true
}

/** -1 where it is none: no checksum is negative. */
function checksumAtEnd(key: string): number {
  let value = 0
  for (let i = key.length - checksumLength; i < key.length; i++) {
    const digit = base62Digit(key.charCodeAt(i))
    if (digit === -1) return -1
    value = value * 62 + digit
  }
  return value
}

function base62Digit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  if (code >= 65 && code <= 90) return code - 55
  if (code >= 97 && code <= 122) return code - 61
  return -1
}

function base62(number: bigint, length: number): string {
  let text = ''
  for (let rest = number; rest > 0n; rest /= 62n) text = `${digits[Number(rest % 62n)]}${text}`
  return text.padStart(length, '0')
}

/**
 * What is kept of a key in its place.
 *
 * A key that Sluice made has 256 bits of randomness: nobody finds it by trying, whatever the hash costs. So this one is fast,
 * which every request pays for. Passwords are another matter (password.ts).
 */
export interface KeyHash {
  /** Hex digits that are hashed before the key; `null`: the hash is keyed with the salt of the store instead. */
  readonly salt: string | null
  readonly digest: Buffer
}

/** `sha256:<salt>:<digest>`, in hex: the SHA-256 of the salt's 32 hex digits followed by the key. */
export function hashKey(key: string): string {
  const salt = randomBytes(16).toString('hex')
  return `sha256:${salt}:${hash('sha256', salt + key, 'hex')}`
}

/**
 * `hmac-sha256:<digest>`, in hex: for keys that others have made, which may be short. Whoever sees it finds no key by trying,
 * as long as the salt is secret; and the same key always gives the same hash, so that it can be looked up by it.
 */
export function keyedHashOfKey(key: string, salt: KeyObject): string {
  return `hmac-sha256:${keyedDigest(key, salt).toString('hex')}`
}

/** A hash as `hashKey` or `keyedHashOfKey` write it; `null` when it is none. */
export function parseKeyHash(text: string): KeyHash | null {
  const [, salt, plain, keyed] =
    /^(?:sha256:([0-9a-f]{32}):([0-9a-f]{64})|hmac-sha256:([0-9a-f]{64}))$/.exec(text) ?? []
  const digest = plain ?? keyed
  return digest === undefined ? null : { salt: salt ?? null, digest: Buffer.from(digest, 'hex') }
}

/** Whether this is the key of a salted hash. Takes as long whichever bit differs. */
export function matchesHash(key: string, { salt, digest }: KeyHash): boolean {
  return timingSafeEqual(hash('sha256', (salt ?? '') + key, 'buffer'), digest)
}

export function keyedDigest(key: string, salt: KeyObject): Buffer {
  return createHmac('sha256', salt).update(key).digest()
}

/**
 * The name under which an opaque key is looked up: of its digest only half, so that who finds a name has still to show the
 * other half. No id has a dot.
 */
export function indexOfDigest(digest: Buffer): string {
  return `h.${digest.toString('hex', 0, 16)}`
}

const zonedTime = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/

/**
 * When a key expires, in milliseconds since the epoch: a day (of which the first moment in UTC counts), a time with its zone
 * (ISO 8601), or seconds since the epoch. `null` when it is none of these.
 */
export function parseExpiry(text: string): number | null {
  const time = /^[1-9]\d{0,11}$/.test(text) ? Number(text) * 1000 : zonedTime.test(text) ? Date.parse(text) : NaN
  return Number.isNaN(time) ? null : time
}
