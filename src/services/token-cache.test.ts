import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newSigner } from '../../test/support/signer.ts'
import { TokenFault } from '../core/services/tokens.ts'
import type { VerificationKey } from '../core/verification-key.ts'
import { TokenCache } from './token-cache.ts'

const bad = new TokenFault('invalid', 'signature_invalid')
const [digestA, digestB] = [hash('sha256', 'a'), hash('sha256', 'b')]

function counted() {
  const counts = { hit: 0, miss: 0, negative: 0 }
  const counter = (name: keyof typeof counts) => ({ add: (count: number) => void (counts[name] += count) })
  return { counts, counters: { hit: counter('hit'), miss: counter('miss'), negative: counter('negative') } }
}

function newKey(): VerificationKey {
  return newSigner('HS256').verification
}

function cacheOf({ entries = 100, bytes = 1_000_000 } = {}) {
  const { counts, counters } = counted()
  return { cache: new TokenCache<string>({ entries, bytes }, counters), counts }
}

const key = newKey()

describe('good tokens', () => {
  test('are found until their time is over', () => {
    const { cache, counts } = cacheOf()
    cache.keep('a', 'alice', key, 1000, 500)
    expect(cache.find('a', 0)).toBe('alice')
    expect(cache.find('a', 999)).toBe('alice')
    expect(cache.find('a', 1000)).toBeUndefined()
    // Gone for good: a clock that goes back brings nothing back.
    expect(cache.find('a', 0)).toBeUndefined()
    expect(cache.find('b', 0)).toBeUndefined()
    expect(counts).toEqual({ hit: 2, miss: 3, negative: 0 })
    expect(cache.size).toBe(0)
  })

  test('are bounded in number, and the one not used for longest goes first', () => {
    const { cache } = cacheOf({ entries: 3 })
    for (const name of ['a', 'b', 'c']) cache.keep(name, name, key, 1000, 100)
    cache.find('a', 0)
    cache.keep('d', 'd', key, 1000, 100)
    expect(cache.size).toBe(3)
    expect(['a', 'b', 'c', 'd'].map((name) => cache.find(name, 0))).toEqual(['a', undefined, 'c', 'd'])
  })

  test('are bounded in bytes', () => {
    const { cache } = cacheOf({ bytes: 10_000 })
    for (let i = 0; i < 50; i++) cache.keep(`token ${i}`, 'x', key, 1000, 750)
    expect(cache.size).toBe(5)
    expect(cache.bytes).toBeLessThanOrEqual(10_000)
    // One that is larger than all together is not kept, and drives nothing out.
    cache.keep('huge', 'x', key, 1000, 100_000)
    expect(cache.find('huge', 0)).toBeUndefined()
    expect(cache.size).toBe(5)
  })

  test('die at once when their key is withdrawn, and only they', () => {
    const { cache } = cacheOf()
    const other = newKey()
    cache.keep('a', 'alice', key, 1000, 100)
    cache.keep('b', 'bob', other, 1000, 100)
    other.live = false
    expect(cache.find('b', 0)).toBeUndefined()
    expect(cache.find('a', 0)).toBe('alice')
    other.live = true
    expect(cache.find('b', 0)).toBeUndefined()
  })

  test('are replaced by what is known later', () => {
    const { cache } = cacheOf()
    cache.keep('a', 'old', key, 1000, 100)
    cache.keep('a', 'new', key, 2000, 200)
    expect(cache.find('a', 1500)).toBe('new')
    expect(cache.size).toBe(1)
  })

  test('are forgotten when asked to', () => {
    const { cache } = cacheOf()
    cache.keep('a', 'alice', key, 1000, 100)
    for (let i = 0; i < 2; i++) cache.refuse(digestB, bad, [], 0, Infinity)
    cache.clear()
    expect([cache.find('a', 0), cache.find(digestB, 0), cache.size, cache.bytes]).toEqual([undefined, undefined, 0, 0])
    // Not even that it came once.
    cache.refuse(digestB, bad, [], 0, Infinity)
    expect(cache.find(digestB, 0)).toBeUndefined()
  })
})

describe('bad tokens', () => {
  function refuseTwice(cache: TokenCache<string>, digest: string, keys: readonly VerificationKey[], until = Infinity) {
    for (let i = 0; i < 2; i++) cache.refuse(digest, bad, keys, 1000, until)
  }

  test('leave nothing behind the first time', () => {
    const { cache } = cacheOf()
    cache.refuse(digestA, bad, [key], 1000, Infinity)
    expect(cache.find(digestA, 1000)).toBeUndefined()
    cache.refuse(digestB, bad, [key], 1000, Infinity)
    expect(cache.find(digestB, 1000)).toBeUndefined()
    cache.refuse(digestA, bad, [key], 1000, Infinity)
    expect(cache.find(digestA, 1000)).toBe(bad)
    expect(cache.find(digestB, 1000)).toBeUndefined()
  })

  test('are remembered for ten seconds', () => {
    const { cache, counts } = cacheOf()
    refuseTwice(cache, digestA, [key])
    expect(cache.find(digestA, 10_999)).toBe(bad)
    expect(cache.find(digestA, 11_000)).toBeUndefined()
    expect(counts).toEqual({ hit: 0, miss: 1, negative: 1 })
  })

  test('are remembered no longer than until they may be good', () => {
    const { cache } = cacheOf()
    refuseTwice(cache, digestA, [], 1500)
    expect(cache.find(digestA, 1499)).toBe(bad)
    expect(cache.find(digestA, 1500)).toBeUndefined()
  })

  test('are tried again when one of their keys is withdrawn', () => {
    const { cache } = cacheOf()
    const other = newKey()
    refuseTwice(cache, digestA, [key, other])
    expect(cache.find(digestA, 1000)).toBe(bad)
    other.live = false
    expect(cache.find(digestA, 1000)).toBeUndefined()
  })

  test('push no good one out, however many come, however often', () => {
    const { cache } = cacheOf({ entries: 10, bytes: 10_000 })
    for (let i = 0; i < 9; i++) cache.keep(`good ${i}`, 'x', key, 10_000, 50)
    const digests = Array.from({ length: 20_000 }, (_, i) => hash('sha256', `bad ${i}`))
    for (const digest of digests) refuseTwice(cache, digest, [])
    for (let i = 0; i < 9; i++) expect(cache.find(`good ${i}`, 1000)).toBe('x')
    // They are bounded themselves.
    expect(digests.filter((digest) => cache.find(digest, 1000) === bad)).toEqual(digests.slice(-4096))
  })
})

test('whatever happens, the bounds hold and nothing is found that was not put there', () => {
  const names = fc.integer({ min: 0, max: 30 }).map(String)
  const step = fc.oneof(
    fc.record({ do: fc.constant('keep' as const), name: names, until: fc.nat(100), length: fc.nat(2000) }),
    fc.record({ do: fc.constant('find' as const), name: names, now: fc.nat(100) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { cache } = cacheOf({ entries: 8, bytes: 12_000 })
      const kept = new Map<string, number>()
      for (const one of steps) {
        if (one.do === 'keep') {
          cache.keep(one.name, `of ${one.name}`, key, one.until, one.length)
          kept.set(one.name, one.until)
        } else {
          const found = cache.find(one.name, one.now)
          if (found !== undefined) {
            expect(found).toBe(`of ${one.name}`)
            expect(one.now).toBeLessThan(kept.get(one.name) ?? -1)
          }
        }
        expect(cache.size).toBeLessThanOrEqual(8)
        expect(cache.bytes).toBeLessThanOrEqual(12_000)
      }
    }),
  )
})
