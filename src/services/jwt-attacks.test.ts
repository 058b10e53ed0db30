/** Tokens of people who should not get in. Every one of them must be refused, whatever else is said of it. */
import { createHmac, createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { unsecured } from '../../test/support/jws-vectors.ts'
import {
  claims,
  encode,
  forge,
  newSigner,
  rules,
  type Signer,
  sign,
  signatureOf,
  signer,
  TestKeys,
} from '../../test/support/signer.ts'
import { reasonOf, TestVerifiers } from '../../test/support/verifier.ts'
import type { TokenVerifier } from '../core/services/tokens.ts'
import { publicKeyAlgorithms, secretAlgorithms, type VerificationKey } from '../core/verification-key.ts'

const all = [...publicKeyAlgorithms, ...secretAlgorithms]
const verifiers = new TestVerifiers()
afterAll(() => verifiers.pool.close())

/** Takes tokens of these keys by any algorithm there is: rules as careless as they can be. */
function open(...keys: readonly (Signer | VerificationKey)[]): TokenVerifier<object> {
  const ruleSet = rules(new TestKeys(...keys), [...all, 'none', 'None', 'NONE', ''])
  return verifiers.open(ruleSet)
}

function partsOf(token: string): [string, string, string] {
  return token.split('.') as [string, string, string]
}

const rsa = signer('RS256')
const forms: [string, (key: KeyObject) => Buffer | string][] = [
  ['PEM', (key) => key.export({ type: 'spki', format: 'pem' })],
  ['PEM without the last line break', (key) => key.export({ type: 'spki', format: 'pem' }).toString().trimEnd()],
  ['DER', (key) => key.export({ type: 'spki', format: 'der' })],
  ['JWK', (key) => JSON.stringify(key.export({ format: 'jwk' }))],
  ['modulus', (key) => Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url')],
]

describe('an algorithm that the attacker chose', () => {
  test.each(forms)('HMAC with the public key as the secret (%s)', async (_name, form) => {
    const secret = createSecretKey(Buffer.from(form(rsa.public)))
    for (const algorithm of secretAlgorithms) {
      const token = forge({ ...rsa, algorithm, private: secret }, { alg: algorithm, kid: 'key-RS256' }, claims())
      expect(await reasonOf(open(rsa), token)).toBe('key_unknown')
      // Not even where the key set says so.
      expect(await reasonOf(open({ ...rsa.verification, algorithms: all }), token)).toBe('signature_invalid')
    }
  })

  test.each(['none', 'None', 'NONE', 'nOnE', ''])('"%s"', async (algorithm) => {
    const head = encode({ alg: algorithm, kid: 'key-RS256' })
    const [, body, signature] = partsOf(await sign(rsa))
    const verifier = open({ ...rsa.verification, algorithms: [...all, algorithm] })
    expect(await reasonOf(verifier, `${head}.${body}.`)).toBe('malformed')
    expect(await reasonOf(verifier, `${head}.${body}.${signature}`)).toBe('algorithm_not_allowed')
    expect(await reasonOf(verifier, `${head}.${body}.AAAA`)).toBe('algorithm_not_allowed')
  })

  test('none, as RFC 7515 A.5 has it', async () => {
    expect(await reasonOf(open(rsa), unsecured)).toBe('malformed')
  })

  test('every algorithm with the signature of every other', async () => {
    for (const own of all) {
      const key = signer(own)
      const verifier = open({ ...key.verification, algorithms: all })
      const [, body, signature] = partsOf(await sign(key))
      for (const claimed of all) {
        if (claimed === own) continue
        const token = `${encode({ alg: claimed, kid: key.verification.kid ?? '' })}.${body}.${signature}`
        expect(await reasonOf(verifier, token), `${own} as ${claimed}`).toBe('signature_invalid')
      }
    }
  })

  test('a curve that is not that of the algorithm', async () => {
    const p256 = signer('ES256')
    const token = forge({ ...p256, algorithm: 'ES384' }, { alg: 'ES384', kid: 'key-ES256' }, claims())
    expect(await reasonOf(open(p256), token)).toBe('signature_invalid')
    const p384 = signer('ES384')
    const other = forge({ ...p384, algorithm: 'ES256' }, { alg: 'ES256', kid: 'key-ES384' }, claims())
    expect(await reasonOf(open({ ...p384.verification, algorithms: all }), other)).toBe('signature_invalid')
  })
})

describe('a key that the attacker brought', () => {
  const own = newSigner('RS256', 'own')
  const jwk = own.public.export({ format: 'jwk' })

  test.each([
    ['jwk', { jwk: { ...jwk, kid: 'own', use: 'sig' } }],
    ['jwk, under a name that is trusted', { jwk: { ...jwk, kid: 'key-RS256' }, kid: 'key-RS256' }],
    ['jku', { jku: 'http://127.0.0.1:9/jwks.json', kid: 'own' }],
    ['x5u', { x5u: 'http://127.0.0.1:9/chain.pem' }],
    ['x5c', { x5c: [own.public.export({ type: 'spki', format: 'der' }).toString('base64')] }],
    ['kid that is a path', { kid: '../../../dev/null' }],
    ['kid that asks a database', { kid: "x' UNION SELECT 'secret" }],
    ['kid that every object has', { kid: '__proto__' }],
    ['kid that is empty', { kid: '' }],
  ])('%s', async (_name, header) => {
    const token = forge(own, { alg: 'RS256', ...header }, claims())
    expect(await reasonOf(open(rsa), token)).toMatch(/^(signature_invalid|key_unknown)$/)
  })

  test('an RSA key of 1024 bits: its signature is too short to be looked at', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const weak: Signer = {
      algorithm: 'RS256',
      private: privateKey,
      public: publicKey,
      verification: { kid: 'weak', algorithms: ['RS256'], key: publicKey, live: true },
    }
    expect(await reasonOf(open(weak), forge(weak, { alg: 'RS256', kid: 'weak' }, claims()))).toBe('signature_invalid')
  })
})

describe('a signature that the attacker made up', () => {
  test.each(all)('%s: empty, zeros, ones, too short, too long, of another token', async (algorithm) => {
    const key = signer(algorithm)
    const verifier = open(key)
    const [head, body, signature] = partsOf(await sign(key))
    const bytes = Buffer.from(signature, 'base64url')
    expect(await reasonOf(verifier, `${head}.${body}.`)).toBe('malformed')
    const others = [
      Buffer.alloc(bytes.length),
      Buffer.alloc(bytes.length, 0xff),
      Buffer.alloc(1),
      bytes.subarray(0, -1),
      Buffer.concat([bytes, Buffer.alloc(1)]),
      Buffer.from(signatureOf(key, 'another.token'), 'base64url'),
    ]
    for (const other of others) {
      expect(await reasonOf(verifier, `${head}.${body}.${other.toString('base64url')}`)).toBe('signature_invalid')
    }
  })

  test('an HMAC over nothing, and one with an empty secret', async () => {
    const key = signer('HS256')
    const [head, body] = partsOf(await sign(key))
    const empty = createHmac('sha256', '').update(`${head}.${body}`).digest('base64url')
    expect(await reasonOf(open(key), `${head}.${body}.${empty}`)).toBe('signature_invalid')
    expect(await reasonOf(open(key), `${head}.${body}.${signatureOf(key, '')}`)).toBe('signature_invalid')
  })
})

describe('a token that was changed', () => {
  test.each(['ES256', 'RS256', 'PS256', 'EdDSA', 'HS256'])('by one character, anywhere (%s)', async (algorithm) => {
    const key = signer(algorithm)
    const verifier = open(key)
    const token = await sign(key)
    expect(await reasonOf(verifier, token)).toBe('good')
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ é\0'
    await fc.assert(
      fc.asyncProperty(
        fc.nat(token.length - 1),
        fc.constantFrom(...letters.split('')),
        fc.constantFrom('replace', 'insert', 'delete'),
        async (place, letter, how) => {
          const tail = token.slice(how === 'insert' ? place : place + 1)
          const changed = token.slice(0, place) + (how === 'delete' ? '' : letter) + tail
          fc.pre(changed !== token)
          expect(await reasonOf(verifier, changed)).not.toBe('good')
        },
      ),
      { numRuns: 200 },
    )
  })

  test('by every last character that decodes to the same bytes', async () => {
    for (const algorithm of ['RS256', 'ES256', 'HS256', 'Ed448']) {
      const key = signer(algorithm)
      const token = await sign(key)
      const verifier = open(key)
      for (const letter of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
        const changed = token.slice(0, -1) + letter
        if (changed !== token) expect(await reasonOf(verifier, changed)).not.toBe('good')
      }
    }
  })

  test('by cutting it off anywhere', async () => {
    const token = await sign(signer('HS256'))
    const verifier = open(signer('HS256'))
    for (let end = 0; end < token.length; end++) expect(await reasonOf(verifier, token.slice(0, end))).not.toBe('good')
  })

  test('by other claims under its signature', async () => {
    const [head, , signature] = partsOf(await sign(rsa))
    const body = encode(claims({ sub: 'admin' }))
    expect(await reasonOf(open(rsa), `${head}.${body}.${signature}`)).toBe('signature_invalid')
  })

  test('by a blank, a line break or a word around it', async () => {
    const token = await sign(rsa)
    for (const changed of [` ${token}`, `${token} `, `${token}\r\n`, `Bearer ${token}`, `${token},${token}`]) {
      expect(await reasonOf(open(rsa), changed)).toBe('malformed')
    }
  })
})

describe('a token that is too much', () => {
  test('in bytes is refused unread', async () => {
    const token = await sign(rsa, claims({ more: 'x'.repeat(10_000) }))
    const verifier = open(rsa)
    expect(await reasonOf(verifier, token)).toBe('too_large')
    expect(await reasonOf(verifier, 'x'.repeat(1_000_000))).toBe('too_large')
  })

  test('in depth is refused before it is parsed', async () => {
    const deep = `{"a":${'[['.repeat(1000)}${']]'.repeat(1000)}}`
    expect(await reasonOf(open(rsa), forge(rsa, { alg: 'RS256' }, deep))).toBe('malformed')
  })
})

test('names that objects have of themselves are claims like others', async () => {
  const payload = `{"__proto__":{"admin":true},"constructor":1,"hasOwnProperty":2,${JSON.stringify(claims()).slice(1)}`
  const token = forge(rsa, { alg: 'RS256', kid: 'key-RS256' }, payload)
  const result = (await open(rsa).verify(token)) as Record<string, unknown>
  expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
  expect(result['admin']).toBeUndefined()
  expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
})
