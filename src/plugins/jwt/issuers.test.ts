import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { depsOf, faults } from '../../../test/support/plugin.ts'
import { jwksText, signingKey } from '../../../test/support/token.ts'
import { ConfigFault, type Deps } from '../../core/plugin.ts'
import type { RemoteKeySet } from '../../core/services/key-sets.ts'
import { servicesAtRest } from '../../core/services/services.ts'
import type { TrustedIssuer } from '../../core/services/tokens.ts'
import type { VerificationKey } from '../../core/verification-key.ts'
import { filesOf, trustOf } from './issuers.ts'
import { jwt } from './plugin.ts'
import { schema } from './schema.ts'

const folder = mkdtempSync(join(tmpdir(), 'sluice-jwt-'))
afterAll(() => rmSync(folder, { recursive: true }))

const rsa = signingKey('RS256', 'rsa')
const ec = signingKey('ES384', 'ec')
const edwards = signingKey('EdDSA', 'ed')
const hmac = signingKey('HS256', 'mac')

function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return name
}

function trust(config: unknown, deps: Partial<Deps> = {}): readonly TrustedIssuer[] {
  return trustOf(schema.parse(config), { ...depsOf(), configDir: folder, ...deps }).issuers
}

function only(config: unknown, deps: Partial<Deps> = {}): TrustedIssuer {
  const [issuer, ...others] = trust(config, deps)
  expect(others).toEqual([])
  return issuer as TrustedIssuer
}

/** The fault of keys that can't be used, as `path: message`. */
function fault(config: unknown): string {
  try {
    trust(config)
  } catch (error) {
    if (error instanceof ConfigFault) return `${error.path.join('.')}: ${error.message}`
    throw error
  }
  return ''
}

describe('keys', () => {
  test('in a file: what they fit is what is allowed', () => {
    const { keys, algorithms } = only({ jwks: { file: write('set.json', jwksText(rsa, ec, edwards, hmac)) } })
    expect(algorithms).toEqual(['RS256', 'ES384', 'EdDSA'])
    expect(keys.empty).toBe(false)
    expect(keys.find('ec', 'ES384')).toMatchObject([{ kid: 'ec' }])
    expect(keys.find('ec', 'RS256')).toEqual([])
    expect(keys.find('other', 'ES384')).toEqual([])
    expect(keys.find(null, 'ES384')).toMatchObject([{ kid: 'ec' }])
    expect(keys.find('mac', 'HS256')).toMatchObject([{ kid: 'mac' }])
  })

  test('written in the configuration, HMAC where it is stated', () => {
    const { algorithms } = only({ jwks: { keys: [rsa.jwk, hmac.jwk] }, algorithms: ['HS256', 'RS256'] })
    expect(algorithms).toEqual(['HS256', 'RS256'])
  })

  test('without an id fit tokens of any', () => {
    const nameless = { ...ec.jwk, kid: undefined }
    const { keys } = only({ jwks: { keys: [nameless, { ...signingKey('ES384', 'b').jwk }] } })
    expect(keys.find('b', 'ES384')).toHaveLength(2)
    expect(keys.find('unknown', 'ES384')).toMatchObject([{ kid: null }])
    expect(keys.find('unknown', 'ES384')).toBe(keys.find('made-up', 'ES384'))
  })

  test('as PEM, in place and in a file', () => {
    const inPlace = only({ public_key: rsa.pem })
    expect(inPlace.algorithms).toEqual(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'])
    expect(only({ public_key: { file: write('key.pem', ec.pem) } }).algorithms).toEqual(['ES384'])
    expect(inPlace.keys.find('any', 'RS256')).toHaveLength(1)
  })

  test('as a secret, in text or base64', () => {
    expect(only({ secret: 's'.repeat(48) }).algorithms).toEqual(['HS256', 'HS384'])
    const bytes = randomBytes(64)
    for (const encoding of ['base64', 'base64url'] as const) {
      const { keys, algorithms } = only({ secret: bytes.toString(encoding), secret_is_base64: true })
      expect(algorithms).toEqual(['HS256', 'HS384', 'HS512'])
      const [key] = keys.find(null, 'HS256') as readonly VerificationKey[]
      expect(key?.key.export()).toEqual(bytes)
    }
  })

  test('behind a URL', () => {
    const opened: RemoteKeySet[] = []
    const keySet = { find: () => [], empty: true }
    const keySets = { open: (source: RemoteKeySet) => (opened.push(source), keySet) }
    const { keys, algorithms } = only(
      { jwks: { url: 'https://auth.example.com/jwks', refresh: '1h', cooldown: '30s' }, algorithms: ['ES256'] },
      { services: { ...servicesAtRest, keySets } },
    )
    expect(keys).toBe(keySet)
    expect(algorithms).toEqual(['ES256'])
    expect(opened).toMatchObject([{ url: 'https://auth.example.com/jwks', refresh: 3_600_000, cooldown: 30_000 }])
    expect(only({ jwks: { url: 'https://auth.example.com/jwks' } }).algorithms).not.toContain('HS256')
  })

  test('of several issuers, each with its own', () => {
    const issuers = trust({
      issuers: [
        { issuer: 'a', audience: ['x', 'y'], public_key: rsa.pem, algorithms: ['PS256'] },
        { issuer: 'b', audience: 'z', secret: 's'.repeat(32) },
      ],
    })
    expect(issuers).toMatchObject([
      { issuer: 'a', audiences: ['x', 'y'], algorithms: ['PS256'] },
      { issuer: 'b', audiences: ['z'], algorithms: ['HS256'] },
    ])
  })

  test('that nobody can use are left out, with a warning', () => {
    const warnings: string[] = []
    const log = { info() {}, error() {}, warn: (message: string) => void warnings.push(message) }
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const weak = { ...privateKey.export({ format: 'jwk' }), kid: 'weak' }
    expect(only({ jwks: { keys: [weak, rsa.jwk] } }, { log }).keys.find('weak', 'RS256')).toEqual([])
    expect(warnings).toEqual([expect.stringContaining('the RSA key has 1024 bits')])
  })

  test('that change make other rules', () => {
    const fingerprint = (config: unknown): string =>
      trustOf(schema.parse(config), { ...depsOf(), configDir: folder }).fingerprint
    const file = write('changing.json', jwksText(rsa))
    const before = fingerprint({ jwks: { file } })
    expect(fingerprint({ jwks: { file } })).toBe(before)
    write('changing.json', jwksText(rsa, ec))
    expect(fingerprint({ jwks: { file } })).not.toBe(before)
    write('changing.json', jwksText({ ...rsa, jwk: { ...rsa.jwk, kid: 'renamed' } }))
    expect(fingerprint({ jwks: { file } })).not.toBe(before)
    const url = 'https://auth.example.com/jwks'
    expect(fingerprint({ jwks: { url } })).not.toBe(fingerprint({ jwks: { url: `${url}2` } }))
  })
})

test('files are watched', () => {
  const config = {
    issuers: [
      { issuer: 'a', jwks: { file: 'a.json' } },
      { issuer: 'b', public_key: { file: 'b.pem' } },
      { issuer: 'c', jwks: { url: 'https://c.example.com', tls: { ca: 'ca.pem' } } },
      { issuer: 'd', secret: 's'.repeat(32) },
    ],
  }
  expect(filesOf(schema.parse(config))).toEqual(['a.json', 'b.pem', 'ca.pem'])
  expect(jwt.files?.(schema.parse({ jwks: { file: 'x.json' } }))).toEqual(['x.json'])
})

describe('refuses', () => {
  const set = { file: 'x.json' }

  test.each([
    [{}, ': needs keys: one of "jwks", "public_key" and "secret"'],
    [{ jwks: set, secret: 'x' }, ': must have only one of "jwks", "public_key" and "secret"'],
    [{ jwks: {} }, 'jwks: must have exactly one of "file", "url" and "keys"'],
    [{ jwks: { file: 'a', url: 'https://a.example.com' } }, 'jwks: must have exactly one of'],
    [{ jwks: { url: 'http://auth.example.com/jwks' } }, 'jwks.url: must be https'],
    [{ jwks: { url: 'http://127.evil.example.com/' } }, 'jwks.url: must be https'],
    [{ jwks: { url: 'file:///etc/passwd' } }, 'jwks.url: must be a URL'],
    [{ jwks: set, algorithms: ['none'] }, 'algorithms.0:'],
    [{ jwks: set, algorithms: [] }, 'algorithms:'],
    [{ public_key: 'x', algorithms: ['RS256', 'HS256'] }, 'algorithms.1: must fit the keys: HS256 needs a "secret"'],
    [{ jwks: { url: 'https://a.example.com' }, algorithms: ['HS256'] }, 'algorithms.0: must fit the keys: HS256'],
    [{ secret: 'x', algorithms: ['RS256'] }, 'algorithms.0: must fit the keys: RS256 needs a public key'],
    [{ jwks: set, secret_is_base64: true }, 'secret_is_base64: means nothing without a "secret"'],
    [{ issuers: [{ issuer: 'a', jwks: set }], audience: 'b' }, 'audience: must stand in an entry of "issuers"'],
    [{ issuers: [{ issuer: 'a' }] }, 'issuers.0: needs keys'],
    [{ issuers: [] }, 'issuers:'],
    [{ jwks: set, from: [{}] }, 'from.0: must have exactly one of "header", "cookie" and "query"'],
    [{ jwks: set, from: [{ cookie: 'a', scheme: 'b' }] }, 'from.0.scheme: means nothing without a "header"'],
    [{ jwks: set, from: [{ header: 'connection' }] }, 'from.0.header: must be the name of an end-to-end header'],
    [{ jwks: set, from: [{ cookie: 'a' }], cookie_names: ['a'] }, 'cookie_names: says the same as "from"'],
    [{ jwks: set, required: ['exp'], claims_to_verify: ['exp'] }, 'claims_to_verify: says the same as "required"'],
    [{ jwks: set, claims_to_headers: { sub: 'Host' } }, 'claims_to_headers.sub: must not be "host"'],
    [{ jwks: set, claims_to_headers: { sub: 'Authorization' } }, 'claims_to_headers.sub: must not be "authorization"'],
    [{ jwks: set, claims_to_headers: { sub: 'X-A', b: 'x-a' } }, 'claims_to_headers: must not tell two claims in one'],
    [{ jwks: set, claims: { a: {} } }, 'claims.a: must be a value or a list of values'],
    [{ jwks: set, scopes: ['a b'] }, 'scopes.0: must be a scope'],
    [{ jwks: set, realm: 'a"b' }, 'realm: must be visible ASCII'],
    [
      { jwks: set, anonymous: 'guest' },
      'anonymous: must be null: who callers without credentials are is said in "auth"',
    ],
    [{ jwks: set, max_size: '1b' }, 'max_size: must be at least 256 bytes'],
    [{ jwks: set, max_size: 'big' }, 'max_size: must be a size'],
    [{ jwks: set, status: 200 }, 'status:'],
  ])('%j', (config, message) => expect(faults(jwt, config)).toContain(message))

  test.each([
    [{ jwks: { file: 'absent.json' } }, "jwks.file: the file absent.json can't be read: no such file"],
    [{ jwks: { file: '.' } }, "jwks.file: the file . can't be read: it is no file of at most 1mb"],
    [{ jwks: { file: write('text.json', 'keys') } }, 'jwks.file: must be a file with JSON'],
    [{ jwks: { file: write('list.json', '[]') } }, 'jwks.file: a JWK Set must be an object with a list "keys"'],
    [{ jwks: { file: write('none.json', '{"keys":[]}') } }, 'jwks.file: has no key that can verify tokens'],
    [
      { jwks: { keys: [{ kty: 'RSA' }] } },
      'jwks.keys: has no key that can verify tokens: a JWK of type RSA must have "n"',
    ],
    [{ jwks: { keys: [hmac.jwk] } }, 'algorithms: must be stated where all keys are secrets'],
    [{ jwks: { keys: [rsa.jwk] }, algorithms: ['RS256', 'ES256'] }, 'algorithms.1: no key fits ES256'],
    [{ public_key: 'nonsense' }, 'public_key: there is no PEM block'],
    [{ public_key: { file: 'absent.pem' } }, 'public_key.file: the file absent.pem'],
    [{ secret: 'short' }, 'secret: the secret has 5 bytes: HS256 needs at least 32'],
    [{ secret: 's'.repeat(32), algorithms: ['HS512'] }, 'secret: the secret has 32 bytes: HS512 needs at least 64'],
    [{ secret: '?'.repeat(64), secret_is_base64: true }, 'secret: must be base64'],
    [{ secret: rsa.pem }, 'secret: a PEM key is no secret'],
    [
      { issuers: [{ issuer: 'a', jwks: { keys: [rsa.jwk] } }, { secret: 'x' }] },
      'issuers.1.secret: the secret has 1 bytes',
    ],
  ])('%.60j', (config, message) => expect(fault(config)).toContain(message))

  test('a private key, without showing it', () => {
    const pem = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const words = fault({ public_key: pem })
    expect(words).toContain('public_key: this is a private key')
    expect(words).not.toContain(pem.split('\n')[1])
  })
})
