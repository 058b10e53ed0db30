import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConformanceBed } from './bed.ts'

let bed: ConformanceBed

beforeAll(async () => {
  bed = await ConformanceBed.start()
})
afterAll(() => bed.stop())

const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: test\r\n\r\n`

/** Target as sent; what arrives with `normalize`; what arrives with `reject`. A fault's code where nothing does. */
const rows: readonly (readonly [string, string, string])[] = [
  ['/a/b', '/a/b', '/a/b'],
  ['/a/./b', '/a/b', 'ambiguous_path'],
  ['/a/../b', '/b', 'ambiguous_path'],
  ['/a/..', '/', 'ambiguous_path'],
  ['/a/.', '/a/', 'ambiguous_path'],
  ['/a//b', '/a/b', 'ambiguous_path'],
  ['//evil.example/a', '/evil.example/a', 'ambiguous_path'],
  ['/a/%2e%2e/b', '/b', 'ambiguous_path'],
  ['/a/%2E./b', '/b', 'ambiguous_path'],
  ['/a/.%2e/b', '/b', 'ambiguous_path'],
  ['/a%2fb', '/a/b', 'ambiguous_path'],
  ['/a%2F..%2Fb', '/b', 'ambiguous_path'],
  ['/a\\b', '/a/b', 'ambiguous_path'],
  ['/a/..\\b', '/b', 'ambiguous_path'],
  ['/a%5cb', '/a/b', 'ambiguous_path'],
  ['/a/%5C%2e%2e%5C/b', '/b', 'ambiguous_path'],
  ['/%7euser', '/~user', '/~user'],
  ['/%41%2d%5f', '/A-_', '/A-_'],
  ['/caf%c3%a9', '/caf%C3%A9', '/caf%C3%A9'],
  ['/a%20b%3fc%23d', '/a%20b%3Fc%23d', '/a%20b%3Fc%23d'],
  ['/a;x=1/b;y=2', '/a;x=1/b;y=2', '/a;x=1/b;y=2'],
  ['/a?x=/../%2e%2e//\\%00', '/a?x=/../%2e%2e//\\%00', '/a?x=/../%2e%2e//\\%00'],
  // Climbs above the root, or would for somebody: refused whatever the policy.
  ['/..', 'ambiguous_path', 'ambiguous_path'],
  ['/../etc/passwd', 'ambiguous_path', 'ambiguous_path'],
  ['/a/../../etc', 'ambiguous_path', 'ambiguous_path'],
  ['/a/..;/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a/..;x=1/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a/.;/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a/;/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a/%2e%2e;/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a/..%3b/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a/%252e%252e/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a%252fb', 'ambiguous_path', 'ambiguous_path'],
  ['/a%255cb', 'ambiguous_path', 'ambiguous_path'],
  ['/a%25252e%25252e/b', 'ambiguous_path', 'ambiguous_path'],
  ['/a%c0%afb', 'ambiguous_path', 'ambiguous_path'],
  ['/a%c0%ae%c0%ae/b', 'ambiguous_path', 'ambiguous_path'],
  // No path at all.
  ['/a%00b', 'bad_path', 'bad_path'],
  ['/a%0d%0aX-Injected:%20yes', 'bad_path', 'bad_path'],
  ['/a%09b', 'bad_path', 'bad_path'],
  ['/a%7fb', 'bad_path', 'bad_path'],
  ['/a%', 'bad_path', 'bad_path'],
  ['/a%4', 'bad_path', 'bad_path'],
  ['/a%zz', 'bad_path', 'bad_path'],
  ['/a%u0041', 'bad_path', 'bad_path'],
  ['/a#b', 'bad_path', 'bad_path'],
  ['/a?b#c', 'bad_path', 'bad_path'],
  ['/caf\xc3\xa9', 'bad_path', 'bad_path'],
  ['/caf\xe9', 'bad_path', 'bad_path'],
  ['/a?b=\xe9', 'bad_path', 'bad_path'],
]

describe.each(['normalize', 'reject'] as const)('path_policy: %s', (policy) => {
  test.each(rows)('%s', async (target, normalized, rejected) => {
    const expected = policy === 'normalize' ? normalized : rejected
    const { status, code, closed, arrived } = await bed.send(get(target), policy)
    if (expected.startsWith('/')) {
      expect(arrived.map((request) => request.target)).toEqual([expected])
      expect(status).toBe(200)
    } else {
      expect({ status, code, closed, arrived }).toEqual({ status: 400, code: expected, closed: true, arrived: [] })
    }
  })
})

describe('raw control characters in the target', () => {
  test.each(['\x00', '\x01', '\x08', '\x09', '\x0b', '\x1f', '\x7f'])('%j never arrives', async (character) => {
    const { status, closed, arrived } = await bed.send(get(`/a${character}b`))
    // The front end takes most of them for the end of the target, and what follows for a version.
    expect(status).toBe(character === '\x7f' ? 400 : 505)
    expect({ closed, arrived }).toEqual({ closed: true, arrived: [] })
  })
})
