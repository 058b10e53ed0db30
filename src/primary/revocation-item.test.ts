import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { packed, unpacked } from './revocation.ts'
import { itemOf, readItem } from './revocation-item.ts'

const now = Date.UTC(2030, 0, 1)
const hour = 3_600_000
const rules = { now, tokenLifetime: 24 * hour, inFile: false }
const read = (item: unknown) => readItem(item, rules)
const inFile = (item: unknown) => readItem(item, { ...rules, inFile: true })

describe('an item', () => {
  test.each([
    [
      { jti: 'a' },
      { kind: 'jti', value: 'a', at: now, expires: now + 24 * hour, before: 0, reason: '', removed: false },
    ],
    [{ sub: 'alice' }, { kind: 'sub', expires: 0 }],
    [{ key: 'k1' }, { kind: 'key', expires: 0 }],
    [
      { consumer: 'c', reason: 'left' },
      { kind: 'consumer', expires: 0, reason: 'left' },
    ],
    [
      { sub: 'alice', issued_before: 'now' },
      { before: now, expires: now + 24 * hour },
    ],
    [
      { sub: 'alice', issued_before: '2029-12-31T23:00:00Z', expires_in: '2h' },
      { before: now - hour, expires: now + 2 * hour },
    ],
    [{ jti: 'a', expires_in: 90 }, { expires: now + 90_000 }],
    [{ jti: 'a', expires_at: '2030-01-01T02:00+01:00' }, { expires: now + hour }],
    [{ jti: 'a', expires_at: now / 1000 + 0.5 }, { expires: now + 500 }],
    [{ token_hash: 'AB'.repeat(32) }, { kind: 'token', value: 'ab'.repeat(32), expires: now + 24 * hour }],
  ])('%o', (item, expected) => {
    expect(read(item)).toMatchObject(expected)
  })

  test('of a token has its hash; a JWT is remembered for an hour after its end', () => {
    const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
    expect(read({ token: 'opaque' })).toMatchObject({ kind: 'token', value: hash('opaque'), expires: now + 24 * hour })
    const claims = (payload: unknown): string =>
      `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.c2ln`
    const token = claims({ exp: now / 1000 + 48 * 3600 })
    expect(read({ token })).toMatchObject({ value: hash(token), expires: now + 49 * hour })
    expect(read({ token, expires_in: '1h' })).toMatchObject({ expires: now + hour })
    for (const odd of [{}, { exp: 'x' }, { exp: -1 }, null])
      expect(read({ token: claims(odd) })).toMatchObject({ expires: now + 24 * hour })
    expect(read({ token: 'a.b.c' })).toMatchObject({ expires: now + 24 * hour })
    expect(read({ token: claims({ exp: 1e300 }) })).toMatchObject({ expires: Date.UTC(9999, 11, 31) })
  })

  test.each([
    [null, 'must be an object'],
    [[], 'must be an object'],
    ['jti', 'must be an object'],
    [{}, 'needs one of "jti", "sub", "token_hash", "key", "consumer", "token"'],
    [{ jti: 'a', sub: 'b' }, 'needs one of "jti", "sub", "token_hash", "key", "consumer", "token"'],
    [{ jti: 1 }, '"jti" must be a string that is not empty'],
    [{ jti: '' }, '"jti" must be a string that is not empty'],
    [{ sub: 'x'.repeat(1025) }, '"sub" must have at most 1024 characters'],
    [{ token: 'x'.repeat(65_537) }, '"token" must have at most 65536 characters'],
    [{ token_hash: 'abc' }, '"token_hash" must be a SHA-256 in hexadecimal'],
    [{ jti: 'a', why: 'x' }, 'unknown key "why"'],
    [{ jti: 'a', revoked_at: 5 }, 'unknown key "revoked_at"'],
    [{ jti: 'a', reason: 5 }, '"reason" must be a string of at most 256 characters'],
    [{ jti: 'a', expires_in: 'soon' }, '"expires_in" must be a duration such as 30m or 1h, or a number of seconds'],
    [{ jti: 'a', expires_in: 0 }, '"expires_in" must be a duration such as 30m or 1h, or a number of seconds'],
    [{ jti: 'a', expires_in: -5 }, '"expires_in" must be a duration such as 30m or 1h, or a number of seconds'],
    [
      { jti: 'a', expires_at: 'tomorrow' },
      '"expires_at" must be a time such as 2030-01-31T12:00:00Z, or seconds since 1970',
    ],
    [
      { jti: 'a', expires_at: '2030-02-31T25:00:00Z' },
      '"expires_at" must be a time such as 2030-01-31T12:00:00Z, or seconds since 1970',
    ],
    [{ jti: 'a', expires_at: 1e12 }, '"expires_at" must be a time such as 2030-01-31T12:00:00Z, or seconds since 1970'],
    [{ jti: 'a', expires_at: 5, expires_in: 5 }, 'takes "expires_in" or "expires_at", not both'],
    [{ jti: 'a', issued_before: 'now' }, '"issued_before" goes with "sub" and "consumer" only'],
    [
      { sub: 'a', issued_before: true },
      '"issued_before" must be a time such as 2030-01-31T12:00:00Z, or seconds since 1970, or "now"',
    ],
  ])('%o is refused', (item, words) => {
    expect(read(item)).toBe(words)
  })

  test('of a file has its own times, no token, and stays where nothing is said', () => {
    expect(inFile({ jti: 'a' })).toMatchObject({ expires: 0 })
    expect(inFile({ jti: 'a', revoked_at: '2029-01-01T00:00:00Z', removed: true })).toMatchObject({
      at: Date.UTC(2029, 0, 1),
      removed: true,
    })
    expect(inFile({ token: 'secret' })).toBe('holds a token: write "token_hash", the SHA-256 of it')
    expect(inFile({ jti: 'a', expires_in: '1h' })).toBe('unknown key "expires_in"')
    expect(inFile({ sub: 'a', issued_before: 'now' })).toContain('"issued_before" must be a time')
  })

  test('is written as it was read', () => {
    for (const item of [
      { jti: 'a:b c', reason: 'r' },
      { sub: 'é', issued_before: 'now' },
      { token: 't' },
      { key: 'k' },
    ]) {
      const revocation = read(item)
      if (typeof revocation === 'string') throw new Error(revocation)
      expect(inFile(JSON.parse(JSON.stringify(itemOf(revocation))))).toEqual(revocation)
      expect(unpacked(`${revocation.kind}:${revocation.value}`, `${revocation.at} ${packed(revocation)}`)).toEqual(
        revocation,
      )
    }
  })

  test('of another version of Redis is left out', () => {
    expect(unpacked('#', '5')).toBe(null)
    expect(unpacked('device:1', '1 0 0 0 ')).toBe(null)
    expect(unpacked('jti:1', '{}')).toBe(null)
  })
})
