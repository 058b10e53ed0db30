import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, Wire } from '../support/wire.ts'
import { ConformanceBed } from './bed.ts'

let bed: ConformanceBed

beforeAll(async () => {
  bed = await ConformanceBed.start()
})
afterAll(() => bed.stop())

const post = (...fields: string[]): string =>
  `POST /framing HTTP/1.1\r\nHost: test\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`

describe('a request whose end can be read in two ways is refused, its connection closed, and nothing of it arrives', () => {
  test.each([
    ['two Content-Length that differ', post('Content-Length: 5', 'Content-Length: 6') + 'hello', 'bad_content_length'],
    ['the same, the longer first', post('Content-Length: 6', 'Content-Length: 5') + 'hello!', 'bad_content_length'],
    [
      'one that is no number behind one that is',
      post('Content-Length: 5', 'Content-Length: x') + 'hello',
      'bad_content_length',
    ],
    ['Transfer-Encoding: gzip', post('Transfer-Encoding: gzip') + '5\r\nhello\r\n0\r\n\r\n', 'bad_transfer_encoding'],
    ['gzip, chunked', post('Transfer-Encoding: gzip, chunked') + '5\r\nhello\r\n0\r\n\r\n', 'bad_transfer_encoding'],
    ['chunked, gzip', post('Transfer-Encoding: chunked, gzip') + '5\r\nhello\r\n0\r\n\r\n', 'bad_transfer_encoding'],
    ['chunked, chunked', post('Transfer-Encoding: chunked, chunked') + '0\r\n\r\n', 'bad_transfer_encoding'],
    ['chunked,', post('Transfer-Encoding: chunked,') + '0\r\n\r\n', 'bad_transfer_encoding'],
    ['xchunked', post('Transfer-Encoding: xchunked') + '0\r\n\r\n', 'bad_transfer_encoding'],
    ['chunked;q=1', post('Transfer-Encoding: chunked;q=1') + '0\r\n\r\n', 'bad_transfer_encoding'],
    ['"chunked"', post('Transfer-Encoding: "chunked"') + '0\r\n\r\n', 'bad_transfer_encoding'],
    ['identity', post('Transfer-Encoding: identity') + '0\r\n\r\n', 'bad_transfer_encoding'],
    [
      'two Transfer-Encoding',
      post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
      'bad_transfer_encoding',
    ],
    [
      'chunked, then identity',
      post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity') + '0\r\n\r\n',
      'bad_transfer_encoding',
    ],
    [
      'identity, then chunked',
      post('Transfer-Encoding: identity', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
      'bad_transfer_encoding',
    ],
  ])('%s', async (_name, bytes, code) => {
    expect(await bed.send(bytes)).toEqual({ status: 400, code, closed: true, arrived: [] })
  })

  // The front end answers these by itself.
  test.each([
    ['a list of Content-Length', post('Content-Length: 5, 5') + 'hello'],
    ['a list that differs', post('Content-Length: 5,6') + 'hello'],
    ['Content-Length: +5', post('Content-Length: +5') + 'hello'],
    ['Content-Length: -5', post('Content-Length: -5') + 'hello'],
    ['Content-Length: 0x5', post('Content-Length: 0x5') + 'hello'],
    ['Content-Length: 5 5', post('Content-Length: 5 5') + 'hello'],
    ['Content-Length: 5.0', post('Content-Length: 5.0') + 'hello'],
    ['Content-Length: 1e1', post('Content-Length: 1e1') + 'hello'],
    ['Content-Length: "5"', post('Content-Length: "5"') + 'hello'],
    ['a Content-Length beyond 2^53', post('Content-Length: 18446744073709551621') + 'hello'],
    ['an empty Content-Length', post('Content-Length:') + 'hello'],
    ['an empty Transfer-Encoding', post('Transfer-Encoding:') + '0\r\n\r\n'],
    ['Content-Length, then chunked', post('Content-Length: 5', 'Transfer-Encoding: chunked') + '0\r\n\r\n'],
    ['chunked, then Content-Length', post('Transfer-Encoding: chunked', 'Content-Length: 0') + '0\r\n\r\n'],
    ['Content-Length and any coding', post('Content-Length: 5', 'Transfer-Encoding: gzip') + 'hello'],
    ['the same on GET', post('Content-Length: 5', 'Transfer-Encoding: chunked').replace('POST', 'GET') + '0\r\n\r\n'],
  ])('%s', async (_name, bytes) => {
    const { status, code, closed, arrived } = await bed.send(bytes)
    expect([400, 505]).toContain(status)
    expect({ code, closed, arrived }).toEqual({ code: null, closed: true, arrived: [] })
  })
})

let count = 0

/**
 * Sends a request in pieces that end at these places, each read by itself: other requests go through the one worker in
 * between. What the upstream got as body and X-Text, or the status of a refusal.
 */
async function sendInPieces(text: string, cuts: readonly number[]): Promise<[string, string | undefined] | number> {
  const id = String(count++).padStart(4, '0')
  const bytes = text.replace('####', id)
  const wire = await Wire.open(bed.port())
  let from = 0
  for (const to of [...cuts, bytes.length]) {
    wire.send(bytes.slice(from, to))
    await call(bed.port(), 'GET /between')
    from = to
  }
  const status = (await wire.response())?.status ?? 0
  wire.close()
  if (status !== 200) return status
  const arrived = bed.upstream.requests.find(({ target }) => target.endsWith(`?${id}`))
  return [arrived?.body ?? '', arrived?.field('x-text')]
}

describe('what is sound passes and is framed anew', () => {
  test('the same Content-Length twice counts once', async () => {
    const { status, arrived } = await bed.send(post('Content-Length: 5', 'Content-Length: 5') + 'hello')
    expect(status).toBe(200)
    expect(arrived.map(({ body }) => body)).toEqual(['hello'])
    expect(arrived[0]?.all('content-length')).toEqual(['5'])
  })

  test('the name of the coding has no case', async () => {
    const { status, arrived } = await bed.send(post('Transfer-Encoding: Chunked') + '5\r\nhello\r\n0\r\n\r\n')
    expect(status).toBe(200)
    expect(arrived.map(({ body, ending }) => [body, ending])).toEqual([['hello', 'complete']])
    expect(arrived[0]?.all('transfer-encoding')).toEqual(['chunked'])
    expect(arrived[0]?.all('content-length')).toEqual([])
  })

  test('chunks of any size and case come as one body', async () => {
    const { arrived } = await bed.send(
      post('Transfer-Encoding: chunked') + '1\r\na\r\n0A\r\nbcdefghijk\r\n00000000000000003\r\nlmn\r\n0\r\n\r\n',
    )
    expect(arrived.map(({ body, ending }) => [body, ending])).toEqual([['abcdefghijklmn', 'complete']])
  })

  test('an empty chunked body is complete', async () => {
    const { status, arrived } = await bed.send(post('Transfer-Encoding: chunked') + '0\r\n\r\n')
    expect(status).toBe(200)
    expect(arrived.map(({ body, ending }) => [body, ending])).toEqual([['', 'complete']])
  })

  test('Content-Length: 0 is none', async () => {
    const { status, arrived } = await bed.send(post('Content-Length: 0'))
    expect(status).toBe(200)
    expect(arrived.map(({ ending }) => ending)).toEqual(['complete'])
    expect(arrived[0]?.field('content-length')).toBe('0')
  })

  test.each(['GET', 'DELETE', 'OPTIONS', 'HEAD'])('%s may have a body', async (method) => {
    const { status, arrived } = await bed.send(post('Content-Length: 5').replace('POST', method) + 'hello')
    expect(status).toBe(200)
    expect(arrived.map(({ body }) => body)).toEqual(['hello'])
  })

  describe.each([
    ['counted', `${post('X-Text: y', 'Content-Length: 5')}hello`],
    ['chunked', `${post('X-Text: y', 'Transfer-Encoding: chunked')}3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`],
  ])('a %s request that comes in pieces', (_name, plain) => {
    const text = plain.replace('/framing', '/framing?####')
    const line = text.indexOf('\r\n') + 2
    const places = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

    test('is the same wherever it is split behind its first line', async () => {
      const cuts = places(line, text.length)
      const outcomes = await Promise.all(cuts.map((cut) => sendInPieces(text, [cut])))
      expect(outcomes).toEqual(cuts.map(() => ['hello', 'y']))
    })

    test('is the same byte by byte behind its first line', async () => {
      expect(await sendInPieces(text, places(line, text.length))).toEqual(['hello', 'y'])
    })

    // The front end's build for Node.js 20 takes a first line whose end is still to come for another version; later
    // builds wait for it (uNetworking/uWebSockets#1776).
    test('is the same, or 505, where its first line is split', async () => {
      const cuts = places(1, line)
      const outcomes = await Promise.all(cuts.map((cut) => sendInPieces(text, [cut])))
      for (const outcome of outcomes) expect([505, ['hello', 'y']]).toContainEqual(outcome)
    })
  })

  test('requests that follow each other on a connection stay apart', async () => {
    const before = bed.upstream.requests.length
    const wire = await Wire.open(bed.port())
    for (const body of ['first', 'second!', '']) {
      wire.request('POST /one-by-one', [`Content-Length: ${body.length}`], body)
      expect((await wire.response())?.status).toBe(200)
    }
    wire.close()
    expect(bed.upstream.requests.slice(before).map(({ body }) => body)).toEqual(['first', 'second!', ''])
  })
})

describe('chunks that break the rules never become a complete request', () => {
  const chunked = post('Transfer-Encoding: chunked')

  test.each([
    ['a sign', '+1\r\na\r\n0\r\n\r\n'],
    ['a minus', '-1\r\na\r\n0\r\n\r\n'],
    ['a prefix', '0x1\r\na\r\n0\r\n\r\n'],
    ['more than 64 bits', '10000000000000001\r\na\r\n0\r\n\r\n'],
  ])('%s in the size', async (_name, body) => {
    const { closed, arrived } = await bed.send(chunked + body)
    expect(closed).toBe(true)
    expect(arrived.filter(({ ending }) => ending === 'complete')).toEqual([])
  })

  test.each([
    ['a trailer field', '5\r\nhello\r\n0\r\nX-User-Id: root\r\n\r\n'],
    ['a line that is none', '5\r\nhello\r\n0\r\nnonsense\r\n\r\n'],
  ])('%s behind the last chunk: 505, and the connection is closed', async (_name, body) => {
    // An idle connection to the upstream is there: nothing holds the request back.
    await call(bed.port(), 'GET /warm')
    const { status, closed, arrived } = await bed.send(chunked + body)
    expect([status, closed]).toEqual([505, true])
    for (const request of arrived) expect(await request.ended).toBe('broken')
    expect(arrived.flatMap((request) => request.all('x-user-id'))).toEqual([])
  })
})

describe('methods without an answer body are refused and closed just so', () => {
  test.each([
    ['two Content-Length that differ', post('Content-Length: 5', 'Content-Length: 6'), 'bad_content_length'],
    ['gzip', post('Transfer-Encoding: gzip'), 'bad_transfer_encoding'],
    ['two Host', post('Host: other'), 'bad_host'],
  ])('HEAD with %s', async (_name, bytes) => {
    const { status, closed, arrived } = await bed.send(bytes.replace('POST', 'HEAD'))
    expect({ status, closed, arrived }).toEqual({ status: 400, closed: true, arrived: [] })
  })
})
