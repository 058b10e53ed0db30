import { describe, expect, test } from 'vitest'
import { joeVectors, textVectors, unsecured } from '../../test/support/jws-vectors.ts'
import { claims, encode, forge, sign, signer } from '../../test/support/signer.ts'
import { TokenFault } from '../core/services/tokens.ts'
import { readJws } from './jws.ts'

const key = signer('HS256')
const header = { alg: 'HS256' }

function reasonOf(token: string): string {
  const jws = readJws(token)
  return jws instanceof TokenFault ? jws.reason : 'none'
}

function reasonOfHeader(text: string): string {
  return reasonOf(forge(key, text, '{}'))
}

describe('a token is read', () => {
  test('that a library made', async () => {
    const payload = claims({ deep: { list: [1, { a: null }], text: 'a:b"c\\' } })
    const token = await sign(key, payload, { typ: 'JWT' })
    expect(readJws(token)).toEqual({ header: { alg: 'HS256', kid: 'key-HS256', typ: 'JWT' }, claims: payload })
  })

  test.each(joeVectors)('that is published: $from', ({ token, algorithm }) => {
    const jws = readJws(token)
    expect(jws).toMatchObject({
      header: { alg: algorithm, kid: null },
      claims: { iss: 'joe', exp: 1300819380, 'http://example.com/is_root': true },
    })
  })

  test.each(['JWT', 'jwt', 'at+jwt', 'AT+JWT', 'application/jwt', 'application/at+jwt'])('of the type %s', (typ) => {
    expect(reasonOf(forge(key, { ...header, typ }, '{}'))).toBe('none')
  })

  test('with names and texts of every kind', () => {
    const payload = '{ "\\u0061\\"" : "}{][:,\\\\" , "é😀":[[],{}], "__proto__": {"a":1}, "": -1.5e3 }'
    const jws = readJws(forge(key, header, payload))
    expect(jws).toMatchObject({ claims: JSON.parse(payload) as object })
  })

  test('whatever keys it brings or points to: nobody looks', () => {
    const foreign = {
      jwk: { kty: 'oct', k: 'AAAA' },
      jku: 'https://evil.example',
      x5u: 'https://evil.example',
      x5c: [''],
    }
    expect(readJws(forge(key, { ...header, ...foreign }, '{}'))).toEqual({
      header: { alg: 'HS256', kid: null, typ: null },
      claims: {},
    })
  })
})

describe('a token is malformed', () => {
  const [head, body, signature] = forge(key, header, claims()).split('.') as [string, string, string]

  test.each([
    ['nothing', ''],
    ['one part', head],
    ['two parts', `${head}.${body}`],
    ['four parts', `${head}.${body}.${signature}.`],
    ['five parts, as an encrypted one has', `${head}.${body}.${signature}.${body}.${body}`],
    ['no header', `.${body}.${signature}`],
    ['no payload', `${head}..${signature}`],
    ['no signature', `${head}.${body}.`],
    ['a blank in front', ` ${head}.${body}.${signature}`],
    ['a line break at the end', `${head}.${body}.${signature}\n`],
    ['padding', `${head}=.${body}.${signature}`],
    ['padding behind the signature', `${head}.${body}.${signature}=`],
    ['a percent sign', `${head}.${body}%3D.${signature}`],
    ['letters that are none of ASCII', `${head}.${body}é.${signature}`],
  ])('with %s', (_name, token) => {
    expect(reasonOf(token)).toBe('malformed')
  })

  test('in the alphabet of plain base64', () => {
    const plain = Buffer.from('{"a":"???>>>"}').toString('base64')
    expect(plain).toMatch(/[+/]/)
    expect(reasonOf(`${head}.${plain.replaceAll('=', '')}.${signature}`)).toBe('malformed')
    expect(
      reasonOf(`${head}.${plain.replaceAll('=', '').replaceAll('+', '-').replaceAll('/', '_')}.${signature}`),
    ).toBe('none')
  })

  test('with stray bits at the end of a part', () => {
    // 32 bytes take 43 characters: the last one has two bits that mean nothing.
    const last = signature.slice(-1)
    const twin = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const other = twin[twin.indexOf(last) + 1] ?? ''
    expect(Buffer.from(signature.slice(0, -1) + other, 'base64url')).toEqual(Buffer.from(signature, 'base64url'))
    expect(reasonOf(`${head}.${body}.${signature.slice(0, -1)}${other}`)).toBe('malformed')
  })

  test.each([
    ['a list', '[]'],
    ['null', 'null'],
    ['a text', '"text"'],
    ['a number', '1'],
    ['half an object', '{"a":1'],
    ['an object and more', '{}{}'],
    ['a comment', '{/* */}'],
    ['a comma at the end', '{"a":1,}'],
    ['a byte order mark', '\ufeff{}'],
    ['a text without end', '{"a":"'],
    ['too much depth', `${'{"a":'.repeat(33)}1${'}'.repeat(33)}`],
    ['depth that would break a stack', `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`],
  ])('with %s for a payload, or a header', (_name, text) => {
    expect(reasonOf(forge(key, header, text))).toBe('malformed')
    expect(reasonOf(forge(key, text, '{}'))).toBe('malformed')
  })

  test('with bytes that are no UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')])
    expect(reasonOf(`${head}.${bytes.toString('base64url')}.${signature}`)).toBe('malformed')
  })

  test.each(textVectors)('that signs something else: $from', ({ token }) => {
    expect(reasonOf(token)).toBe('malformed')
  })

  test('that nobody signed (RFC 7515 A.5)', () => {
    expect(reasonOf(unsecured)).toBe('malformed')
  })

  test.each([
    '{}',
    '{"alg":1}',
    '{"alg":null}',
    '{"alg":["HS256"]}',
    '{"alg":"HS256","kid":1}',
    '{"alg":"HS256","typ":1}',
  ])('with the header %s', (text) => {
    expect(reasonOfHeader(text)).toBe('malformed')
  })
})

describe('a token is refused', () => {
  test.each([
    '{"alg":"HS256","alg":"none"}',
    '{"alg":"HS256","a":1,"a":1}',
    '{"alg":"HS256","\\u0061lg":"HS512"}',
    '{"alg":"HS256","x":{"a":1,"a":2}}',
    '{"alg":"HS256","__proto__":1,"__proto__":2}',
  ])('whose header repeats a member: %s', (text) => {
    expect(reasonOfHeader(text)).toBe('duplicate_member')
  })

  test.each([
    '{"sub":"a","sub":"b"}',
    '{"sub":"a","s\\u0075b":"b"}',
    '{"x":[{"a":1},{"a":1,"a":1}]}',
    '{"x":{"y":{"z":1,"z":1}}}',
    '{"a:b":1,"a:b":"{:"}',
  ])('whose payload repeats a member: %s', (text) => {
    expect(reasonOf(forge(key, header, text))).toBe('duplicate_member')
  })

  test.each([
    '{"alg":"HS256","crit":["exp"],"exp":1}',
    '{"alg":"HS256","crit":[]}',
    '{"alg":"HS256","crit":null}',
    '{"alg":"HS256","b64":false}',
    '{"alg":"HS256","b64":false,"crit":["b64"]}',
  ])('that wants extensions understood: %s', (text) => {
    expect(reasonOfHeader(text)).toBe('extension_not_supported')
  })

  test.each(['JOSE', 'secevent+jwt', 'dpop+jwt', '', 'JWT '])('of the type "%s"', (typ) => {
    expect(reasonOf(`${encode({ ...header, typ })}.${encode('{}')}.AAAA`)).toBe('type_not_allowed')
  })
})
