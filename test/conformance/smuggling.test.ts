import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, Wire } from '../support/wire.ts'
import { ConformanceBed } from './bed.ts'

let bed: ConformanceBed

beforeAll(async () => {
  bed = await ConformanceBed.start()
})
afterAll(() => bed.stop())

const hidden = 'GET /hidden HTTP/1.1\r\nHost: test\r\nX-User-Id: root\r\n\r\n'

const head = (...fields: string[]): string =>
  `POST /shown HTTP/1.1\r\n${['Host: test', ...fields].join('\r\n')}\r\n\r\n`

/**
 * Requests of which some reader might take the end for another one. Each carries a second request in what another
 * reading calls its body.
 */
const rows: readonly (readonly [string, string])[] = [
  ['CL.TE', head(`Content-Length: ${hidden.length + 5}`, 'Transfer-Encoding: chunked') + `0\r\n\r\n${hidden}`],
  [
    'TE.CL',
    head('Transfer-Encoding: chunked', 'Content-Length: 4') + `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  ],
  ['CL.CL, short first', head('Content-Length: 0', `Content-Length: ${hidden.length}`) + hidden],
  ['CL.CL, long first', head(`Content-Length: ${hidden.length}`, 'Content-Length: 0') + hidden],
  ['CL list', head(`Content-Length: 0, ${hidden.length}`) + hidden],
  ['CL with a plus', head('Content-Length: +0') + hidden],
  ['TE.TE, xchunked', head('Transfer-Encoding: xchunked') + `0\r\n\r\n${hidden}`],
  ['TE.TE, twice', head('Transfer-Encoding: chunked', 'Transfer-encoding: x') + `0\r\n\r\n${hidden}`],
  ['TE.TE, list', head('Transfer-Encoding: x, chunked') + `0\r\n\r\n${hidden}`],
  ['TE with a tab', head('Transfer-Encoding:\tchunked', 'Content-Length: 4') + `0\r\n\r\n${hidden}`],
  ['TE in quotes', head("Transfer-Encoding: 'chunked'") + `0\r\n\r\n${hidden}`],
  [
    'TE hidden in Connection',
    head('Connection: transfer-encoding', 'Transfer-Encoding: chunked') + `0\r\n\r\n${hidden}`,
  ],
  ['CL hidden in Connection', head('Connection: content-length', 'Content-Length: 0') + hidden],
  ['a chunk longer than it says', head('Transfer-Encoding: chunked') + `1\r\nab\r\n0\r\n\r\n${hidden}`],
  ['a chunk size with a sign', head('Transfer-Encoding: chunked') + `+0\r\n\r\n${hidden}`],
  ['an overflowing chunk size', head('Transfer-Encoding: chunked') + `fffffffffffffff0\r\n\r\n${hidden}`],
  ['an HTTP/0.9 line in the body', head('Content-Length: 0') + 'GET /hidden\r\n\r\n'],
  ['a GET with an uncounted body', `GET /shown HTTP/1.1\r\nHost: test\r\n\r\n${hidden}`],
  ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + hidden],
  [
    'an upgrade to h2c',
    head(
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
      'Content-Length: 0',
    ) + hidden,
  ],
]

describe('a hidden request never reaches the upstream as one that the gateway did not see', () => {
  test.each(rows)('%s', async (_name, bytes) => {
    const before = bed.upstream.requests.length
    const { arrived } = await bed.send(bytes)
    // What the upstream reads as requests, by their own framing, are at most the one shown and those that the gateway
    // itself read behind it; the latter went through its own rules, so nothing of the client's identity is left.
    expect(arrived.filter(({ target }) => target !== '/shown' && target !== '/hidden')).toEqual([])
    expect(arrived.flatMap((request) => request.all('x-user-id'))).toEqual([])
    for (const request of arrived) expect(request.field('x-request-id')).toBeDefined()
    expect(bed.upstream.requests.slice(before).every(({ method }) => /^[A-Z]+$/.test(method))).toBe(true)
  })
})

describe('the body of a request stays its body', () => {
  test.each([
    ['counted', head(`Content-Length: ${hidden.length}`) + hidden],
    ['chunked', head('Transfer-Encoding: chunked') + `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`],
  ])('%s', async (_name, bytes) => {
    const { status, arrived } = await bed.send(bytes)
    expect(status).toBe(200)
    expect(arrived.map(({ target, body }) => [target, body])).toEqual([['/shown', hidden]])
  })

  test('when a refused upload goes on, nothing of it is read as a request', async () => {
    const before = bed.upstream.requests.length
    const wire = await Wire.open(bed.port())
    wire.send(head('Content-Length: 2000000'))
    wire.send(hidden.repeat(10))
    const answer = await wire.response()
    expect(answer?.status).toBe(413)
    expect(answer?.field('connection')).toBe('close')
    wire.send(hidden.repeat(1000))
    await call(bed.port(), 'GET /sentinel')
    wire.close()
    expect(bed.upstream.requests.slice(before).map(({ target }) => target)).toEqual(['/sentinel'])
  })
})

describe('requests sent before the previous one is answered', () => {
  test('close the connection: none of them is answered out of order', async () => {
    const before = bed.upstream.requests.length
    bed.upstream.on('/held', () => {})
    const wire = await Wire.open(bed.port())
    wire.send(`GET /held HTTP/1.1\r\nHost: test\r\n\r\n${hidden}`)
    expect(await wire.remainder()).toBe('')
    expect(bed.upstream.requests.slice(before).filter(({ target }) => target === '/hidden')).toEqual([])
  })
})
