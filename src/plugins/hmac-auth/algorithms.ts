import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto'

/** Whether `signature` is that of `text` by that key. Never throws. */
export type Verifier = (text: Buffer, signature: Buffer, key: KeyObject) => boolean

/** The algorithms of RFC 9421 §3.3, by their registered names. */
export const verifiers = {
  'hmac-sha256': (text, signature, key) => {
    const digest = createHmac('sha256', key).update(text).digest()
    return digest.length === signature.length && timingSafeEqual(digest, signature)
  },
  ed25519: (text, signature, key) => verify(null, text, key, signature),
  'ecdsa-p256-sha256': (text, signature, key) => verify('sha256', text, { key, dsaEncoding: 'ieee-p1363' }, signature),
  'ecdsa-p384-sha384': (text, signature, key) => verify('sha384', text, { key, dsaEncoding: 'ieee-p1363' }, signature),
  'rsa-pss-sha512': (text, signature, key) =>
    verify('sha512', text, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 }, signature),
  'rsa-v1_5-sha256': (text, signature, key) =>
    verify('sha256', text, { key, padding: constants.RSA_PKCS1_PADDING }, signature),
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
