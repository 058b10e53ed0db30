import { createHash, createHmac, createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  createKey,
  hashKey,
  idOfKey,
  indexOfDigest,
  isKeyId,
  isKeyPrefix,
  keyedDigest,
  keyedHashOfKey,
  matchesHash,
  parseExpiry,
  parseKeyHash,
  randomKeyId,
} from './api-key.ts'

const salt = createSecretKey(Buffer.from('a secret that lies in a file'))

describe('a key', () => {
  test('carries its id', () => {
    for (const id of ['a', 'partner-7', 'x'.repeat(64), randomKeyId()]) {
      const key = createKey('sk_live', id)
      expect(key).toMatch(new RegExp(`^sk_live_${id}_[0-9A-Za-z]{49}$`))
      expect(idOfKey(key)).toBe(id)
    }
    expect(idOfKey(createKey('k', 'b'))).toBe('b')
  })

  test('is another one each time', () => {
    const keys = Array.from({ length: 200 }, () => createKey('sk', 'same'))
    expect(new Set(keys).size).toBe(200)
    expect(new Set(Array.from({ length: 200 }, randomKeyId)).size).toBe(200)
    expect(randomKeyId()).toMatch(/^[0-9A-Za-z]{12}$/)
  })

  test('with one character changed is none', () => {
    const key = createKey('sk_live', 'id-1')
    for (let i = 0; i < key.length; i++) {
      const other = key[i] === 'x' ? 'y' : 'x'
      expect(idOfKey(key.slice(0, i) + other + key.slice(i + 1)), `at ${i}`).toBeNull()
      expect(idOfKey(key.slice(0, i) + key.slice(i + 1)), `without ${i}`).toBeNull()
    }
  })

  test.each(['', 'sk_live_abc123', '_'.repeat(60), `__${'0'.repeat(49)}`, `a_${'0'.repeat(49)}`, 'x'.repeat(5000)])(
    '%j is none',
    (text) => expect(idOfKey(text)).toBeNull(),
  )

  test('any text is read without a fault', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => idOfKey(text) === null))
  })

  test.each([
    ['sk_live', true],
    ['acme', true],
    ['sk', true],
    ['sk1_2', true],
    ['', false],
    ['SK', false],
    ['sk_', false],
    ['_sk', false],
    ['1sk', false],
    ['sk__live', false],
    ['sk-live', false],
    ['s'.repeat(33), false],
  ])('the prefix %j is one: %j', (prefix, expected) => expect(isKeyPrefix(prefix)).toBe(expected))

  test.each([
    ['a', true],
    ['A-1', true],
    ['', false],
    ['a_b', false],
    ['a.b', false],
    ['a b', false],
    ['ä', false],
    ['x'.repeat(65), false],
  ])('the id %j is one: %j', (id, expected) => expect(isKeyId(id)).toBe(expected))

  test('is not made of what is no prefix or id', () => {
    expect(() => createKey('SK', 'a')).toThrow(TypeError)
    expect(() => createKey('sk', 'a_b')).toThrow(TypeError)
  })
})

describe('the hash of a key', () => {
  test('is that key and no other', () => {
    const key = createKey('sk_live', 'a')
    const hash = parseKeyHash(hashKey(key))
    expect(hash).not.toBeNull()
    expect(hash !== null && matchesHash(key, hash)).toBe(true)
    expect(hash !== null && matchesHash(createKey('sk_live', 'a'), hash)).toBe(false)
    expect(hash !== null && matchesHash('', hash)).toBe(false)
  })

  test('can be made by other tools', () => {
    const [, salt = '', digest] = hashKey('key').split(':')
    expect(digest).toBe(createHash('sha256').update(`${salt}key`).digest('hex'))
    expect(hashKey('key').split(':')[1]).not.toBe(salt)
  })

  test('that is keyed is always the same, and depends on the salt', () => {
    const expected = createHmac('sha256', 'a secret that lies in a file').update('sk_live_abc123').digest('hex')
    expect(keyedHashOfKey('sk_live_abc123', salt)).toBe(`hmac-sha256:${expected}`)
    expect(keyedHashOfKey('sk_live_abc123', createSecretKey(Buffer.from('another')))).not.toContain(expected)
    const hash = parseKeyHash(`hmac-sha256:${expected}`)
    expect(hash).toEqual({ salt: null, digest: keyedDigest('sk_live_abc123', salt) })
    expect(indexOfDigest(keyedDigest('sk_live_abc123', salt))).toBe(`h.${expected.slice(0, 32)}`)
  })

  test.each([
    'sk_live_abc123',
    'sha256:',
    `sha256:${'0'.repeat(64)}`,
    `sha256:${'0'.repeat(32)}:${'0'.repeat(63)}`,
    `sha256:${'0'.repeat(32)}:${'G'.repeat(64)}`,
    `hmac-sha256:${'0'.repeat(64)}\n`,
    `md5:${'0'.repeat(32)}`,
  ])('is not %j', (text) => expect(parseKeyHash(text)).toBeNull())
})

test.each([
  ['2027-01-31', Date.UTC(2027, 0, 31)],
  ['2027-01-31T12:00Z', Date.UTC(2027, 0, 31, 12)],
  ['2027-01-31T12:00:30.5+02:00', Date.UTC(2027, 0, 31, 10, 0, 30, 500)],
  ['1800000000', 1_800_000_000_000],
  ['2027-13-01', null],
  ['2027-01-31T12:00:00', null],
  ['2027-01-31 12:00Z', null],
  ['0', null],
  ['-1', null],
  ['1e3', null],
  ['never', null],
  ['', null],
])('%j as the end of a key is %j', (text, time) => expect(parseExpiry(text)).toBe(time))
