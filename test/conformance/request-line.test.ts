import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConformanceBed } from './bed.ts'

let bed: ConformanceBed

beforeAll(async () => {
  bed = await ConformanceBed.start()
})
afterAll(() => bed.stop())

const get = (line: string, ...fields: string[]): string =>
  `${line}\r\n${['Host: test', ...fields].join('\r\n')}\r\n\r\n`

describe('method', () => {
  test.each([
    'GE(T',
    'GE)T',
    'G@T',
    'G"T',
    'G/T',
    'G:T',
    'G;T',
    'G<T',
    'G=T',
    'G>T',
    'G?T',
    'G[T',
    'G\\T',
    'G{T',
    'G\x7fT',
  ])('what is no token (%j) is refused', async (method) => {
    expect(await bed.send(get(`${method} /method HTTP/1.1`))).toEqual({
      status: 400,
      code: 'bad_method',
      closed: true,
      arrived: [],
    })
  })

  test.each(["!#$%&'*+-.^_`|~", 'x', 'LONG'.repeat(8)])('any token (%j) passes', async (method) => {
    const { status, arrived } = await bed.send(get(`${method} /method HTTP/1.1`))
    expect(status).toBe(200)
    expect(arrived[0]?.method).toBe(method)
  })
})

describe('version and form of the target: the front end answers by itself, nothing arrives', () => {
  test.each([
    ['HTTP/1.0', get('GET /version HTTP/1.0')],
    ['absolute form', get('GET http://test/form HTTP/1.1')],
    ['asterisk form', get('OPTIONS * HTTP/1.1')],
    ['authority form', get('CONNECT test:443 HTTP/1.1')],
    ['a method beyond ASCII', get('G\xe9T /method HTTP/1.1')],
  ])('%s: 505', async (_name, bytes) => {
    expect(await bed.send(bytes)).toEqual({ status: 505, code: null, closed: true, arrived: [] })
  })
})

describe('Host', () => {
  const withHost = (...hosts: string[]): string =>
    `GET /host HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join('')}X-A: b\r\n\r\n`

  test.each([
    ['two that differ', ['test', 'other']],
    ['two that are equal', ['test', 'test']],
    ['a space', ['te st']],
    ['a list', ['test, other']],
    ['a path', ['test/other']],
    ['a user', ['root@test']],
    ['a query', ['test?x']],
    ['a fragment', ['test#x']],
    ['a backslash', ['te\\st']],
    ['an open bracket', ['[::1']],
    ['no address in brackets', ['[test]']],
    ['a port that is no number', ['test:http']],
    ['a port of six digits', ['test:123456']],
    ['two ports', ['test:80:80']],
    ['an angle bracket', ['<script>']],
    ['a byte beyond ASCII', ['t\xc3\xa9st']],
    ['more than 255 characters', [`${'a'.repeat(63)}.`.repeat(5)]],
  ])('%s: 400, closed', async (_name, hosts) => {
    expect(await bed.send(withHost(...hosts))).toEqual({ status: 400, code: 'bad_host', closed: true, arrived: [] })
  })

  test.each([
    ['none', []],
    ['an empty one', ['']],
  ])('%s: 400, closed', async (_name, hosts) => {
    expect(await bed.send(withHost(...hosts))).toMatchObject({ status: 400, closed: true, arrived: [] })
  })

  test.each([
    'test',
    'TEST.example.',
    'test:8080',
    '192.0.2.1',
    '[::1]',
    '[2001:db8::1]:443',
    'a_b.example',
    'xn--tst-bma.example',
  ])('%s passes', async (host) => {
    const { status, arrived } = await bed.send(withHost(host))
    expect(status).toBe(200)
    expect(arrived[0]?.field('x-forwarded-host')).toBe(host)
  })
})

describe('limits of a head', () => {
  test('8 kB of path and query: more is 414', async () => {
    const at = (length: number): string => get(`GET /${'a'.repeat(length - 3)}?b HTTP/1.1`)
    expect(await bed.send(at(8192))).toMatchObject({ status: 200 })
    expect(await bed.send(at(8193))).toEqual({ status: 414, code: 'uri_too_long', closed: true, arrived: [] })
  })

  test('16 kB of fields: more is 431, in one piece or in two', async () => {
    const fields = Array.from({ length: 20 }, (_, i) => `x-${i}: ${'v'.repeat(1000)}`)
    const bytes = get('GET /large HTTP/1.1', ...fields)
    expect(await bed.send(bytes)).toEqual({ status: 431, code: 'headers_too_large', closed: true, arrived: [] })
    expect(await bed.send([bytes.slice(0, 12_000), bytes.slice(12_000)])).toMatchObject({
      status: 431,
      closed: true,
      arrived: [],
    })
  })

  test('one field of 20 kB is 431', async () => {
    expect(await bed.send(get('GET /large HTTP/1.1', `x-long: ${'v'.repeat(20_000)}`))).toMatchObject({
      status: 431,
      closed: true,
      arrived: [],
    })
  })

  test('95 fields pass', async () => {
    const { status, arrived } = await bed.send(
      get('GET /many HTTP/1.1', ...Array.from({ length: 95 }, (_, i) => `x-${i}: ${i}`)),
    )
    expect(status).toBe(200)
    expect(arrived[0]?.field('x-94')).toBe('94')
  })
})
