import { generateKeyPairSync, type JsonWebKey, type KeyObject, randomBytes } from 'node:crypto'
import { generate } from 'selfsigned'
import { describe, expect, test } from 'vitest'
import { joeVectors, textVectors } from '../../test/support/jws-vectors.ts'
import {
  KeyFault,
  keyOfJwk,
  keyOfPem,
  keyOfSecret,
  keysOfJwkSet,
  publicKeyAlgorithms,
  secretAlgorithms,
  type VerificationKey,
} from './verification-key.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsaAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']

function jwkOf(key: KeyObject): JsonWebKey {
  return key.export({ format: 'jwk' })
}

function fromJwk(jwk: unknown): VerificationKey | null | KeyFault {
  return keyOfJwk(jwk, { secrets: true })
}

function algorithmsOf(key: VerificationKey | null | KeyFault): readonly string[] | null | string {
  return key instanceof KeyFault ? key.reason : (key?.algorithms ?? null)
}

function reasonOf(key: VerificationKey | null | KeyFault): string {
  return key instanceof KeyFault ? key.reason : 'no fault'
}

function pemOf(key: KeyObject, type: 'spki' | 'pkcs1' = 'spki'): string {
  return key.export({ type, format: 'pem' }).toString()
}

const samples = [
  { name: 'RSA', jwk: jwkOf(rsa.publicKey), algorithms: rsaAlgorithms },
  { name: 'P-256', jwk: jwkOf(ec.publicKey), algorithms: ['ES256'] },
  { name: 'P-384', jwk: newEc('P-384'), algorithms: ['ES384'] },
  { name: 'P-521', jwk: newEc('P-521'), algorithms: ['ES512'] },
  { name: 'Ed25519', jwk: jwkOf(generateKeyPairSync('ed25519').publicKey), algorithms: ['EdDSA', 'Ed25519'] },
  { name: 'Ed448', jwk: jwkOf(generateKeyPairSync('ed448').publicKey), algorithms: ['EdDSA', 'Ed448'] },
  { name: 'a secret of 64 bytes', jwk: secretOf(64), algorithms: ['HS256', 'HS384', 'HS512'] },
  { name: 'a secret of 48 bytes', jwk: secretOf(48), algorithms: ['HS256', 'HS384'] },
]

function newEc(namedCurve: string): JsonWebKey {
  return jwkOf(generateKeyPairSync('ec', { namedCurve }).publicKey)
}

function secretOf(bytes: number): JsonWebKey {
  return { kty: 'oct', k: randomBytes(bytes).toString('base64url') }
}

describe('a JWK', () => {
  test.each(samples)('of $name verifies what fits it', ({ jwk, algorithms }) => {
    expect(algorithmsOf(fromJwk(jwk))).toEqual(algorithms)
  })

  test('may be had for every algorithm', () => {
    expect(new Set(samples.flatMap(({ algorithms }) => algorithms))).toEqual(
      new Set([...publicKeyAlgorithms, ...secretAlgorithms]),
    )
  })

  test.each([...joeVectors, ...textVectors])('of $from is read', ({ jwk, algorithm }) => {
    const key = fromJwk(jwk) as VerificationKey
    expect(key.algorithms).toContain(algorithm)
    expect(key.kid).toBe(jwk.kid ?? null)
    expect(key.live).toBe(true)
  })

  test('is narrowed by its own algorithm', () => {
    expect(algorithmsOf(fromJwk({ ...jwkOf(rsa.publicKey), alg: 'PS256' }))).toEqual(['PS256'])
    expect(algorithmsOf(fromJwk({ ...secretOf(64), alg: 'HS384' }))).toEqual(['HS384'])
  })

  test('with an algorithm that does not fit its type is a fault', () => {
    expect(reasonOf(fromJwk({ ...jwkOf(ec.publicKey), alg: 'ES384' }))).toBe(
      "this key can't verify its own algorithm ES384",
    )
    expect(reasonOf(fromJwk({ ...jwkOf(ec.publicKey), alg: 'RS256' }))).toContain('RS256')
  })

  test.each([
    ['for encryption', { ...jwkOf(rsa.publicKey), use: 'enc' }],
    ['whose operations lack verify', { ...jwkOf(rsa.publicKey), key_ops: ['encrypt', 'sign'] }],
    ['whose operations are no list', { ...jwkOf(rsa.publicKey), key_ops: 'verify' }],
    ['with the algorithm of an encryption', { ...jwkOf(rsa.publicKey), alg: 'RSA-OAEP' }],
    ['with no algorithm at all', { ...jwkOf(rsa.publicKey), alg: 'none' }],
    ['that is public and says it is a secret', { ...jwkOf(rsa.publicKey), alg: 'HS256' }],
    ['that is a secret and says it is public', { kty: 'oct', k: 'AAAA', alg: 'RS256' }],
    ['of an unknown type', { kty: 'LMS', pub: 'AAAA' }],
    ['of a type that every object has', { kty: 'constructor' }],
    ['on a curve for key agreement', jwkOf(generateKeyPairSync('x25519').publicKey)],
    ['on a curve that is not supported', newEc('secp256k1')],
  ])('%s is skipped', (_name, jwk) => {
    expect(fromJwk(jwk)).toBeNull()
  })

  test.each([
    ['no object', 'key', 'a JWK must be an object'],
    ['a list', [], 'a JWK must be an object'],
    ['without a type', { n: 'AAAA' }, 'a JWK must have a "kty"'],
    ['with a number for a name', { ...jwkOf(ec.publicKey), kid: 1 }, 'the "kid" of a JWK must be a string'],
    ['with a number for an algorithm', { ...jwkOf(ec.publicKey), alg: 1 }, 'the "alg" of a JWK must be a string'],
    ['without a modulus', { kty: 'RSA', e: 'AQAB' }, 'a JWK of type RSA must have "n"'],
    ['in the wrong alphabet', { ...jwkOf(ec.publicKey), x: 'a+b/' }, 'the "x" of a JWK must be base64url'],
    ['off its curve', { ...jwkOf(ec.publicKey), y: jwkOf(ec.publicKey).x }, 'the members of the JWK make no EC key'],
    ['of a secret that is no text', { kty: 'oct', k: 7 }, 'the "k" of a JWK must be base64url'],
  ])('%s is a fault', (_name, jwk, reason) => {
    expect(reasonOf(fromJwk(jwk))).toBe(reason)
  })

  test('of an RSA key that is too short is a fault', () => {
    expect(reasonOf(fromJwk(jwkOf(weakRsa.publicKey)))).toBe(
      'the RSA key has 1024 bits: 2048 is the least (RFC 7518 §3.3)',
    )
  })

  test.each(['AQ', 'Ag', 'AQAA'])('with the unsafe exponent %s is a fault', (e) => {
    expect(reasonOf(fromJwk({ ...jwkOf(rsa.publicKey), e }))).toMatch(/exponent|no RSA key/)
  })

  test('with private members becomes a public key', () => {
    const key = fromJwk(jwkOf(rsa.privateKey)) as VerificationKey
    expect(key.key.type).toBe('public')
    expect(Object.keys(jwkOf(key.key)).sort()).toEqual(['e', 'kty', 'n'])
  })

  test('that is a secret counts only where secrets may be', () => {
    const jwk = secretOf(64)
    expect(keyOfJwk(jwk, { secrets: false })).toBeNull()
    expect(keyOfJwk(jwk, { secrets: true })).not.toBeNull()
  })
})

describe('a JWK Set', () => {
  test('gives the keys that are good and tells of those that are not', () => {
    const set = { keys: [{ ...jwkOf(ec.publicKey), kid: 'a' }, jwkOf(weakRsa.publicKey), { kty: 'new' }] }
    const { keys, faults } = keysOfJwkSet(set, { secrets: false }) as Exclude<ReturnType<typeof keysOfJwkSet>, KeyFault>
    expect(keys.map(({ kid }) => kid)).toEqual(['a'])
    expect(faults.map(({ reason }) => reason)).toEqual(['the RSA key has 1024 bits: 2048 is the least (RFC 7518 §3.3)'])
  })

  test.each([[null], ['keys'], [{}], [{ keys: {} }], [[]]])('must be one: %j', (set) => {
    expect(keysOfJwkSet(set, { secrets: false })).toBeInstanceOf(KeyFault)
  })
})

describe('a PEM text', () => {
  test('may be a public key, an RSA key of the old form, or a certificate', async () => {
    expect(algorithmsOf(keyOfPem(pemOf(rsa.publicKey)))).toEqual(rsaAlgorithms)
    expect(algorithmsOf(keyOfPem(pemOf(rsa.publicKey, 'pkcs1')))).toEqual(rsaAlgorithms)
    expect(algorithmsOf(keyOfPem(pemOf(ec.publicKey), 'main'))).toEqual(['ES256'])
    const { cert } = await generate([{ name: 'commonName', value: 'issuer' }], { keySize: 2048 })
    expect(algorithmsOf(keyOfPem(`${cert}\n${cert}`))).toEqual(rsaAlgorithms)
  })

  test('of an RSASSA-PSS key verifies what its parameters say', () => {
    const pss = (hash: string, saltLength: number) =>
      generateKeyPairSync('rsa-pss', {
        modulusLength: 2048,
        publicExponent: 65537,
        hashAlgorithm: hash,
        mgf1HashAlgorithm: hash,
        // A number, whatever the types say.
        saltLength: saltLength as unknown as string,
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      })
    const open = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })
    expect(algorithmsOf(keyOfPem(pemOf(open.publicKey)))).toEqual(['PS256', 'PS384', 'PS512'])
    expect(algorithmsOf(keyOfPem(pss('sha384', 48).publicKey))).toEqual(['PS384'])
    expect(reasonOf(keyOfPem(pss('sha256', 64).publicKey))).toContain('RSASSA-PSS')
    expect(reasonOf(keyOfPem(pss('sha1', 20).publicKey))).toContain('RSASSA-PSS')
  })

  test.each([
    ['nothing', 'hello', 'there is no PEM block ("-----BEGIN PUBLIC KEY-----")'],
    [
      'a private key',
      ec.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'this is a private key: only the public key is needed, and nothing else should be here',
    ],
    ['two keys', pemOf(ec.publicKey) + pemOf(rsa.publicKey), 'there is more than one key in this PEM text'],
    ['garbage', pemOf(ec.publicKey).replace('MF', 'AA'), 'the PEM block "PUBLIC KEY" can\'t be read'],
    [
      'something else',
      '-----BEGIN PGP MESSAGE-----\nAAAA\n-----END PGP MESSAGE-----',
      'a PEM block "PGP MESSAGE" holds no public key',
    ],
    ['a short key', pemOf(weakRsa.publicKey), 'the RSA key has 1024 bits: 2048 is the least (RFC 7518 §3.3)'],
    ['a foreign key', pemOf(generateKeyPairSync('x25519').publicKey), "a key of type x25519 can't verify tokens"],
    [
      'a foreign curve',
      pemOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey),
      'the curve secp256k1 is not supported',
    ],
  ])('with %s is a fault', (_name, pem, reason) => {
    expect(reasonOf(keyOfPem(pem))).toBe(reason)
  })
})

describe('a secret', () => {
  test('fits the algorithms for which it is long enough', () => {
    expect(algorithmsOf(keyOfSecret(randomBytes(32)))).toEqual(['HS256'])
    expect(algorithmsOf(keyOfSecret(randomBytes(64)))).toEqual(['HS256', 'HS384', 'HS512'])
    expect(algorithmsOf(keyOfSecret(randomBytes(64), { wanted: ['HS512'] }))).toEqual(['HS512'])
  })

  test('that is too short is a fault that says how long it must be', () => {
    expect(reasonOf(keyOfSecret(randomBytes(31)))).toBe(
      'the secret has 31 bytes: HS256 needs at least 32 (RFC 7518 §3.2)',
    )
    expect(reasonOf(keyOfSecret(randomBytes(32), { wanted: ['HS256', 'HS512'] }))).toBe(
      'the secret has 32 bytes: HS512 needs at least 64 (RFC 7518 §3.2)',
    )
  })

  test('is never a public key', () => {
    expect(reasonOf(keyOfSecret(Buffer.from(pemOf(rsa.publicKey))))).toBe('a PEM key is no secret')
    expect(reasonOf(keyOfSecret(Buffer.from(`\n ${pemOf(rsa.publicKey)}`)))).toBe('a PEM key is no secret')
  })

  test('verifies nothing with public keys', () => {
    expect(reasonOf(keyOfSecret(randomBytes(64), { wanted: ['RS256'] }))).toBe("a secret can't verify RS256")
  })
})
