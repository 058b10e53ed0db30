import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPathFault, normalizePath, validQuery } from './path.ts'

const bad = 'bad_path'
const ambiguous = 'ambiguous_path'

describe('normalizePath', () => {
  it.each([
    '/',
    '/api/users/7',
    '/api/users/',
    "/a-b._~!$&'()*+,;=:@/x",
    '/{braces}/"quotes"/<angle>|^`',
    '/.well-known/acme-challenge/x.y',
    '/..a/...b/.../a..b/a./a../x;v=1;w',
    '/caf%C3%A9/a%20b/100%25',
  ])('leaves %s as it is under both policies', (path) => {
    expect(normalizePath(path, 'normalize')).toBe(path)
    expect(normalizePath(path, 'reject')).toBe(path)
  })

  it.each([
    ['/%41%7a%30%2D%5f%7E', '/Az0-_~', 'unreserved characters are decoded'],
    ['/a%2eb/%2ewell-known', '/a.b/.well-known', 'a dot that makes no dot segment is decoded'],
    ['/caf%c3%a9%3b', '/caf%C3%A9%3B', 'other triplets get upper-case digits'],
    ['/%3f%23%25', '/%3F%23%25', 'what would end the path stays encoded'],
  ])('%s becomes %s under both policies: %s', (raw, path) => {
    expect(normalizePath(raw, 'normalize')).toBe(path)
    expect(normalizePath(raw, 'reject')).toBe(path)
  })

  it.each([
    ['//', '/'],
    ['//a///b//', '/a/b/'],
    ['/a/./b', '/a/b'],
    ['/a/b/.', '/a/b/'],
    ['/a/../b', '/b'],
    ['/a/b/..', '/a/'],
    ['/a/b/../..', '/'],
    ['/a/b/../../c', '/c'],
    ['/a//../b', '/b'],
    ['/.', '/'],
    ['/./a', '/a'],
    ['/a/%2e%2e/b', '/b'],
    ['/a/.%2E/b', '/b'],
    ['/a/%2e/b', '/a/b'],
    ['/a%2fb', '/a/b'],
    ['/a%2Fb%2f', '/a/b/'],
    ['/a\\b', '/a/b'],
    ['/a%5cb', '/a/b'],
    ['/a%5C..%5Cb', '/b'],
    ['/a/..%2fb', '/b'],
    ['/\\evil.example', '/evil.example'],
  ])('%s becomes %s when it normalizes and is refused when it rejects', (raw, path) => {
    expect(normalizePath(raw, 'normalize')).toBe(path)
    expect(normalizePath(raw, 'reject')).toBe(ambiguous)
  })

  it.each([
    ['', bad, 'empty'],
    ['api', bad, 'no slash'],
    ['*', bad, 'asterisk form'],
    ['http://a/b', bad, 'absolute form'],
    ['/a b', bad, 'blank'],
    ['/a\tb', bad, 'tab'],
    ['/a\r\nX: y', bad, 'line break'],
    ['/a\u007f', bad, 'delete'],
    ['/a\u0000', bad, 'nul'],
    ['/café', bad, 'raw non-ASCII'],
    ['/caf\ufffd', bad, 'what the listener makes of broken UTF-8'],
    ['/\u0161dmin', bad, 'a character that is ASCII in its low byte'],
    ['/a#b', bad, 'fragment'],
    ['/a?b', bad, 'query left in'],
    ['/%', bad, 'no digits'],
    ['/%2', bad, 'one digit'],
    ['/%zz', bad, 'no hexadecimal digits'],
    ['/%2g', bad, 'one hexadecimal digit'],
    ['/%u002e', bad, 'the encoding of old IIS'],
    ['/a%00', bad, 'encoded nul'],
    ['/a%0d%0aX:%20y', bad, 'encoded line break'],
    ['/a%1F', bad, 'encoded control character'],
    ['/a%7f', bad, 'encoded delete'],
    ['/..', ambiguous, 'above the root'],
    ['/../a', ambiguous, 'above the root'],
    ['/a/../../b', ambiguous, 'above the root'],
    ['/%2e%2e/a', ambiguous, 'above the root, encoded'],
    ['/..%5ca', ambiguous, 'above the root, backslash'],
    ['//../a', ambiguous, 'above the root behind an empty segment'],
    ['/a/..;/b', ambiguous, 'dot segment with parameters'],
    ['/a/..;x=1', ambiguous, 'dot segment with parameters at the end'],
    ['/a/.;x/b', ambiguous, 'dot segment with parameters'],
    ['/a/%2e%2e;/b', ambiguous, 'encoded dot segment with parameters'],
    ['/a/..%3b/b', ambiguous, 'dot segment with encoded parameters'],
    ['/a/;/b', ambiguous, 'empty segment with parameters'],
    ['/;x/admin', ambiguous, 'empty segment with parameters'],
    ['/a/%252e%252e/b', ambiguous, 'dots encoded twice'],
    ['/a%252Fb', ambiguous, 'slash encoded twice'],
    ['/a%255cb', ambiguous, 'backslash encoded twice'],
    ['/a%25252fb', ambiguous, 'slash encoded three times'],
    ['/a%25%32%65', ambiguous, 'dot encoded twice, its digits encoded too'],
    ['/%252e/../b', ambiguous, 'encoded twice in a segment that goes away'],
    ['/a%c0%afb', ambiguous, 'overlong slash'],
    ['/%C0%AE%c0%ae/b', ambiguous, 'overlong dots'],
    ['/%e0%80%af', ambiguous, 'overlong slash of three bytes'],
    ['/%f0%80%80%af', ambiguous, 'overlong slash of four bytes'],
  ])('%j is refused under both policies as %s: %s', (raw, fault) => {
    expect(normalizePath(raw, 'normalize')).toBe(fault)
    expect(normalizePath(raw, 'reject')).toBe(fault)
    expect(isPathFault(fault)).toBe(true)
  })

  it('takes paths longer than any buffer it keeps', () => {
    const long = `/${'%61/'.repeat(20_000)}`
    expect(normalizePath(long, 'normalize')).toBe(`/${'a/'.repeat(20_000)}`)
    expect(normalizePath('/%2', 'normalize')).toBe(bad)
  })

  const fragments = fc.constantFrom(
    ...'/ / // . .. ; \\ %2e %2E %2f %5C %3b %25 %32 %65 2e 2F 5c 25'.split(' '),
    ...'a b %41 %7e %c3%a9 %c0 %ae %20 %zz % %00 é * #'.split(' '),
  )
  const rawPaths = fc.array(fragments, { maxLength: 14 }).map((parts) => `/${parts.join('')}`)

  it('agrees with a plain reading of the rules', () => {
    fc.assert(
      fc.property(rawPaths, (raw) => {
        expect(kindOf(normalizePath(raw, 'normalize'))).toBe(kindOf(reference(raw, 'normalize')))
        expect(kindOf(normalizePath(raw, 'reject'))).toBe(kindOf(reference(raw, 'reject')))
      }),
      { numRuns: 20_000 },
    )
  })

  it('changes nothing when it runs again, and rejects only what it would have changed', () => {
    fc.assert(
      fc.property(rawPaths, (raw) => {
        const once = normalizePath(raw, 'normalize')
        const strict = normalizePath(raw, 'reject')
        if (!isPathFault(strict)) expect(strict).toBe(once)
        if (isPathFault(once)) return
        expect(normalizePath(once, 'normalize')).toBe(once)
        expect(normalizePath(once, 'reject')).toBe(once)
        expect(once).toMatch(/^\/[!-~]*$/)
        expect(once).not.toMatch(/\/\/|\\|%2e|%2f|%5c|%[0-1]|%7f|\/\.{0,2}(?:;|%3b)|\/\.{1,2}(?:\/|$)/i)
      }),
      { numRuns: 20_000 },
    )
  })
})

/** Both faults are one here: which comes first in a path that has both is no promise. */
function kindOf(result: string): string {
  return isPathFault(result) ? 'fault' : result
}

/** The rules again, one after the other over the whole path. */
function reference(raw: string, policy: 'normalize' | 'reject'): string {
  if (/[^!-~]|[#?]|%(?![0-9a-f]{2})|%[01]|%7f/i.test(raw)) return bad
  const decoded = raw
    .replace(/%[0-9a-f]{2}/gi, (triplet) => {
      const c = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
      return /[A-Za-z0-9._~/\\-]/.test(c) ? c : triplet.toUpperCase()
    })
    .replaceAll('\\', '/')
  if (/%25(?:25)*(?:2e|2f|5c)/i.test(decoded)) return ambiguous
  if (/%C[01]%[89AB]|%E0%[89]|%F0%8/.test(decoded)) return ambiguous
  const segments = decoded.slice(1).split('/')
  if (segments.some((segment) => /^\.{0,2}(?:;|%3B)/.test(segment))) return ambiguous
  const kept: string[] = []
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1
    if (segment === '..' && kept.pop() === undefined) return ambiguous
    if (segment !== '' && segment !== '.' && segment !== '..') kept.push(segment)
    else if (last) kept.push('')
  }
  const path = `/${kept.join('/')}`
  return policy === 'reject' && (path !== decoded || /\\|%5c|%2f/i.test(raw)) ? ambiguous : path
}

describe('validQuery', () => {
  it.each(['', 'a=1&b', 'a=%20%00', '~!@$%^&*()[]{}\'"<>|\\/?:;,+'])('takes %j', (raw) => {
    expect(validQuery(raw)).toBe(true)
  })

  it.each(['a b', 'a=1#b', 'a\tb', 'a\r\n', 'caf\u00e9', '\ufffd', 'a\u007f', '\u0000'])('refuses %j', (raw) => {
    expect(validQuery(raw)).toBe(false)
  })
})
