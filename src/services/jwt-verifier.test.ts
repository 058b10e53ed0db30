import { setImmediate } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type RecordingInstruments, recordInstruments } from '../../test/support/instruments.ts'
import { joeVectors } from '../../test/support/jws-vectors.ts'
import {
  audience,
  claims,
  forge,
  issuer,
  newSigner,
  rules,
  type Signer,
  sign,
  signer,
  TestKeys,
} from '../../test/support/signer.ts'
import { TokenFault, type TokenRules, type TokenVerifier } from '../core/services/tokens.ts'
import {
  KeyFault,
  keyOfJwk,
  publicKeyAlgorithms,
  secretAlgorithms,
  type VerificationKey,
} from '../core/verification-key.ts'
import { JwtVerifier } from './jwt-verifier.ts'
import { TokenFigures } from './token-figures.ts'
import { VerificationPool } from './verification-pool.ts'

type TestClaims = Readonly<Record<string, unknown>>

const errors: string[] = []
const log = { info() {}, warn() {}, error: (message: string) => void errors.push(message) }
let instruments: RecordingInstruments
// The threads are shared: to start one takes longer than most tests.
const batches = recordInstruments()
const pool = new VerificationPool(batches, log)

beforeEach(() => {
  instruments = recordInstruments()
  errors.length = 0
})
afterEach(() => void vi.useRealTimers())
afterAll(() => pool.close())

function open<T = TestClaims>(ruleSet: TokenRules<T>, in_ = pool): JwtVerifier<T> {
  return new JwtVerifier(ruleSet, { pool: in_, figures: new TokenFigures(instruments), log, onClose() {} })
}

/** What becomes of a token: `good`, or the reason why not. */
async function reasonOf(verifier: TokenVerifier<unknown>, token: string): Promise<string> {
  const result = await verifier.verify(token)
  return result instanceof TokenFault ? result.reason : 'good'
}

/** The same for a verifier of its own. */
function fresh(token: string, key: Signer, more: Partial<TokenRules<TestClaims>> = {}): Promise<string> {
  return reasonOf(open(rules(new TestKeys(key), [key.algorithm], more)), token)
}

const lookups = (result: string): number => instruments.read(`sluice_token_cache_lookups_total{result="${result}"}`)
const hmac = signer('HS256')
const rsa = signer('RS256')
const seconds = (): number => Math.floor(Date.now() / 1000)

describe('a token is accepted', () => {
  test.each([...publicKeyAlgorithms, ...secretAlgorithms])('that was signed with %s', async (algorithm) => {
    const key = signer(algorithm)
    const verifier = open(rules(new TestKeys(key), [algorithm]))
    const payload = claims()
    const token = await sign(key, payload)
    expect(await verifier.verify(token)).toEqual(payload)
    expect(verifier.cached).toBe(1)
    expect(instruments.read(`sluice_token_verifications_total{algorithm="${algorithm}",outcome="good"}`)).toBe(1)
  })

  test.each(joeVectors)('that is published: $from', async ({ token, jwk, algorithm }) => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1300819379_000 })
    const key = keyOfJwk(jwk, { secrets: true })
    if (key === null || key instanceof KeyFault) throw new Error('not a key')
    const trusted = { issuer: 'joe', audiences: [], algorithms: [algorithm], keys: new TestKeys(key) }
    const verifier = open({ ...rules(trusted.keys, []), issuers: [trusted] })
    expect(await reasonOf(verifier, token)).toBe('good')
    vi.setSystemTime(1300819380_000)
    expect(await reasonOf(verifier, token)).toBe('expired')
  })

  test('at once when it is an HMAC, and after a visit to the pool when it is not', async () => {
    expect(open(rules(new TestKeys(hmac), ['HS256'])).verify(await sign(hmac))).toMatchObject({ sub: 'user-1' })
    const verifier = open(rules(new TestKeys(rsa), ['RS256']))
    const token = await sign(rsa)
    const first = verifier.verify(token)
    expect(first).toBeInstanceOf(Promise)
    const value = await first
    // The very same thing the next time, without a promise.
    expect(verifier.verify(token)).toBe(value)
    expect(lookups('hit')).toBe(1)
  })

  test('with what the caller makes of it, found out once', async () => {
    const accept = vi.fn((accepted: TestClaims, header: object, digest: string) => ({ accepted, header, digest }))
    const verifier = open({ ...rules(new TestKeys(hmac), ['HS256']), accept })
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
    expect(await fresh(await sign(hmac, claims(times)), hmac)).toBe(reason)
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
    expect(await fresh(await sign(hmac, claims(times)), hmac, { clockSkew: 30_000, maxAge: 60_000 })).toBe(reason)
  })

  test.each(['exp', 'nbf', 'iat'] as const)('%s must be there when it is required', async (name) => {
    const token = await sign(hmac, { iss: issuer, aud: audience })
    expect(await fresh(token, hmac, { required: [name] })).toBe(`${name}_missing`)
    expect(await fresh(token, hmac)).toBe('good')
  })

  test('without iat the age of a token is not known', async () => {
    expect(await fresh(await sign(hmac, { iss: issuer, aud: audience }), hmac, { maxAge: 1000 })).toBe('iat_missing')
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
    expect(await fresh(forge(hmac, { alg: 'HS256' }, payload), hmac)).toBe('claim_malformed')
  })

  test('an expired token costs no look at the keys', async () => {
    const keys = new TestKeys(rsa)
    const verifier = open(rules(keys, ['RS256']))
    expect(verifier.verify(await sign(rsa, claims({ exp: seconds() - 10 })))).toMatchObject({ reason: 'expired' })
    expect(keys.lookups).toBe(0)
  })
})

describe('issuers', () => {
  const other = newSigner('HS512', 'other')
  const both = (): TokenRules<TestClaims> => ({
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
    expect(await reasonOf(open(both()), await token())).toBe(reason)
  })

  test('an issuer that is not looked at can not speak for one that is named', async () => {
    const named = newSigner('HS256', 'named')
    const verifier = open({
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
    const verifier = open({ ...both(), issuers })
    expect(await reasonOf(verifier, await sign(second))).toBe('good')
    expect(await reasonOf(verifier, await sign(newSigner('RS256', null)))).toBe('signature_invalid')
  })
})

describe('keys', () => {
  test('that are not there yet are waited for', async () => {
    const keys = new TestKeys(rsa)
    let fetched = (): void => {}
    keys.fetch = new Promise((resolve) => (fetched = resolve))
    const verifier = open(rules(keys, ['RS256']))
    const token = await sign(rsa)
    const results = [verifier.verify(token), verifier.verify(token)]
    // The second waits for the first.
    expect(results[0]).toBe(results[1])
    expect(keys.lookups).toBe(1)
    fetched()
    expect(await results[0]).toMatchObject({ sub: 'user-1' })
  })

  test('none at all, and nobody can say anything: that is not the fault of the token', async () => {
    const keys = new TestKeys()
    const verifier = open(rules(keys, ['RS256']))
    const token = await sign(rsa)
    expect(await verifier.verify(token)).toMatchObject({ kind: 'unavailable', reason: 'keys_unavailable' })
    // It was not remembered as bad.
    keys.keys = [rsa.verification]
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('a key that comes later makes a token good at once', async () => {
    const old = newSigner('HS256', 'old')
    const keys = new TestKeys(old)
    const verifier = open(rules(keys, ['HS256']))
    const token = await sign(hmac)
    expect(await reasonOf(verifier, token)).toBe('key_unknown')
    keys.keys = [old.verification, hmac.verification]
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('also where tokens and keys have no names', async () => {
    const [old, next] = [newSigner('HS256', null), newSigner('HS256', null)]
    const keys = new TestKeys(old)
    const verifier = open(rules(keys, ['HS256']))
    const token = await sign(next)
    expect(await reasonOf(verifier, token)).toBe('signature_invalid')
    keys.keys = [old.verification, next.verification]
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('a withdrawn key takes its tokens with it, and a token that another one signs stays', async () => {
    const [gone, stays] = [newSigner('RS256', 'gone'), newSigner('RS256', 'stays')]
    const keys = new TestKeys(gone, stays)
    const verifier = open(rules(keys, ['RS256']))
    const tokens = [await sign(gone), await sign(stays)] as const
    for (const token of tokens) expect(await reasonOf(verifier, token)).toBe('good')
    gone.verification.live = false
    expect(await reasonOf(verifier, tokens[0])).toBe('key_unknown')
    expect(verifier.verify(tokens[1])).toMatchObject({ sub: 'user-1' })
    // The issuer shows another key under the same name.
    const heir: VerificationKey = { ...newSigner('RS256', 'gone').verification }
    keys.keys = [heir, stays.verification]
    expect(await reasonOf(verifier, tokens[0])).toBe('signature_invalid')
  })

  test('a key that is withdrawn while a token is on its way counts no more', async () => {
    const gone = newSigner('RS256', 'gone')
    const verifier = open(rules(new TestKeys(gone), ['RS256']))
    const pending = verifier.verify(await sign(gone))
    gone.verification.live = false
    expect(await pending).toMatchObject({ reason: 'key_unknown' })
    expect(verifier.cached).toBe(0)
  })

  test('are tried in a bounded number when a token names none', async () => {
    const strangers = Array.from({ length: 8 }, () => newSigner('HS256', null))
    const last = newSigner('HS256', null)
    const verifier = open(rules(new TestKeys(...strangers, last), ['HS256']))
    expect(await reasonOf(verifier, await sign(strangers[7] as Signer))).toBe('good')
    expect(await reasonOf(verifier, await sign(last))).toBe('signature_invalid')
  })

  test('are used for what they are meant for only, whatever a set hands out', async () => {
    const narrow: VerificationKey = { ...rsa.verification, algorithms: ['PS256'] }
    const gone: VerificationKey = { ...rsa.verification, live: false }
    const careless = { empty: false, find: () => [narrow, gone] }
    const verifier = open(rules(careless, ['RS256', 'PS256']))
    expect(await reasonOf(verifier, await sign(rsa))).toBe('key_unknown')
    expect(instruments.read('sluice_token_verifications_total{algorithm="RS256",outcome="good"}')).toBe(0)
  })

  test('that stay away make only so many wait', async () => {
    const keys = new TestKeys(rsa)
    keys.fetch = new Promise(() => {})
    const verifier = open(rules(keys, ['RS256']))
    const token = await sign(rsa)
    const [start, end] = [token.slice(0, -100), token.slice(-50)]
    let waiting = 0
    for (let i = 0; i < 10_000; i++) {
      const result = verifier.verify(`${start}${String(i).padStart(50, 'A')}${end}`)
      if (result instanceof Promise) waiting += 1
      else expect(result).toMatchObject({ kind: 'overloaded' })
    }
    expect(waiting).toBe(8192)
  })

  test('a set that fails is not available', async () => {
    const keys = new TestKeys(rsa)
    const verifier = open(rules(keys, ['RS256']))
    const token = await sign(rsa)
    keys.fetch = Promise.reject(new Error('broken'))
    expect(await verifier.verify(token)).toMatchObject({ kind: 'unavailable' })
    expect(errors).toHaveLength(1)
  })
})

describe('what is known of a token', () => {
  test('ends when the token does, as a fresh check would', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const verifier = open(rules(new TestKeys(hmac), ['HS256'], { clockSkew: 5_000 }))
    const token = await sign(hmac, claims({ exp: seconds() + 60 }))
    expect(await reasonOf(verifier, token)).toBe('good')
    vi.advanceTimersByTime(64_999)
    expect(await reasonOf(verifier, token)).toBe('good')
    expect(lookups('hit')).toBe(1)
    vi.advanceTimersByTime(1)
    expect(await reasonOf(verifier, token)).toBe('expired')
    expect(verifier.cached).toBe(0)
  })

  test('ends when the token is too old', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const verifier = open(rules(new TestKeys(hmac), ['HS256'], { maxAge: 10_000 }))
    const token = await sign(hmac)
    expect(await reasonOf(verifier, token)).toBe('good')
    vi.advanceTimersByTime(10_000)
    expect(await reasonOf(verifier, token)).toBe('too_old')
  })

  test('a bad one is not checked again for a while', async () => {
    const verifier = open(rules(new TestKeys(rsa), ['RS256']))
    const token = await sign({ ...newSigner('RS256'), verification: rsa.verification })
    expect(await reasonOf(verifier, token)).toBe('signature_invalid')
    expect(verifier.verify(token)).toMatchObject({ reason: 'signature_invalid' })
    expect(lookups('negative')).toBe(1)
    expect(instruments.read('sluice_token_verifications_total{algorithm="RS256",outcome="bad"}')).toBe(1)
  })

  test('one that comes too early is good when its time comes', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const verifier = open(rules(new TestKeys(hmac), ['HS256'], { clockSkew: 1_000 }))
    const token = await sign(hmac, claims({ nbf: seconds() + 5, iat: seconds() + 4 }))
    expect(await reasonOf(verifier, token)).toBe('not_yet_valid')
    vi.advanceTimersByTime(3_999)
    expect(await reasonOf(verifier, token)).toBe('not_yet_valid')
    expect(lookups('negative')).toBe(1)
    vi.advanceTimersByTime(1)
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('identical tokens are checked once, however often they come', async () => {
    const verifier = open(rules(new TestKeys(rsa), ['RS256']))
    const [token, other] = [await sign(rsa), await sign(rsa, claims({ sub: 'user-2' }))]
    const before = batches.read('sluice_token_batch_size')
    const results = [token, token, other, token].map((one) => verifier.verify(one))
    expect(results[1]).toBe(results[0])
    expect(results[3]).toBe(results[0])
    expect(await results[0]).toMatchObject({ sub: 'user-1' })
    expect(await results[2]).toMatchObject({ sub: 'user-2' })
    expect(instruments.read('sluice_token_verifications_total{algorithm="RS256",outcome="good"}')).toBe(2)
    // Both went in one message.
    expect(batches.read('sluice_token_batch_size')).toBe(before + 1)
  })

  test('good ones are bounded, bad ones do not drive them out', async () => {
    const verifier = open(rules(new TestKeys(hmac), ['HS256'], { cache: { entries: 10, bytes: 1_000_000 } }))
    for (let i = 0; i < 20; i++) await verifier.verify(await sign(hmac, claims({ sub: `user-${i}` })))
    expect(verifier.cached).toBe(10)
    const last = await sign(hmac, claims({ sub: 'user-19' }))
    const head = last.slice(0, last.lastIndexOf('.'))
    for (let i = 0; i < 5000; i++) {
      void verifier.verify(`${head}.${Buffer.alloc(32, `${i}`).toString('base64url')}`)
    }
    expect(verifier.cached).toBe(10)
    expect(verifier.verify(last)).toMatchObject({ sub: 'user-19' })
    expect(lookups('hit')).toBe(1)
  })

  test('too many at a time are refused as such, and are not remembered as bad', async () => {
    const narrow = new VerificationPool(recordInstruments(), log, { maxWork: 25 })
    const verifier = open(rules(new TestKeys(rsa), ['RS256']), narrow)
    const tokens = [await sign(rsa), await sign(rsa, claims({ sub: 'user-2' }))] as const
    const first = verifier.verify(tokens[0])
    expect(verifier.verify(tokens[1])).toMatchObject({ kind: 'overloaded' })
    expect(await first).toMatchObject({ sub: 'user-1' })
    expect(await reasonOf(verifier, tokens[1])).toBe('good')
    narrow.close()
    expect(await verifier.verify(tokens[0])).toMatchObject({ sub: 'user-1' })
  })

  test('a pool that is gone makes them unavailable, not bad', async () => {
    const short = new VerificationPool(recordInstruments(), log)
    const verifier = open(rules(new TestKeys(rsa), ['RS256']), short)
    const token = await sign(rsa)
    const pending = verifier.verify(token)
    short.close()
    expect(await pending).toMatchObject({ kind: 'unavailable' })
    expect(await reasonOf(verifier, token)).toBe('good')
    short.close()
  })

  test('is forgotten when the verifier is closed', async () => {
    const verifier = open(rules(new TestKeys(hmac), ['HS256']))
    await verifier.verify(await sign(hmac))
    verifier.close()
    expect(verifier.cached).toBe(0)
  })
})

describe('what the caller says of a good token', () => {
  test('is the last word', async () => {
    const missing = new TokenFault('invalid', 'claim_missing')
    const accept = vi.fn(() => missing)
    const verifier = open({ ...rules(new TestKeys(hmac), ['HS256']), accept })
    const token = await sign(hmac)
    expect(verifier.verify(token)).toBe(missing)
    expect(verifier.verify(token)).toBe(missing)
    expect(accept).toHaveBeenCalledTimes(1)
  })

  test('is not remembered when it only could not say', async () => {
    const later = new TokenFault('unavailable', 'store_down')
    const verifier = open({ ...rules(new TestKeys(hmac), ['HS256']), accept: () => later })
    const token = await sign(hmac)
    expect(verifier.verify(token)).toBe(later)
    expect(verifier.verify(token)).toBe(later)
    expect(lookups('negative')).toBe(0)
  })

  test.each([['HS256'], ['RS256']])('is no when it fails (%s)', async (algorithm) => {
    const key = signer(algorithm)
    const accept = (): never => {
      throw new Error('a fault of ours')
    }
    const verifier = open({ ...rules(new TestKeys(key), [algorithm]), accept })
    expect(await reasonOf(verifier, await sign(key))).toBe('accept_failed')
    expect(errors).toHaveLength(1)
    expect(verifier.cached).toBe(0)
  })
})
