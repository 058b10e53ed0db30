import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto'

/** How an algorithm of JWS signs (RFC 7518 §3.1, RFC 8037 §3.1). */
interface Scheme {
  /** `null`: it brings its own (EdDSA). */
  readonly hash: string | null
  /** What `node:crypto` wants to know beside the key. */
  readonly options: {
    readonly padding?: number
    readonly saltLength?: number
    readonly dsaEncoding?: 'ieee-p1363'
  }
  /** Bytes of a signature; empty: as the key has it. */
  readonly bytes: readonly number[]
  /** Types of keys; empty: a secret. */
  readonly keyTypes: readonly string[]
  /** Microseconds of a verification (RSA: with 2048 bits), to tell how long what waits will take (native-notes/jwt.md). */
  readonly cost: number
}

const pkcs1 = { padding: constants.RSA_PKCS1_PADDING }
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
const rsa = ['rsa', 'rsa-pss']
const p1363 = { dsaEncoding: 'ieee-p1363' } as const

const schemes: ReadonlyMap<string, Scheme> = new Map<string, Scheme>([
  ['HS256', { hash: 'sha256', options: {}, bytes: [32], keyTypes: [], cost: 3 }],
  ['HS384', { hash: 'sha384', options: {}, bytes: [48], keyTypes: [], cost: 3 }],
  ['HS512', { hash: 'sha512', options: {}, bytes: [64], keyTypes: [], cost: 3 }],
  ['RS256', { hash: 'sha256', options: pkcs1, bytes: [], keyTypes: ['rsa'], cost: 25 }],
  ['RS384', { hash: 'sha384', options: pkcs1, bytes: [], keyTypes: ['rsa'], cost: 25 }],
  ['RS512', { hash: 'sha512', options: pkcs1, bytes: [], keyTypes: ['rsa'], cost: 25 }],
  ['PS256', { hash: 'sha256', options: pss, bytes: [], keyTypes: rsa, cost: 25 }],
  ['PS384', { hash: 'sha384', options: pss, bytes: [], keyTypes: rsa, cost: 25 }],
  ['PS512', { hash: 'sha512', options: pss, bytes: [], keyTypes: rsa, cost: 25 }],
  ['ES256', { hash: 'sha256', options: p1363, bytes: [64], keyTypes: ['ec'], cost: 70 }],
  ['ES384', { hash: 'sha384', options: p1363, bytes: [96], keyTypes: ['ec'], cost: 650 }],
  ['ES512', { hash: 'sha512', options: p1363, bytes: [132], keyTypes: ['ec'], cost: 1450 }],
  ['EdDSA', { hash: null, options: {}, bytes: [64, 114], keyTypes: ['ed25519', 'ed448'], cost: 110 }],
  ['Ed25519', { hash: null, options: {}, bytes: [64], keyTypes: ['ed25519'], cost: 110 }],
  ['Ed448', { hash: null, options: {}, bytes: [114], keyTypes: ['ed448'], cost: 230 }],
])

const unknown = { cost: 0, bytes: [0] }

/** Whether there is such an algorithm at all; `none` is none. */
export function isKnownAlgorithm(algorithm: string): boolean {
  return schemes.has(algorithm)
}

/** Cheap enough to be verified where one stands: an HMAC costs less than a hop to a thread. */
export function isHmac(algorithm: string): boolean {
  return schemes.get(algorithm)?.keyTypes.length === 0
}

/** Microseconds that a verification takes, roughly. A signature with RSA has the size of the key. */
export function costOf(algorithm: string, signatureBytes: number): number {
  const { cost, bytes } = schemes.get(algorithm) ?? unknown
  return bytes.length === 0 ? cost * (signatureBytes / 256) ** 1.5 : cost
}

/** Bytes that the last part of a token stands for. */
export function signatureBytes(token: string): number {
  return ((token.length - token.lastIndexOf('.') - 1) * 3) >> 2
}

/** Whether a signature of so many bytes can be one of the algorithm: worth to know before it is sent to a thread. */
export function hasFittingLength(algorithm: string, bytes: number): boolean {
  const lengths = schemes.get(algorithm)?.bytes ?? []
  return lengths.length === 0 ? bytes >= 256 : lengths.includes(bytes)
}

/**
 * Whether `token` (compact JWS, its shape checked already) was signed with `key`. A key of another type than the
 * algorithm's is no key of it.
 */
export function isSignedWith(key: KeyObject, algorithm: string, token: string): boolean {
  const scheme = schemes.get(algorithm)
  if (scheme === undefined) return false
  const isSecret = scheme.keyTypes.length === 0
  // Who calls has made sure of it already; here it costs nothing, and a mistake there would let anybody in.
  if (isSecret ? key.type !== 'secret' : !scheme.keyTypes.includes(key.asymmetricKeyType ?? '')) return false
  const dot = token.lastIndexOf('.')
  const signature = Buffer.from(token.slice(dot + 1), 'base64url')
  const input = Buffer.from(token.slice(0, dot), 'latin1')
  try {
    if (!isSecret) return verify(scheme.hash, input, { key, ...scheme.options }, signature)
    const expected = createHmac(scheme.hash ?? '', key)
      .update(input)
      .digest()
    return expected.length === signature.length && timingSafeEqual(expected, signature)
  } catch {
    // OpenSSL gives some signatures that can't be right an error instead of a no.
    return false
  }
}
