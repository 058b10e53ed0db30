/** Keys that come, go, and are not what a token says. */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { newSigner, rules, type Signer, sign, signer, TestKeys } from '../../test/support/signer.ts'
import { reasonOf, TestVerifiers } from '../../test/support/verifier.ts'
import type { VerificationKey } from '../core/verification-key.ts'

const verifiers = new TestVerifiers()
beforeEach(() => verifiers.reset())
afterAll(() => verifiers.pool.close())

const hmac = signer('HS256')
const rsa = signer('RS256')

describe('keys', () => {
  test('that are not there yet are waited for', async () => {
    const keys = new TestKeys(rsa)
    let fetched = (): void => {}
    keys.fetch = new Promise((resolve) => (fetched = resolve))
    const verifier = verifiers.open(rules(keys, ['RS256']))
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
    const verifier = verifiers.open(rules(keys, ['RS256']))
    const token = await sign(rsa)
    for (let i = 0; i < 3; i++) {
      expect(await verifier.verify(token)).toMatchObject({ kind: 'unavailable', reason: 'keys_unavailable' })
    }
    // It was not remembered as bad.
    keys.keys = [rsa.verification]
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('a key that comes later makes a token good at once', async () => {
    const old = newSigner('HS256', 'old')
    const keys = new TestKeys(old)
    const verifier = verifiers.open(rules(keys, ['HS256']))
    const token = await sign(hmac)
    for (let i = 0; i < 3; i++) expect(await reasonOf(verifier, token)).toBe('key_unknown')
    keys.keys = [old.verification, hmac.verification]
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('also where tokens and keys have no names', async () => {
    const [old, next] = [newSigner('HS256', null), newSigner('HS256', null)]
    const keys = new TestKeys(old)
    const verifier = verifiers.open(rules(keys, ['HS256']))
    const token = await sign(next)
    for (let i = 0; i < 3; i++) expect(await reasonOf(verifier, token)).toBe('signature_invalid')
    keys.keys = [old.verification, next.verification]
    expect(await reasonOf(verifier, token)).toBe('good')
  })

  test('a withdrawn key takes its tokens with it, and a token that another one signs stays', async () => {
    const [gone, stays] = [newSigner('RS256', 'gone'), newSigner('RS256', 'stays')]
    const keys = new TestKeys(gone, stays)
    const verifier = verifiers.open(rules(keys, ['RS256']))
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
    const verifier = verifiers.open(rules(new TestKeys(gone), ['RS256']))
    const pending = verifier.verify(await sign(gone))
    gone.verification.live = false
    expect(await pending).toMatchObject({ reason: 'key_unknown' })
    expect(verifier.cached).toBe(0)
  })

  test('are tried in a bounded number when a token names none', async () => {
    const strangers = Array.from({ length: 8 }, () => newSigner('HS256', null))
    const last = newSigner('HS256', null)
    const verifier = verifiers.open(rules(new TestKeys(...strangers, last), ['HS256']))
    expect(await reasonOf(verifier, await sign(strangers[7] as Signer))).toBe('good')
    expect(await reasonOf(verifier, await sign(last))).toBe('signature_invalid')
  })

  test('are used for what they are meant for only, whatever a set hands out', async () => {
    const narrow: VerificationKey = { ...rsa.verification, algorithms: ['PS256'] }
    const gone: VerificationKey = { ...rsa.verification, live: false }
    const careless = { empty: false, find: () => [narrow, gone] }
    const verifier = verifiers.open(rules(careless, ['RS256', 'PS256']))
    expect(await reasonOf(verifier, await sign(rsa))).toBe('key_unknown')
    expect(verifiers.instruments.read('sluice_token_verifications_total{algorithm="RS256",outcome="good"}')).toBe(0)
  })

  test('that stay away make only so many wait', async () => {
    const keys = new TestKeys(rsa)
    keys.fetch = new Promise(() => {})
    const verifier = verifiers.open(rules(keys, ['RS256']))
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
    const verifier = verifiers.open(rules(keys, ['RS256']))
    const token = await sign(rsa)
    keys.fetch = Promise.reject(new Error('broken'))
    expect(await verifier.verify(token)).toMatchObject({ kind: 'unavailable' })
    expect(verifiers.errors).toHaveLength(1)
  })
})
