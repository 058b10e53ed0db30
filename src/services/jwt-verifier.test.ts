import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { recordInstruments } from '../../test/support/instruments.ts'
import { joeVectors } from '../../test/support/jws-vectors.ts'
import { claims, newSigner, rules, sign, signer, TestKeys } from '../../test/support/signer.ts'
import { reasonOf, TestVerifiers } from '../../test/support/verifier.ts'
import { type Claims, TokenFault } from '../core/services/tokens.ts'
import { KeyFault, keyOfJwk, publicKeyAlgorithms, secretAlgorithms } from '../core/verification-key.ts'
import { VerificationPool } from './verification-pool.ts'

const verifiers = new TestVerifiers()
beforeEach(() => verifiers.reset())
afterEach(() => void vi.useRealTimers())
afterAll(() => verifiers.pool.close())

const hmac = signer('HS256')
const rsa = signer('RS256')
const seconds = (): number => Math.floor(Date.now() / 1000)

describe('a token is accepted', () => {
  test.each([...publicKeyAlgorithms, ...secretAlgorithms])('that was signed with %s', async (algorithm) => {
    const key = signer(algorithm)
    const verifier = verifiers.open(rules(new TestKeys(key), [algorithm]))
    const payload = claims()
    const token = await sign(key, payload)
    expect(await verifier.verify(token)).toEqual(payload)
    expect(verifier.cached).toBe(1)
    expect(
      verifiers.instruments.read(`sluice_token_verifications_total{algorithm="${algorithm}",outcome="good"}`),
    ).toBe(1)
  })

  test.each(joeVectors)('that is published: $from', async ({ token, jwk, algorithm }) => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1300819379_000 })
    const key = keyOfJwk(jwk, { secrets: true })
    if (key === null || key instanceof KeyFault) throw new Error('not a key')
    const trusted = { issuer: 'joe', audiences: [], algorithms: [algorithm], keys: new TestKeys(key) }
    const verifier = verifiers.open({ ...rules(trusted.keys, []), issuers: [trusted] })
    expect(await reasonOf(verifier, token)).toBe('good')
    vi.setSystemTime(1300819380_000)
    expect(await reasonOf(verifier, token)).toBe('expired')
  })

  test('at once when it is an HMAC, and after a visit to the pool when it is not', async () => {
    expect(verifiers.open(rules(new TestKeys(hmac), ['HS256'])).verify(await sign(hmac))).toMatchObject({
      sub: 'user-1',
    })
    const verifier = verifiers.open(rules(new TestKeys(rsa), ['RS256']))
    const token = await sign(rsa)
    const first = verifier.verify(token)
    expect(first).toBeInstanceOf(Promise)
    const value = await first
    // The very same thing the next time, without a promise.
    expect(verifier.verify(token)).toBe(value)
    expect(verifiers.lookups('hit')).toBe(1)
  })

  test('with what the caller makes of it, found out once', async () => {
    const accept = vi.fn((accepted: Claims, header: object, digest: string) => ({ accepted, header, digest }))
    const verifier = verifiers.open({ ...rules(new TestKeys(hmac), ['HS256']), accept })
    const token = await sign(hmac)
    const known = verifier.verify(token)
    expect(known).toMatchObject({
      header: { alg: 'HS256', kid: 'key-HS256', typ: null },
      digest: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    })
    expect(verifier.verify(token)).toBe(known)
    expect(accept).toHaveBeenCalledTimes(1)
  })
})

describe('what is known of a token', () => {
  test('ends when the token does, as a fresh check would', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const verifier = verifiers.open(rules(new TestKeys(hmac), ['HS256'], { clockSkew: 5_000 }))
    const token = await sign(hmac, claims({ exp: seconds() + 60 }))
    expect(await reasonOf(verifier, token)).toBe('good')
    vi.advanceTimersByTime(64_999)
    expect(await reasonOf(verifier, token)).toBe('good')
    expect(verifiers.lookups('hit')).toBe(1)
    vi.advanceTimersByTime(1)
    expect(await reasonOf(verifier, token)).toBe('expired')
    expect(verifier.cached).toBe(0)
  })

  test('ends when the token is too old', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const verifier = verifiers.open(rules(new TestKeys(hmac), ['HS256'], { maxAge: 10_000 }))
    const token = await sign(hmac)
    expect(await reasonOf(verifier, token)).toBe('good')
    vi.advanceTimersByTime(10_000)
    expect(await reasonOf(verifier, token)).toBe('too_old')
  })

  test('one that was bad twice is not checked again for a while', async () => {
    const verifier = verifiers.open(rules(new TestKeys(rsa), ['RS256']))
    const token = await sign({ ...newSigner('RS256'), verification: rsa.verification })
    for (let i = 0; i < 2; i++) expect(await reasonOf(verifier, token)).toBe('signature_invalid')
    expect(verifier.verify(token)).toMatchObject({ reason: 'signature_invalid' })
    expect(verifiers.lookups('negative')).toBe(1)
    expect(verifiers.instruments.read('sluice_token_verifications_total{algorithm="RS256",outcome="bad"}')).toBe(2)
  })

  test('one that comes too early is good when its time comes', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const verifier = verifiers.open(rules(new TestKeys(hmac), ['HS256'], { clockSkew: 1_000 }))
    const token = await sign(hmac, claims({ nbf: seconds() + 5, iat: seconds() + 4 }))
    for (let i = 0; i < 2; i++) expect(await reasonOf(verifier, token)).toBe('not_yet_valid')
    vi.advanceTimersByTime(3_999)
    expect(await reasonOf(verifier, token)).toBe('not_yet_valid')
    expect(verifiers.lookups('negative')).toBe(1)
    vi.advanceTimersByTime(1)
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('identical tokens are checked once, however often they come', async () => {
    const verifier = verifiers.open(rules(new TestKeys(rsa), ['RS256']))
    const [token, other] = [await sign(rsa), await sign(rsa, claims({ sub: 'user-2' }))]
    const before = verifiers.poolInstruments.read('sluice_token_batch_size')
    const results = [token, token, other, token].map((one) => verifier.verify(one))
    expect(results[1]).toBe(results[0])
    expect(results[3]).toBe(results[0])
    expect(await results[0]).toMatchObject({ sub: 'user-1' })
    expect(await results[2]).toMatchObject({ sub: 'user-2' })
    expect(verifiers.instruments.read('sluice_token_verifications_total{algorithm="RS256",outcome="good"}')).toBe(2)
    // Both went in one message.
    expect(verifiers.poolInstruments.read('sluice_token_batch_size')).toBe(before + 1)
  })

  test('good ones are bounded, bad ones do not drive them out', async () => {
    const verifier = verifiers.open(rules(new TestKeys(hmac), ['HS256'], { cache: { entries: 10, bytes: 1_000_000 } }))
    for (let i = 0; i < 20; i++) await verifier.verify(await sign(hmac, claims({ sub: `user-${i}` })))
    expect(verifier.cached).toBe(10)
    const last = await sign(hmac, claims({ sub: 'user-19' }))
    const head = last.slice(0, last.lastIndexOf('.'))
    for (let i = 0; i < 5000; i++) {
      void verifier.verify(`${head}.${Buffer.alloc(32, `${i}`).toString('base64url')}`)
    }
    expect(verifier.cached).toBe(10)
    expect(verifier.verify(last)).toMatchObject({ sub: 'user-19' })
    expect(verifiers.lookups('hit')).toBe(1)
  })

  test('too many at a time are refused as such, and are not remembered as bad', async () => {
    const narrow = new VerificationPool(recordInstruments(), verifiers.log, { maxWork: 25 })
    const verifier = verifiers.open(rules(new TestKeys(rsa), ['RS256']), narrow)
    const tokens = [await sign(rsa), await sign(rsa, claims({ sub: 'user-2' }))] as const
    const first = verifier.verify(tokens[0])
    expect(verifier.verify(tokens[1])).toMatchObject({ kind: 'overloaded' })
    expect(await first).toMatchObject({ sub: 'user-1' })
    expect(await reasonOf(verifier, tokens[1])).toBe('good')
    narrow.close()
    expect(await verifier.verify(tokens[0])).toMatchObject({ sub: 'user-1' })
  })

  test('a pool that is gone makes them unavailable, not bad', async () => {
    const short = new VerificationPool(recordInstruments(), verifiers.log)
    const verifier = verifiers.open(rules(new TestKeys(rsa), ['RS256']), short)
    const token = await sign(rsa)
    const pending = verifier.verify(token)
    short.close()
    expect(await pending).toMatchObject({ kind: 'unavailable' })
    expect(await reasonOf(verifier, token)).toBe('good')
    short.close()
  })

  test('is forgotten when the verifier is closed', async () => {
    const verifier = verifiers.open(rules(new TestKeys(hmac), ['HS256']))
    await verifier.verify(await sign(hmac))
    verifier.close()
    expect(verifier.cached).toBe(0)
  })
})

describe('what the caller says of a good token', () => {
  test('is the last word', async () => {
    const missing = new TokenFault('invalid', 'claim_missing')
    const accept = vi.fn(() => missing)
    const verifier = verifiers.open({ ...rules(new TestKeys(hmac), ['HS256']), accept })
    const token = await sign(hmac)
    for (let i = 0; i < 5; i++) expect(verifier.verify(token)).toBe(missing)
    expect(accept).toHaveBeenCalledTimes(2)
  })

  test('is not remembered when it only could not say', async () => {
    const later = new TokenFault('unavailable', 'store_down')
    const verifier = verifiers.open({ ...rules(new TestKeys(hmac), ['HS256']), accept: () => later })
    const token = await sign(hmac)
    for (let i = 0; i < 3; i++) expect(verifier.verify(token)).toBe(later)
    expect(verifiers.lookups('negative')).toBe(0)
  })

  test.each([['HS256'], ['RS256']])('is no when it fails (%s)', async (algorithm) => {
    const key = signer(algorithm)
    const accept = (): never => {
      throw new Error('a fault of ours')
    }
    const verifier = verifiers.open({ ...rules(new TestKeys(key), [algorithm]), accept })
    expect(await reasonOf(verifier, await sign(key))).toBe('accept_failed')
    expect(verifiers.errors).toHaveLength(1)
    expect(verifier.cached).toBe(0)
  })
})
