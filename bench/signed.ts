import {
  constants,
  createHmac,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'

/** A key and tokens that it signs: claims as issuers write them, 600 to 900 characters a token. */
export interface BenchSigner {
  readonly algorithm: string
  readonly kid: string
  readonly public: KeyObject
  /** The same `n` gives the same claims. */
  token(n: number): string
}

const pairs: Readonly<Record<string, () => { publicKey: KeyObject; privateKey: KeyObject }>> = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
  HS256: () => {
    const secret = createSecretKey(randomBytes(32))
    return { publicKey: secret, privateKey: secret }
  },
}

export const issuer = 'https://auth.example.com'
export const audience = 'api.example.com'

export function benchSigner(algorithm: string): BenchSigner {
  const make = pairs[algorithm]
  if (make === undefined) throw new Error(`no keys of ${algorithm}`)
  const { publicKey, privateKey } = make()
  const kid = `bench-${algorithm.toLowerCase()}-1`
  const header = encode({ alg: algorithm, typ: 'JWT', kid })
  const now = Math.floor(Date.now() / 1000)
  return {
    algorithm,
    kid,
    public: publicKey,
    token(n) {
      const input = `${header}.${encode({ ...claimsOf(n), iat: now, exp: now + 86_400 })}`
      return `${input}.${signatureOf(algorithm, privateKey, Buffer.from(input)).toString('base64url')}`
    },
  }
}

function claimsOf(n: number): object {
  return {
    iss: issuer,
    aud: audience,
    sub: `user-${n}`,
    jti: `0b6ff0a6-5f8e-4b7c-9d3e-${String(n).padStart(12, '0')}`,
    email: `user-${n}@example.com`,
    role: 'member',
    tenant: 'acme',
    scope: 'orders:read orders:write profile',
  }
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

function signatureOf(algorithm: string, key: KeyObject, data: Buffer): Buffer {
  if (algorithm.startsWith('HS')) return createHmac('sha256', key).update(data).digest()
  const padding = algorithm.startsWith('PS')
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {}
  const hash = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`
  return sign(hash, data, { key, dsaEncoding: 'ieee-p1363', ...padding })
}
