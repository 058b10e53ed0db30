import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Wire } from '../support/wire.ts'
import { ConformanceBed } from './bed.ts'

let bed: ConformanceBed

beforeAll(async () => {
  bed = await ConformanceBed.start()
})
afterAll(() => bed.stop())

const get = (...lines: string[]): string =>
  `GET /line HTTP/1.1\r\nHost: test\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`

const post = (...lines: string[]): string => get(...lines).replace('GET', 'POST')
const hidden = 'GET /line HTTP/1.1\r\nHost: test\r\n\r\n'

describe('a head that the front end cannot read gets no answer, its connection is closed, and nothing of it arrives', () => {
  // The front end waits for its own idle limit of ten seconds and a bit: all at once, in one test.
  const rows: readonly (readonly [string, string])[] = [
    ['no colon', get('nonsense')],
    ['a space before the colon', get('X-A : b')],
    ['a tab before the colon', get('X-A\t: b')],
    ['a folded line', get('X-A: b', ' folded')],
    ['a control character in a name', get('X-\x01A: b')],
    ['a byte beyond ASCII in a name', get('X-\xe9: b')],
    ['a bracket in a name', get('X-(A): b')],
    // These two are sound by RFC 9110 §5.1.
    ['an underscore in a name', get('X_A: b')],
    ['a dot in a name', get('X.A: b')],
    ['NUL in a value', get('X-A: b\x00c')],
    ['another control character in a value', get('X-A: b\x01c')],
    ['a form feed in a value', get('X-A: b\x0cc')],
    ['a lone CR in a value', get('X-A: b\rX-B: c')],
    ['a lone LF in a value', get('X-A: b\nX-B: c')],
    ['101 fields', get(...Array.from({ length: 101 }, (_, i) => `x-${i}: ${i}`))],
    ['no field at all', 'GET /line HTTP/1.1\r\n\r\n'],
    ['no version', 'GET /line\r\nHost: test\r\n\r\n'],
    ['two spaces before the target', 'GET  /line HTTP/1.1\r\nHost: test\r\n\r\n'],
    ['a smuggled request behind an underscore', `${post('Content_Length: 5', 'Content-Length: 0')}${hidden}`],
    ['a smuggled request behind a vertical tab', `${post('Transfer-Encoding: \x0bchunked')}0\r\n\r\n${hidden}`],
    ['a smuggled request behind a NUL', `${post('Transfer-Encoding: chunked\x00')}0\r\n\r\n${hidden}`],
    ['an unfinished head', 'GET /line HTTP/1.1\r\nHost: te'],
  ]

  test('each of them', async () => {
    const outcomes = await Promise.all(
      rows.map(async ([name, bytes]) => {
        const wire = await Wire.open(bed.port())
        wire.send(bytes)
        const answer = await wire.remainder()
        return [name, answer === '' || /^HTTP\/1\.1 (400|505) /.test(answer)]
      }),
    )
    expect(outcomes).toEqual(rows.map(([name]) => [name, true]))
    expect(bed.upstream.to('/line')).toEqual([])
  })
})

describe('a field line that can be read', () => {
  test('without a name: it and those behind it are not passed on', async () => {
    const { arrived } = await bed.send(`GET /nameless HTTP/1.1\r\nHost: test\r\n: v\r\nX-Behind: y\r\n\r\n`)
    expect(arrived.flatMap((request) => request.all('x-behind'))).toEqual([])
  })

  test('DEL, the one control character that the front end lets through, passes as it is (RFC 9110 §5.5 allows that)', async () => {
    const { arrived } = await bed.send('GET /control HTTP/1.1\r\nHost: test\r\nX-A: b\x7fc\r\n\r\n')
    expect(arrived[0]?.field('x-a')).toBe('b\x7fc')
  })

  test('spaces and tabs around a value are no part of it', async () => {
    const { arrived } = await bed.send('GET /space HTTP/1.1\r\nHost: test\r\nX-A: \t b\tc \t \r\nX-B:d\r\n\r\n')
    expect(arrived[0]?.field('x-a')).toBe('b\tc')
    expect(arrived[0]?.field('x-b')).toBe('d')
  })
})
