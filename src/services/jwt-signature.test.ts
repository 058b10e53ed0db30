import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { CompactSign } from 'jose'
import { describe, expect, test } from 'vitest'
import { type JwsVector, joeVectors, textVectors } from '../../test/support/jws-vectors.ts'
import { forge, newSigner, sign, signatureOf, signer } from '../../test/support/signer.ts'
import {
  KeyFault,
  keyOfJwk,
  publicKeyAlgorithms,
  secretAlgorithms,
  type VerificationKey,
} from '../core/verification-key.ts'
import { costOf, hasFittingLength, isHmac, isKnownAlgorithm, isSignedWith } from './jwt-signature.ts'

const all = [...publicKeyAlgorithms, ...secretAlgorithms]

function keyOf({ jwk }: JwsVector): KeyObject {
  const key = keyOfJwk(jwk, { secrets: true })
  if (key === null || key instanceof KeyFault) throw new Error('not a key')
  return key.key
}

function signatureLength(token: string): number {
  return Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url').length
}

function withSignature(token: string, signature: Buffer): string {
  return `${token.slice(0, token.lastIndexOf('.'))}.${signature.toString('base64url')}`
}

describe.each([...joeVectors, ...textVectors])('the signature of $from', (vector) => {
  test('is good', () => {
    expect(isSignedWith(keyOf(vector), vector.algorithm, vector.token)).toBe(true)
    expect(hasFittingLength(vector.algorithm, signatureLength(vector.token))).toBe(true)
  })

  test('is bad for another text', () => {
    const [head, body, signature] = vector.token.split('.') as [string, string, string]
    expect(isSignedWith(keyOf(vector), vector.algorithm, `${head}.${body}A.${signature}`)).toBe(false)
  })

  test('is bad for every other algorithm', () => {
    const same = new Set([vector.algorithm, ...(vector.algorithm === 'EdDSA' ? ['Ed25519'] : [])])
    for (const algorithm of all) {
      if (!same.has(algorithm)) expect(isSignedWith(keyOf(vector), algorithm, vector.token), algorithm).toBe(false)
    }
  })
})

describe.each(all)('%s', (algorithm) => {
  test('verifies what was signed with its key and nothing else', async () => {
    const key = signer(algorithm)
    const token = await sign(key)
    expect(isSignedWith(key.public, algorithm, token)).toBe(true)
    expect(isSignedWith(newSigner(algorithm).public, algorithm, token)).toBe(false)
    expect(hasFittingLength(algorithm, signatureLength(token))).toBe(true)
    expect(hasFittingLength(algorithm, signatureLength(token) - 200)).toBe(false)
  })

  test('finds every wrong bit of a signature', () => {
    const key = signer(algorithm)
    const token = forge(key, { alg: algorithm }, '{}')
    const signature = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
    for (let bit = 0; bit < signature.length * 8; bit += algorithm === 'ES512' ? 97 : 13) {
      const wrong = Buffer.from(signature)
      wrong[bit >> 3] = (wrong[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(isSignedWith(key.public, algorithm, withSignature(token, wrong)), `bit ${bit}`).toBe(false)
    }
  })

  test('refuses signatures of zeros, and of any other length', () => {
    const key = signer(algorithm)
    const token = forge(key, { alg: algorithm }, '{}')
    const signature = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
    const others = [
      Buffer.alloc(signature.length),
      Buffer.alloc(signature.length, 0xff),
      Buffer.alloc(0),
      signature.subarray(1),
      signature.subarray(0, -1),
      Buffer.concat([signature, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), signature]),
    ]
    for (const other of others) expect(isSignedWith(key.public, algorithm, withSignature(token, other))).toBe(false)
  })

  test('is known, and costs something', () => {
    expect(isKnownAlgorithm(algorithm)).toBe(true)
    expect(costOf(algorithm, 256)).toBeGreaterThan(0)
    expect(isHmac(algorithm)).toBe(algorithm.startsWith('HS'))
  })
})

// r or s of zero, or of the group's order, is what careless verifiers take for anybody's signature (CVE-2022-21449).
describe.each([
  ['ES256', 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'],
  ['ES384', 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973'],
  [
    'ES512',
    '01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409',
  ],
] as const)('%s', (algorithm, order) => {
  test('refuses r and s out of range', () => {
    const key = signer(algorithm)
    const token = forge(key, { alg: algorithm }, '{}')
    const n = Buffer.from(order, 'hex')
    const zero = Buffer.alloc(n.length)
    const one = Buffer.from(zero)
    one[n.length - 1] = 1
    for (const r of [zero, one, n]) {
      for (const s of [zero, one, n]) {
        expect(isSignedWith(key.public, algorithm, withSignature(token, Buffer.concat([r, s])))).toBe(false)
      }
    }
  })

  test('refuses a signature in DER', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', {
      namedCurve: { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[algorithm],
    })
    const token = await new CompactSign(Buffer.from('{}')).setProtectedHeader({ alg: algorithm }).sign(privateKey)
    const raw = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
    const half = raw.length / 2
    const integer = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([2, bytes.length + 1, 0]), bytes])
    const both = Buffer.concat([integer(raw.subarray(0, half)), integer(raw.subarray(half))])
    const der = Buffer.concat([Buffer.from([0x30, both.length]), both])
    expect(isSignedWith(publicKey, algorithm, token)).toBe(true)
    expect(isSignedWith(publicKey, algorithm, withSignature(token, der))).toBe(false)
    expect(hasFittingLength(algorithm, der.length)).toBe(false)
  })
})

test('a salt that is not as long as the hash is refused (RFC 7518 §3.5)', async () => {
  const { constants, sign: signBytes } = await import('node:crypto')
  const key = signer('PS256')
  const token = forge(key, { alg: 'PS256' }, '{}')
  const input = Buffer.from(token.slice(0, token.lastIndexOf('.')))
  for (const [saltLength, isGood] of [
    [32, true],
    [0, false],
    [20, false],
    [64, false],
  ] as const) {
    const options = { key: key.private, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
    const signature = signBytes('sha256', input, options)
    expect(isSignedWith(key.public, 'PS256', withSignature(token, signature)), `salt ${saltLength}`).toBe(isGood)
  }
})

test('a larger RSA key costs more', () => {
  expect(costOf('RS256', 512)).toBeGreaterThan(2 * costOf('RS256', 256))
  expect(costOf('ES256', 64)).toBe(costOf('ES256', 512))
})

test('"none", in whatever letters, is no algorithm', () => {
  for (const algorithm of ['none', 'None', 'NONE', 'nOnE', '', 'toString', '__proto__']) {
    expect(isKnownAlgorithm(algorithm)).toBe(false)
    expect(isSignedWith(signer('HS256').public, algorithm, `${signatureOf(signer('HS256'), '')}.`)).toBe(false)
  }
})

test('a public key is no secret, and a secret no public key', () => {
  const rsa: VerificationKey = signer('RS256').verification
  expect(isSignedWith(rsa.key, 'HS256', forge(signer('HS256'), { alg: 'HS256' }, '{}'))).toBe(false)
  expect(isSignedWith(signer('HS256').public, 'RS256', forge(signer('RS256'), { alg: 'RS256' }, '{}'))).toBe(false)
})
