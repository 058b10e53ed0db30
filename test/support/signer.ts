import {
  constants,
  createHmac,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign as signBytes,
} from 'node:crypto'
import { SignJWT } from 'jose'
import type { KeySet } from '../../src/core/services/key-sets.ts'
import type { TokenRules } from '../../src/core/services/tokens.ts'
import type { VerificationKey } from '../../src/core/verification-key.ts'

/** A key that signs, and what verifies with it. */
export interface Signer {
  readonly algorithm: string
  readonly private: KeyObject
  readonly public: KeyObject
  /** The same object every time: whoever withdraws it takes a key of his own (`newSigner`). */
  readonly verification: VerificationKey
}

const pairs = {
  RS: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
  Ed25519: () => generateKeyPairSync('ed25519'),
  Ed448: () => generateKeyPairSync('ed448'),
}

export function newSigner(algorithm: string, kid: string | null = `key-${algorithm}`): Signer {
  if (algorithm.startsWith('HS')) {
    const secret = createSecretKey(randomBytes(64))
    return withVerification(algorithm, kid, secret, secret)
  }
  const make = pairs[(algorithm in pairs ? algorithm : algorithm.slice(0, 2)) as keyof typeof pairs]
  const { privateKey, publicKey } = make()
  return withVerification(algorithm, kid, privateKey, publicKey)
}

function withVerification(algorithm: string, kid: string | null, privateKey: KeyObject, publicKey: KeyObject): Signer {
  const verification = { kid, algorithms: [algorithm], key: publicKey, live: true }
  return { algorithm, private: privateKey, public: publicKey, verification }
}

const made = new Map<string, Signer>()

/** One key per algorithm for all tests of a file: to make one with RSA takes a while. */
export function signer(algorithm: string): Signer {
  const key = made.get(algorithm) ?? newSigner(algorithm)
  made.set(algorithm, key)
  return key
}

export const issuer = 'https://auth.example.com'
export const audience = 'api.example.com'

/** Claims of a token that is good for an hour. */
export function claims(more: Record<string, unknown> = {}): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000)
  return { iss: issuer, aud: audience, sub: 'user-1', iat: now, exp: now + 3600, ...more }
}

/** A token as an issuer makes it. */
export function sign(
  key: Signer,
  payload: Record<string, unknown> = claims(),
  header: Record<string, unknown> = {},
): Promise<string> {
  const { kid } = key.verification
  const full = { alg: key.algorithm, ...(kid === null ? {} : { kid }), ...header }
  // jose knows no Ed448.
  if (key.public.asymmetricKeyType === 'ed448') return Promise.resolve(forge(key, full, payload))
  return new SignJWT(payload).setProtectedHeader(full).sign(key.private)
}

type Part = string | Record<string, unknown>

/** A token of any header and payload, also such as no library makes, with a signature that is good for them. */
export function forge(key: Signer, header: Part, payload: Part): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${signatureOf(key, input)}`
}

export function encode(part: Part): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
}

export function signatureOf({ algorithm, private: key }: Signer, input: string): string {
  const data = Buffer.from(input)
  const hash = algorithm.startsWith('Ed') ? null : `sha${algorithm.slice(2)}`
  if (algorithm.startsWith('HS'))
    return createHmac(hash ?? '', key)
      .update(data)
      .digest('base64url')
  const padding = algorithm.startsWith('PS')
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {}
  return signBytes(hash, data, { key, dsaEncoding: 'ieee-p1363', ...padding }).toString('base64url')
}

/** A set of keys that a test changes as it likes. */
export class TestKeys implements KeySet {
  keys: readonly VerificationKey[]
  /** What `find` waits for. */
  fetch: Promise<void> | null = null
  lookups = 0

  constructor(...keys: readonly (Signer | VerificationKey)[]) {
    this.keys = keys.map((key) => ('verification' in key ? key.verification : key))
  }

  get empty(): boolean {
    return this.keys.length === 0
  }

  find(kid: string | null, algorithm: string): readonly VerificationKey[] | Promise<readonly VerificationKey[]> {
    this.lookups += 1
    const look = () =>
      this.keys.filter((key) => (kid === null || key.kid === kid) && key.algorithms.includes(algorithm))
    return this.fetch === null ? look() : this.fetch.then(look)
  }
}

/** Rules that let in what `sign` makes with these keys, and hand out the claims. */
export function rules(
  keys: KeySet,
  algorithms: readonly string[],
  more: Partial<TokenRules<Readonly<Record<string, unknown>>>> = {},
): TokenRules<Readonly<Record<string, unknown>>> {
  return {
    fingerprint: 'rules',
    issuers: [{ issuer, audiences: [audience], algorithms, keys }],
    clockSkew: 0,
    required: [],
    maxAge: 0,
    maxSize: 8192,
    cache: { entries: 1000, bytes: 1_000_000 },
    accept: (accepted) => accepted,
    ...more,
  }
}
