import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lines, request } from '../../test/support/plugin.ts'
import { ambiguous, CredentialReader, type CredentialSource } from './credential.ts'

const bearer: CredentialSource = { in: 'header', name: 'authorization', scheme: 'bearer' }
const apiKey: CredentialSource = { in: 'header', name: 'x-api-key', scheme: null }
const cookie: CredentialSource = { in: 'cookie', name: 'sid', scheme: null }
const query: CredentialSource = { in: 'query', name: 'jwt', scheme: null }

function read(source: CredentialSource, { headers = [] as string[], text = '' }) {
  return new CredentialReader([source]).read(request({ headers, query: text }))
}

/** What is left of a request: its fields, and its query. */
function left(sources: readonly CredentialSource[], headers: string[], text = ''): string[] {
  const ctx = request({ headers, query: text })
  new CredentialReader(sources).remove(ctx)
  return text === '' ? lines(ctx.headers) : [...lines(ctx.headers), `?${ctx.query}`]
}

describe('a header', () => {
  test.each([
    ['Bearer abc', 'abc'],
    ['bearer abc', 'abc'],
    ['BEARER   abc', 'abc'],
    ['Bearer\tabc', 'abc'],
    ['Bearer a b', 'a b'],
    ['Bearer', null],
    ['Bearer ', null],
    ['Bearerabc', null],
    ['Basic abc', null],
    ['Bea', null],
    ['', null],
    ['abc', null],
  ])('Authorization: %j holds %j', (value, expected) => {
    expect(read(bearer, { headers: ['host', 'a', 'authorization', value] })).toBe(expected)
  })

  test('without a scheme is the credential', () => {
    expect(read(apiKey, { headers: ['x-api-key', 'k-1'] })).toBe('k-1')
    expect(read(apiKey, { headers: ['x-api-key', ''] })).toBeNull()
    expect(read(apiKey, { headers: ['x-other', 'k-1'] })).toBeNull()
  })

  test('twice is ambiguous, whatever the second one says', () => {
    expect(read(bearer, { headers: ['authorization', 'Bearer a', 'authorization', 'Bearer a'] })).toBe(ambiguous)
    expect(read(bearer, { headers: ['authorization', 'Basic a', 'authorization', 'Bearer b'] })).toBe(ambiguous)
    expect(read(bearer, { headers: ['authorization', 'Bearer b', 'authorization', ''] })).toBe(ambiguous)
  })
})

describe('a cookie', () => {
  test.each([
    ['sid=abc', 'abc'],
    ['a=1; sid=abc; b=2', 'abc'],
    ['a=1;sid=abc', 'abc'],
    ['sid="abc"', 'abc'],
    ['sid = abc', 'abc'],
    ['sid=a=b', 'a=b'],
    ['sid=%41', '%41'],
    ['sid=', null],
    ['sid', null],
    ['xsid=abc; sidx=abc; SID=abc', null],
    ['x="sid=abc', null],
    ['sid=abc; sid=abc', 'abc'],
    ['sid=abc; sid=other', ambiguous],
  ])('%j holds %j', (value, expected) => {
    expect(read(cookie, { headers: ['cookie', value] })).toBe(expected)
  })

  test('may stand in any of several fields', () => {
    expect(read(cookie, { headers: ['cookie', 'a=1', 'cookie', 'sid=x'] })).toBe('x')
    expect(read(cookie, { headers: ['cookie', 'sid=x', 'cookie', 'sid=y'] })).toBe(ambiguous)
  })
})

describe('a query parameter', () => {
  test.each([
    ['jwt=abc', 'abc'],
    ['a=1&jwt=abc&b=2', 'abc'],
    ['jwt=a%2Eb', 'a.b'],
    ['jwt=a+b', 'a+b'],
    ['jwt=a%zz', 'a%zz'],
    ['%6Awt=abc', 'abc'],
    ['jwt=', null],
    ['jwt', null],
    ['jwtx=1&xjwt=2&JWT=3', null],
    ['a=jwt=b', null],
    ['jwt=a&jwt=a', ambiguous],
    ['jwt=a&%6awt=b', ambiguous],
    ['jwt=a&jwt', ambiguous],
  ])('%j holds %j', (text, expected) => expect(read(query, { text })).toBe(expected))
})

test('the first source that has one counts', () => {
  const ctx = request({ headers: ['cookie', 'sid=from-cookie', 'authorization', 'Bearer from-header'] })
  expect(new CredentialReader([bearer, cookie]).read(ctx)).toBe('from-header')
  expect(new CredentialReader([cookie, bearer]).read(ctx)).toBe('from-cookie')
  expect(new CredentialReader([query, apiKey, cookie]).read(ctx)).toBe('from-cookie')
  expect(new CredentialReader([query, apiKey]).read(ctx)).toBeNull()
})

describe('what is taken away', () => {
  test('is the credential alone', () => {
    expect(left([bearer], ['a', '1', 'authorization', 'Bearer x', 'b', '2'])).toEqual(['a: 1', 'b: 2'])
    expect(left([bearer], ['authorization', 'Basic x'])).toEqual(['authorization: Basic x'])
    expect(left([apiKey], ['x-api-key', 'k', 'a', '1', 'x-api-key', 'l'])).toEqual(['a: 1'])
  })

  test.each([
    ['sid=x', []],
    ['sid=x; a=1', ['cookie: a=1']],
    ['a=1; sid=x', ['cookie: a=1']],
    ['a=1; sid="x"; b="2"', ['cookie: a=1; b="2"']],
    ['a=1;b=2', ['cookie: a=1;b=2']],
    ['sid=x; sid=y; a=sid', ['cookie: a=sid']],
  ])('of cookies %j leaves %j', (value, expected) => expect(left([cookie], ['cookie', value])).toEqual(expected))

  test.each([
    ['jwt=x', '?'],
    ['jwt=x&a=1', '?a=1'],
    ['a=%20&jwt=x&b=+', '?a=%20&b=+'],
    ['a&&jwt=x&', '?a&&'],
    ['%6awt=x&a=1', '?a=1'],
    ['jwtx=1', '?jwtx=1'],
  ])('of query %j leaves %j', (text, expected) => expect(left([query], [], text)).toEqual([expected]))

  test('is what stands in any source, also where another counted', () => {
    expect(left([bearer, cookie, query], ['authorization', 'Bearer x', 'cookie', 'sid=y; a=1'], 'jwt=z')).toEqual([
      'cookie: a=1',
      '?',
    ])
  })

  test('can be read no more, and the rest stays in order', () => {
    const piece = fc.constantFrom('jwt', '%6awt', '=', '&', 'a', ';', ' ', 'sid', '"', '%', '1')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), fc.array(piece, { maxLength: 14 }), (first, second) => {
        const ctx = request({ query: first.join(''), headers: ['a', '1', 'cookie', second.join(''), 'b', '2'] })
        const reader = new CredentialReader([query, cookie])
        reader.remove(ctx)
        expect(reader.read(ctx)).toBeNull()
        expect(ctx.headers.slice(0, 2)).toEqual(['a', '1'])
        expect(ctx.headers.slice(-2)).toEqual(['b', '2'])
        const kept = first.join('').split('&')
        const params = ctx.query.split('&').filter((param) => param !== '')
        expect(kept.filter((param) => params.includes(param))).toEqual(params)
      }),
    )
  })
})
