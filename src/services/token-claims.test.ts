import { setImmediate } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { audience, claims, forge, issuer, newSigner, rules, sign, signer, TestKeys } from '../../test/support/signer.ts'
import { reasonOf, TestVerifiers } from '../../test/support/verifier.ts'
import type { Claims, TokenRules } from '../core/services/tokens.ts'

const verifiers = new TestVerifiers()
beforeEach(() => verifiers.reset())
afterEach(() => void vi.useRealTimers())
afterAll(() => verifiers.pool.close())

const hmac = signer('HS256')
const rsa = signer('RS256')
const seconds = (): number => Math.floor(Date.now() / 1000)

describe('times', () => {
  test.each([
    ['exp in the past', { exp: -1 }, 'expired'],
    ['exp now', { exp: 0 }, 'expired'],
    ['exp soon', { exp: 1 }, 'good'],
    ['nbf in the future', { nbf: 2 }, 'not_yet_valid'],
    ['nbf now', { nbf: 0 }, 'good'],
    ['iat in the future', { iat: 2 }, 'issued_in_future'],
    ['fractions', { exp: 0.5, nbf: -0.5 }, 'good'],
  ])('%s', async (_name, offsets, reason) => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const times = Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name, seconds() + offset]))
    expect(await verifiers.judge(await sign(hmac, claims(times)), hmac)).toBe(reason)
  })

  test.each([
    [{ exp: -29 }, 'good'],
    [{ exp: -30 }, 'expired'],
    [{ nbf: 30 }, 'good'],
    [{ nbf: 31 }, 'not_yet_valid'],
    [{ iat: 30 }, 'good'],
    [{ iat: 31 }, 'issued_in_future'],
    [{ iat: -89 }, 'good'],
    [{ iat: -90 }, 'too_old'],
  ])('with a clock skew of 30 s and at most 60 s of age: %j', async (offsets, reason) => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const times = Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name, seconds() + offset]))
    expect(await verifiers.judge(await sign(hmac, claims(times)), hmac, { clockSkew: 30_000, maxAge: 60_000 })).toBe(
      reason,
    )
  })

  test.each(['exp', 'nbf', 'iat'] as const)('%s must be there when it is required', async (name) => {
    const token = await sign(hmac, { iss: issuer, aud: audience })
    expect(await verifiers.judge(token, hmac, { required: [name] })).toBe(`${name}_missing`)
    expect(await verifiers.judge(token, hmac)).toBe('good')
  })

  test('without iat the age of a token is not known', async () => {
    expect(await verifiers.judge(await sign(hmac, { iss: issuer, aud: audience }), hmac, { maxAge: 1000 })).toBe(
      'iat_missing',
    )
  })

  test.each([
    '{"exp":"2000000000"}',
    '{"exp":1e999}',
    '{"exp":null}',
    '{"exp":true}',
    '{"exp":[2000000000]}',
    '{"nbf":"0"}',
    '{"iat":{}}',
    '{"iss":1}',
    '{"sub":1}',
    '{"sub":null}',
    '{"jti":1}',
    '{"aud":1}',
    '{"aud":{"api.example.com":1}}',
    '{"aud":["api.example.com",1]}',
    '{"aud":[["api.example.com"]]}',
  ])('claims of the wrong type are refused: %s', async (payload) => {
    expect(await verifiers.judge(forge(hmac, { alg: 'HS256' }, payload), hmac)).toBe('claim_malformed')
  })

  test('an expired token costs no look at the keys', async () => {
    const keys = new TestKeys(rsa)
    const verifier = verifiers.open(rules(keys, ['RS256']))
    expect(verifier.verify(await sign(rsa, claims({ exp: seconds() - 10 })))).toMatchObject({ reason: 'expired' })
    expect(keys.lookups).toBe(0)
  })
})

describe('issuers', () => {
  const other = newSigner('HS512', 'other')
  const both = (): TokenRules<Claims> => ({
    ...rules(new TestKeys(), []),
    issuers: [
      { issuer: 'a', audiences: [], algorithms: ['HS256'], keys: new TestKeys(hmac) },
      { issuer: 'b', audiences: ['x', 'y'], algorithms: ['HS512'], keys: new TestKeys(other) },
    ],
  })

  test.each([
    ['its own key', () => sign(hmac, { iss: 'a' }), 'good'],
    ['its own key, audience in a list', () => sign(other, { iss: 'b', aud: ['z', 'y'] }), 'good'],
    ['its own key, audience as text', () => sign(other, { iss: 'b', aud: 'x' }), 'good'],
    ["another issuer's key", () => sign(other, { iss: 'a' }), 'algorithm_not_allowed'],
    ["another issuer's name", () => sign(hmac, { iss: 'b', aud: 'x' }), 'algorithm_not_allowed'],
    ['an unknown issuer', () => sign(hmac, { iss: 'c' }), 'issuer_unknown'],
    ['no issuer', () => sign(hmac, {}), 'issuer_unknown'],
    ['an issuer that looks alike', () => sign(hmac, { iss: 'A' }), 'issuer_unknown'],
    ['the wrong audience', () => sign(other, { iss: 'b', aud: 'z' }), 'audience_mismatch'],
    ['no audience', () => sign(other, { iss: 'b' }), 'audience_mismatch'],
    ['an empty audience', () => sign(other, { iss: 'b', aud: [] }), 'audience_mismatch'],
  ])('a token with %s', async (_name, token, reason) => {
    expect(await reasonOf(verifiers.open(both()), await token())).toBe(reason)
  })

  test('an issuer that is not looked at can not speak for one that is named', async () => {
    const named = newSigner('HS256', 'named')
    const verifier = verifiers.open({
      ...both(),
      issuers: [
        { issuer: 'a', audiences: [], algorithms: ['HS256'], keys: new TestKeys(named) },
        { issuer: null, audiences: [], algorithms: ['HS256'], keys: new TestKeys(hmac) },
      ],
    })
    expect(await reasonOf(verifier, await sign(named, { iss: 'a' }))).toBe('good')
    expect(await reasonOf(verifier, await sign(hmac, { iss: 'a' }))).toBe('key_unknown')
    expect(await reasonOf(verifier, await sign(hmac, { iss: 'c' }))).toBe('good')
    expect(await reasonOf(verifier, await sign(hmac, {}))).toBe('good')
  })

  test('the keys of all that it may be from are tried, whether they are here or must be fetched', async () => {
    const second = newSigner('RS256', null)
    const late = new TestKeys(second)
    late.fetch = setImmediate()
    const issuers = [new TestKeys(rsa), late].map((keys) => ({
      issuer: null,
      audiences: [],
      algorithms: ['RS256'],
      keys,
    }))
    const verifier = verifiers.open({ ...both(), issuers })
    expect(await reasonOf(verifier, await sign(second))).toBe('good')
    expect(await reasonOf(verifier, await sign(newSigner('RS256', null)))).toBe('signature_invalid')
  })
})
