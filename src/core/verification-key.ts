import { type AsymmetricKeyDetails, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'

/** A key that may verify signatures, and those of which algorithms. */
export interface VerificationKey {
  /** `null`: the issuer gave it none. */
  readonly kid: string | null
  /** Algorithms (RFC 7518 §3.1, RFC 8037, RFC 9864) that fit the key's type, curve, size and its own `alg`. Never empty. */
  readonly algorithms: readonly string[]
  readonly key: KeyObject
  /** False once the issuer has withdrawn it: what it verified counts no more. Set by its key set. */
  live: boolean
}

/** Why something is no key to verify with: a plain sentence that names no key material. */
export class KeyFault {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

/** Algorithms whose key is a public one. */
export const publicKeyAlgorithms: readonly string[] =
  'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 Ed448'.split(' ')

/** Algorithms whose key is a shared secret. */
export const secretAlgorithms: readonly string[] = ['HS256', 'HS384', 'HS512']

/** Bytes of an HMAC's hash: its secret must not be shorter (RFC 7518 §3.2). */
const hashBytes: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 }

/** Curves of JWKs that can verify (RFC 7518 §6.2.1.1, RFC 8037 §2). */
const jwkCurves: readonly string[] = ['P-256', 'P-384', 'P-521', 'Ed25519', 'Ed448']

const curveAlgorithms: Readonly<Record<string, string>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
}

/** Members of a JWK that make its public key. Nothing else of it is read: private members never become part of a key. */
const publicMembers: Readonly<Record<string, readonly string[]>> = {
  RSA: ['n', 'e'],
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
}

/**
 * The key of a JWK (RFC 7517 §4). `null` when it is well-formed but not for us: for encryption, not for verifying, of an unknown
 * type, curve or algorithm (RFC 7517 §5 wants such keys skipped). `secrets: false` skips symmetric keys too: who publishes
 * a key at a URL cannot mean it to be a secret.
 */
export function keyOfJwk(jwk: unknown, { secrets }: { readonly secrets: boolean }): VerificationKey | null | KeyFault {
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) return new KeyFault('a JWK must be an object')
  const { kty, use, key_ops: operations, alg, kid } = jwk as Record<string, unknown>
  if (typeof kty !== 'string') return new KeyFault('a JWK must have a "kty"')
  if (kid !== undefined && typeof kid !== 'string') return new KeyFault('the "kid" of a JWK must be a string')
  if (alg !== undefined && typeof alg !== 'string') return new KeyFault('the "alg" of a JWK must be a string')
  if (use !== undefined && use !== 'sig') return null
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return null

  const wanted = alg === undefined ? undefined : [alg]
  if (kty === 'oct') {
    if (!secrets || (alg !== undefined && !secretAlgorithms.includes(alg))) return null
    const bytes = bytesOf((jwk as Record<string, unknown>)['k'])
    return bytes === null
      ? new KeyFault('the "k" of a JWK must be base64url')
      : keyOfSecret(bytes, { kid: kid ?? null, wanted })
  }
  const members = Object.hasOwn(publicMembers, kty) ? publicMembers[kty] : undefined
  if (members === undefined) return null
  const curve = (jwk as Record<string, unknown>)['crv']
  if (kty !== 'RSA' && typeof curve === 'string' && !jwkCurves.includes(curve)) return null
  if (alg !== undefined && !publicKeyAlgorithms.includes(alg)) return null
  const publicJwk: Record<string, string> = { kty }
  for (const name of members) {
    const value = (jwk as Record<string, unknown>)[name]
    if (typeof value !== 'string') return new KeyFault(`a JWK of type ${kty} must have "${name}"`)
    if (name !== 'crv' && bytesOf(value) === null) return new KeyFault(`the "${name}" of a JWK must be base64url`)
    publicJwk[name] = value
  }
  let key: KeyObject
  try {
    key = createPublicKey({ key: publicJwk, format: 'jwk' })
  } catch {
    // Points that lie on no curve end here too.
    return new KeyFault(`the members of the JWK make no ${kty} key`)
  }
  return ofPublicKey(key, kid ?? null, wanted)
}

/**
 * The keys of a JWK Set (RFC 7517 §5), and what is wrong with those that were left out. A fault when it is no set at all. One bad key
 * doesn't take the others with it.
 */
export function keysOfJwkSet(
  set: unknown,
  options: { readonly secrets: boolean },
): { readonly keys: readonly VerificationKey[]; readonly faults: readonly KeyFault[] } | KeyFault {
  const members = typeof set === 'object' && set !== null ? (set as Record<string, unknown>)['keys'] : undefined
  if (!Array.isArray(members)) return new KeyFault('a JWK Set must be an object with a list "keys"')
  const keys: VerificationKey[] = []
  const faults: KeyFault[] = []
  for (const member of members) {
    const key = keyOfJwk(member, options)
    if (key instanceof KeyFault) faults.push(key)
    else if (key !== null) keys.push(key)
  }
  return { keys, faults }
}

/**
 * The key in a PEM text: a public key (SPKI, or PKCS #1 for RSA) or a certificate, of a chain the first. The dates and the issuer of a
 * certificate are not looked at: that it stands in the configuration is what makes it trusted.
 */
export function keyOfPem(pem: string, kid: string | null = null): VerificationKey | KeyFault {
  const labels = Array.from(pem.matchAll(/^-----BEGIN ([A-Z0-9 ]+)-----\s*$/gm), (match) => match[1] ?? '')
  const first = labels[0]
  if (first === undefined) return new KeyFault('there is no PEM block ("-----BEGIN PUBLIC KEY-----")')
  if (labels.some((label) => label.endsWith('PRIVATE KEY'))) {
    return new KeyFault('this is a private key: only the public key is needed, and nothing else should be here')
  }
  if (first !== 'PUBLIC KEY' && first !== 'RSA PUBLIC KEY' && first !== 'CERTIFICATE') {
    return new KeyFault(`a PEM block "${first}" holds no public key`)
  }
  if (labels.length > 1 && first !== 'CERTIFICATE') return new KeyFault('there is more than one key in this PEM text')
  try {
    return ofPublicKey(createPublicKey(pem), kid, undefined)
  } catch {
    return new KeyFault(`the PEM block "${first}" can't be read`)
  }
}

/**
 * An HMAC secret. Fits the algorithms for which it is long enough (RFC 7518 §3.2); a fault when it is too short for one of those
 * `wanted`, or for all. A PEM text is refused: as a secret a public key is known to everybody (RFC 8725 §2.1).
 */
export function keyOfSecret(
  secret: Uint8Array,
  { kid = null, wanted }: { readonly kid?: string | null; readonly wanted?: readonly string[] | undefined } = {},
): VerificationKey | KeyFault {
  if (Buffer.from(secret.subarray(0, 64)).toString('latin1').includes('-----BEGIN ')) {
    return new KeyFault('a PEM key is no secret')
  }
  const algorithms = wanted ?? secretAlgorithms.filter((name) => secret.length >= (hashBytes[name] ?? Infinity))
  for (const name of algorithms) {
    const least = hashBytes[name]
    if (least === undefined) return new KeyFault(`a secret can't verify ${name}`)
    if (secret.length < least) return tooShort(secret.length, name, least)
  }
  if (algorithms.length === 0) return tooShort(secret.length, 'HS256', 32)
  return { kid, algorithms, key: createSecretKey(secret), live: true }
}

function tooShort(bytes: number, algorithm: string, least: number): KeyFault {
  return new KeyFault(`the secret has ${bytes} bytes: ${algorithm} needs at least ${least} (RFC 7518 §3.2)`)
}

function ofPublicKey(
  key: KeyObject,
  kid: string | null,
  wanted: readonly string[] | undefined,
): VerificationKey | KeyFault {
  const fitting = algorithmsOf(key)
  if (fitting instanceof KeyFault) return fitting
  const algorithms = wanted === undefined ? fitting : fitting.filter((name) => wanted.includes(name))
  if (algorithms.length === 0) return new KeyFault(`this key can't verify its own algorithm ${wanted?.join(', ')}`)
  return { kid, algorithms, key, live: true }
}

/** What a public key can verify. The key decides, never a token. */
function algorithmsOf(key: KeyObject): readonly string[] | KeyFault {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = key
  if (type === 'rsa' || type === 'rsa-pss') return rsaAlgorithms(type, details)
  if (type === 'ed25519') return ['EdDSA', 'Ed25519']
  if (type === 'ed448') return ['EdDSA', 'Ed448']
  if (type !== 'ec') return new KeyFault(`a key of type ${type} can't verify tokens`)
  const algorithm = curveAlgorithms[details.namedCurve ?? '']
  return algorithm === undefined ? new KeyFault(`the curve ${details.namedCurve} is not supported`) : [algorithm]
}

function rsaAlgorithms(type: 'rsa' | 'rsa-pss', details: AsymmetricKeyDetails): readonly string[] | KeyFault {
  const bits = details.modulusLength ?? 0
  if (bits < 2048) return new KeyFault(`the RSA key has ${bits} bits: 2048 is the least (RFC 7518 §3.3)`)
  // With an exponent of 1 every text is its own signature; an even one is no RSA key.
  const exponent = details.publicExponent ?? 0n
  if (exponent < 3n || exponent % 2n === 0n) return new KeyFault('the exponent of the RSA key is unsafe')
  if (type === 'rsa') return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
  const { hashAlgorithm: hash, mgf1HashAlgorithm: mask = hash, saltLength: salt = 0 } = details
  if (hash === undefined) return ['PS256', 'PS384', 'PS512']
  // The key names its own hash: JOSE wants the same for the mask, and a salt as long as the hash (RFC 7518 §3.5).
  const size = { sha256: 256, sha384: 384, sha512: 512 }[hash]
  if (size === undefined || mask !== hash || salt * 8 > size) {
    return new KeyFault('the parameters of the RSASSA-PSS key fit no algorithm of JWS')
  }
  return [`PS${size}`]
}

/** The bytes of base64url without padding; `null` when it is not that. */
function bytesOf(text: unknown): Buffer | null {
  return typeof text === 'string' && /^[\w-]+$/.test(text) ? Buffer.from(text, 'base64url') : null
}
