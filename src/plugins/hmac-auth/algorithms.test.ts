import {
  constants,
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  type SignKeyObjectInput,
  sign as signWith,
} from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { check, message, now, parameters, revoked, type Sign, signed, usual } from '../../../test/support/signature.ts'
import { hmacAuth } from './plugin.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-hmac-auth-'))
afterAll(() => rmSync(dir, { recursive: true }))

const refused = { code: 'credentials_invalid', status: 401 }

beforeEach(() => {
  revoked.clear()
  vi.useFakeTimers({ now: now * 1000, toFake: ['Date'] })
})
afterEach(() => void vi.useRealTimers())

describe('algorithms', () => {
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 }
  const pairs: Record<string, { publicKey: KeyObject; privateKey: KeyObject }> = {
    ed: generateKeyPairSync('ed25519'),
    p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  }

  function keyFor(pair: string, more: object = {}): object {
    const pem = pairs[pair]?.publicKey.export({ type: 'spki', format: 'pem' })
    return { keys: [{ id: 'k1', consumer: 'acme', public_key: pem, ...more }] }
  }

  function signer(pair: string, hash: string | null, options: Omit<SignKeyObjectInput, 'key'> = {}): Sign {
    const key = pairs[pair]?.privateKey ?? createPrivateKey('')
    return (base) => signWith(hash, Buffer.from(base), { key, ...options })
  }

  test.each([
    ['ed', {}, signer('ed', null)],
    ['ed', { algorithm: 'ed25519' }, signer('ed', null)],
    ['p256', {}, signer('p256', 'sha256', { dsaEncoding: 'ieee-p1363' })],
    ['p384', {}, signer('p384', 'sha384', { dsaEncoding: 'ieee-p1363' })],
    ['rsa', {}, signer('rsa', 'sha512', pss)],
    ['rsa', { algorithm: 'rsa-pss-sha512' }, signer('rsa', 'sha512', pss)],
    ['rsa', { algorithm: 'rsa-v1_5-sha256' }, signer('rsa', 'sha256')],
  ])('%s %j verifies what it signed and nothing else', (pair, more, sign) => {
    const input = usual + parameters
    expect(check(keyFor(pair, more), signed(message(), input, sign))).toBeUndefined()
    const wrong = { ...refused, detail: 'signature_wrong' }
    expect(
      check(
        keyFor(pair, more),
        signed(message(), input, (base) => sign(`${base} `)),
      ),
    ).toMatchObject(wrong)
    expect(
      check(
        keyFor(pair, more),
        signed(message(), input, () => Buffer.alloc(0)),
      ),
    ).toMatchObject(wrong)
    expect(
      check(
        keyFor(pair, more),
        signed(message(), input, () => Buffer.alloc(64)),
      ),
    ).toMatchObject(wrong)
    expect(check(keyFor(pair, more), signed(message(), input))).toMatchObject(wrong)
  })

  test('that are not those of the key are not taken', () => {
    const der = signer('p256', 'sha256', { dsaEncoding: 'der' })
    expect(check(keyFor('p256'), signed(message(), usual + parameters, der))).toMatchObject(refused)
    const short = signer('rsa', 'sha512', { ...pss, saltLength: 32 })
    expect(check(keyFor('rsa'), signed(message(), usual + parameters, short))).toMatchObject(refused)
    expect(check(keyFor('rsa'), signed(message(), usual + parameters, signer('rsa', 'sha256')))).toMatchObject(refused)
    // A public key is known to everybody: it is no secret.
    const pem = String(pairs['rsa']?.publicKey.export({ type: 'spki', format: 'pem' }))
    const forged: Sign = (base) => createHmac('sha256', pem).update(base).digest()
    expect(check(keyFor('rsa'), signed(message(), usual + parameters, forged))).toMatchObject(refused)
  })

  test('fit their keys', () => {
    expect(() => check(keyFor('ed', { algorithm: 'rsa-pss-sha512' }), message())).toThrow(
      "can't verify rsa-pss-sha512: it fits ed25519",
    )
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' })
    expect(() => check({ keys: [{ id: 'a', consumer: 'b', public_key: small }] }, message())).toThrow('2048')
    const secretKey = pairs['ed']?.privateKey.export({ type: 'pkcs8', format: 'pem' })
    expect(() => check({ keys: [{ id: 'a', consumer: 'b', public_key: secretKey }] }, message())).toThrow('private key')
  })

  test('may take their key from a file, which is watched', () => {
    writeFileSync(join(dir, 'key.pem'), String(pairs['ed']?.publicKey.export({ type: 'spki', format: 'pem' })))
    const config = { keys: [{ id: 'k1', consumer: 'acme', public_key: { file: 'key.pem' } }] }
    expect(check(config, signed(message(), usual + parameters, signer('ed', null)), { configDir: dir })).toBeUndefined()
    expect(hmacAuth.files?.(hmacAuth.schema.parse(config))).toEqual(['key.pem'])
    const missing = { keys: [{ id: 'k1', consumer: 'acme', public_key: { file: 'none.pem' } }] }
    expect(() => check(missing, message(), { configDir: dir })).toThrow("the file none.pem can't be read: ENOENT")
  })

  test.each([
    ['short', 'has 5 bytes: 32 are the least'],
    ['-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC', 'is a key in PEM'],
  ])('the secret %j is refused', (text, words) => {
    expect(() => check({ keys: [{ id: 'a', consumer: 'b', secret: text }] }, message())).toThrow(words)
  })

  test('a secret in base64 must be that', () => {
    const entry = { id: 'a', consumer: 'b', secret: `${'A'.repeat(44)}!`, secret_is_base64: true }
    expect(() => check({ keys: [entry] }, message())).toThrow('is no base64')
  })
})
