import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto'

/** Whether `signature` is that of `base` (text of one byte per character or UTF-8) by that key. Never throws. */
export type Verifier = (base: Buffer, signature: Buffer, key: KeyObject) => boolean

/** The algorithms of RFC 9421 §3.3, by their registered names. */
export const verifiers = {
  'hmac-sha256': (base, signature, key) => {
    const digest = createHmac('sha256', key).update(base).digest()
    return digest.length === signature.length && timingSafeEqual(digest, signature)
  },
  ed25519: (base, signature, key) => verify(null, base, key, signature),
  'ecdsa-p256-sha256': (base, signature, key) => verify('sha256', base, { key, dsaEncoding: 'ieee-p1363' }, signature),
  'ecdsa-p384-sha384': (base, signature, key) => verify('sha384', base, { key, dsaEncoding: 'ieee-p1363' }, signature),
  'rsa-pss-sha512': (base, signature, key) =>
    verify('sha512', base, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 }, signature),
  'rsa-v1_5-sha256': (base, signature, key) =>
    verify('sha256', base, { key, padding: constants.RSA_PKCS1_PADDING }, signature),
} satisfies Record<string, Verifier>

export type Algorithm = keyof typeof verifiers

export const algorithms = Object.keys(verifiers) as [Algorithm, ...Algorithm[]]

/** What a public key can verify here, by the algorithm of JWS (RFC 7518) that it can verify. The first is the usual one. */
export const algorithmsOfJws: readonly (readonly [jws: string, algorithm: Algorithm])[] = [
  ['Ed25519', 'ed25519'],
  ['ES256', 'ecdsa-p256-sha256'],
  ['ES384', 'ecdsa-p384-sha384'],
  ['PS512', 'rsa-pss-sha512'],
  ['RS256', 'rsa-v1_5-sha256'],
]
