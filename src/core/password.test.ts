import { expect, test } from 'vitest'
import { hashPassword, type PasswordHash, parsePasswordHash, verifyPassword } from './password.ts'

function isRight(password: string, hash: PasswordHash | null): Promise<boolean> {
  if (hash === null) throw new Error('no hash')
  return new Promise((resolve) => verifyPassword(password, hash, resolve))
}

function unpadded(text: string, encoding: BufferEncoding): string {
  return Buffer.from(text, encoding).toString('base64').replace(/=+$/, '')
}

test('a hash is of that password and no other', async () => {
  const text = hashPassword('correct horse')
  expect(text).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[\w+/]{22}\$[\w+/]{43}$/)
  const hash = parsePasswordHash(text)
  expect(await isRight('correct horse', hash)).toBe(true)
  expect(await isRight('Correct horse', hash)).toBe(false)
  expect(await isRight('', hash)).toBe(false)
})

test('two hashes of a password differ', () => {
  expect(hashPassword('same')).not.toBe(hashPassword('same'))
})

// RFC 7914 §12.
test.each([
  [
    'password',
    'NaCl',
    10,
    8,
    16,
    'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640',
  ],
  [
    'pleaseletmein',
    'SodiumChloride',
    14,
    8,
    1,
    '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
  ],
])('scrypt of %j and %j', async (password, salt, ln, r, p, digest) => {
  // The published salts are shorter than any that is taken: the length is the only thing that is different here.
  const options = { N: 2 ** ln, r, p, maxmem: 64 * 1024 * 1024 }
  const hash = { options, salt: Buffer.from(salt), digest: Buffer.from(digest, 'hex') }
  expect(await isRight(password, hash)).toBe(true)
  expect(await isRight(`${password}!`, hash)).toBe(false)
})

test('however a letter is encoded, the password is the same', async () => {
  const hash = parsePasswordHash(hashPassword('\u00e9t\u00e9'))
  expect(await isRight('e\u0301te\u0301', hash)).toBe(true)
})

const salt = unpadded('sixteen bytes!!!', 'utf8')
const digest = unpadded('00'.repeat(32), 'hex')

test.each([
  ['ln=14,r=8,p=1', true],
  ['ln=17,r=8,p=1', true],
  ['ln=9,r=8,p=1', false],
  ['ln=18,r=16,p=1', false],
  ['ln=99,r=8,p=1', false],
  ['ln=14,r=0,p=1', false],
  ['ln=14,r=8,p=0', false],
  ['ln=14,r=8,p=17', false],
  ['ln=14,r=8', false],
])('cost %s is taken: %j', (cost, expected) => {
  expect(parsePasswordHash(`$scrypt$${cost}$${salt}$${digest}`) !== null).toBe(expected)
})

test.each([
  'secret',
  '',
  '$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW',
  `$scrypt$ln=14,r=8,p=1$${salt}$`,
  `$scrypt$ln=14,r=8,p=1$${salt}$${digest}=`,
  `$scrypt$ln=14,r=8,p=1$${salt}$${digest}\n`,
])('%j is no hash', (text) => expect(parsePasswordHash(text)).toBeNull())
