import { describe, expect, test } from 'vitest'
import { HeadCache } from './head-cache.ts'
import { ReadBuffer } from './read-buffer.ts'
import { ResponseParser, step } from './response-parser.ts'

interface Outcome {
  interims: number[]
  status: number
  block: string
  contentLength: number
  body: string
  complete: boolean
  keepAlive: boolean
  /** Bytes behind the end of the response. */
  extra: number
  code: string
  fault: string
}

interface Options {
  isHead?: boolean
  maxHeadSize?: number
  /** The connection ends behind the bytes. */
  ends?: boolean
  cache?: HeadCache
}

/** Feeds `pieces` as one read each and says what came of it. */
function feed(pieces: readonly string[], options: Options = {}): Outcome {
  const parser = new ResponseParser(options.cache ?? new HeadCache(), options.maxHeadSize ?? 65_536)
  parser.begin(options.isHead === true)
  return feedTo(parser, pieces, options)
}

function feedTo(parser: ResponseParser, pieces: readonly string[], options: Options = {}): Outcome {
  const buffer = new ReadBuffer()
  const interims: number[] = []
  let body = ''
  let status = 0
  let extra = 0
  let failed = false
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0)
  let before = 0
  for (const piece of pieces) {
    const size = buffer.bytes.write(piece, 'latin1')
    let at = 0
    while (at < size && !parser.complete && !failed) {
      const result = parser.read(buffer, at, size)
      at = parser.position
      if (result === step.failed) failed = true
      if (result === step.more) at = size
      if (result === step.interim) interims.push(parser.head?.status ?? 0)
      if (result === step.head) status = parser.head?.status ?? 0
      if (result === step.head || result === step.data) {
        body += buffer.bytes.toString('latin1', parser.bodyStart, parser.bodyEnd)
        if (parser.complete) extra = total - before - parser.position
        at = size
      }
    }
    before += size
  }
  if (options.ends === true && !failed && !parser.complete) parser.finish()
  return {
    interims,
    status,
    block: failed ? '' : (parser.head?.block ?? ''),
    contentLength: failed ? 0 : (parser.head?.contentLength ?? 0),
    body: failed ? '' : body,
    complete: parser.complete,
    keepAlive: failed ? false : (parser.head?.keepAlive ?? false),
    extra,
    code: failed ? parser.code : '',
    fault: failed ? parser.fault : '',
  }
}

/** Every way to cut the text in two, and byte by byte. */
function splits(text: string): string[][] {
  const all = [[text], text.split('')]
  for (let at = 1; at < text.length; at++) all.push([text.slice(0, at), text.slice(at)])
  return all
}

/** The outcome must be the same however the bytes are split. */
function read(text: string, options: Options = {}): Outcome {
  const whole = feed([text], options)
  for (const pieces of splits(text)) {
    const split = feed(pieces, options)
    // The status of a refused response may have been told before the fault came, and the wording follows what was seen.
    const expected =
      whole.fault === '' ? whole : { ...whole, status: split.status, fault: split.fault, interims: split.interims }
    expect(split, `split into ${pieces.map((piece) => piece.length).join('+')}`).toEqual(expected)
  }
  return whole
}

const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

describe('framing', () => {
  test('Content-Length', () => {
    const outcome = read('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello')
    expect(outcome).toMatchObject({ body: 'hello', complete: true, contentLength: 5, keepAlive: true, extra: 0 })
    expect(outcome.block).toBe('200 OK\r\ncontent-type: text/plain')
  })

  test.each(['Content-Length: 0', 'content-length:0', 'CONTENT-LENGTH: \t 0 \t'])('%j ends with the head', (field) => {
    expect(read(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n`)).toMatchObject({ body: '', complete: true, contentLength: 0 })
  })

  test.each([
    'Content-Length: 5\r\nContent-Length: 5',
    'Content-Length: 5, 5',
    'Content-Length: 5\r\nContent-Length: 05',
  ])('equal lengths: %j', (field) => {
    expect(read(`HTTP/1.1 200 OK\r\n${field}\r\n\r\nhello`)).toMatchObject({ body: 'hello', complete: true })
  })

  test.each([
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: 5, 6',
    'Content-Length: +5',
    'Content-Length: -5',
    'Content-Length: 5 5',
    'Content-Length: 0x5',
    'Content-Length: 5.0',
    'Content-Length: 5e0',
    'Content-Length:',
    'Content-Length: ,',
    'Content-Length: 5,',
    'Content-Length:\r\nContent-Length: 5',
    'Content-Length: 5\r\nContent-Length:',
    'Content-Length: 9007199254740993',
    'Content-Length: 18446744073709551621',
    'Content-Length: \u00b2',
    'Content-Length: "5"',
  ])('refuses %j', (field) => {
    expect(read(`HTTP/1.1 200 OK\r\n${field}\r\n\r\nhello`)).toMatchObject({ code: 'upstream_bad_response' })
  })

  test('a body that is longer than a read', () => {
    const body = 'x'.repeat(150_000)
    const text = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    const pieces = text.match(/[^]{1,65536}/g) as string[]
    expect(feed(pieces)).toMatchObject({ body, complete: true })
  })

  test('until the connection closes', () => {
    const text = 'HTTP/1.1 200 OK\r\n\r\nhello'
    expect(read(text, { ends: true })).toMatchObject({ body: 'hello', complete: true, contentLength: -1 })
    expect(read(text)).toMatchObject({ body: 'hello', complete: false })
  })

  test('a close in the middle is not an end', () => {
    expect(read('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello', { ends: true }).complete).toBe(false)
    expect(read(`${chunked}5\r\nhello\r\n0\r\n`, { ends: true }).complete).toBe(false)
    expect(read('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n', { ends: true }).complete).toBe(false)
  })

  test.each(['HTTP/1.1 204 No Content', 'HTTP/1.1 304 Not Modified'])('%s has no body whatever it says', (line) => {
    for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked', 'X: y']) {
      expect(read(`${line}\r\n${field}\r\n\r\n`)).toMatchObject({ complete: true, body: '', extra: 0 })
      expect(read(`${line}\r\n${field}\r\n\r\nhello`)).toMatchObject({ complete: true, body: '', extra: 5 })
    }
  })

  test('304 keeps the length of the representation, 204 has none', () => {
    expect(read('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n').contentLength).toBe(5)
    expect(read('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n').contentLength).toBe(-1)
  })

  test('the answer to HEAD has no body whatever it says', () => {
    for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked', 'X: y']) {
      expect(read(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n`, { isHead: true })).toMatchObject({
        complete: true,
        body: '',
        extra: 0,
      })
    }
    expect(read('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', { isHead: true })).toMatchObject({
      extra: 5,
      contentLength: 5,
    })
  })

  test('bytes behind the end are seen', () => {
    const second = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
    expect(read(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${second}`)).toMatchObject({
      body: 'ok',
      extra: second.length,
    })
    expect(read(`${chunked}2\r\nok\r\n0\r\n\r\n${second}`)).toMatchObject({ body: 'ok', extra: second.length })
    expect(read(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\n`).extra).toBe(1)
  })
})

describe('Transfer-Encoding', () => {
  test.each(['chunked', 'Chunked', 'CHUNKED', ' \tchunked\t '])('%j', (value) => {
    const text = `HTTP/1.1 200 OK\r\nTransfer-Encoding:${value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
    expect(read(text)).toMatchObject({ body: 'hello', complete: true, contentLength: -1, extra: 0 })
  })

  test.each([
    'gzip',
    'identity',
    'gzip, chunked',
    'chunked, gzip',
    'chunked, chunked',
    'chunked,',
    ',chunked',
    'xchunked',
    'chunked;q=1',
    '"chunked"',
    'chunked\r\nTransfer-Encoding: chunked',
    'chunked\r\nTransfer-Encoding: identity',
    '',
    '\u000bchunked',
  ])('refuses %j', (value) => {
    const text = `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
    expect(read(text)).toMatchObject({ code: 'upstream_bad_response' })
  })

  test('refuses it together with Content-Length, also where no body follows', () => {
    const fields = 'Content-Length: 5\r\nTransfer-Encoding: chunked'
    for (const both of [fields, fields.split('\r\n').reverse().join('\r\n')]) {
      expect(read(`HTTP/1.1 200 OK\r\n${both}\r\n\r\n0\r\n\r\n`).fault).toBe('content-length with transfer-encoding')
      expect(read(`HTTP/1.1 200 OK\r\n${both}\r\n\r\n`, { isHead: true }).code).toBe('upstream_bad_response')
    }
  })

  test('refuses it in HTTP/1.0', () => {
    expect(read('HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n').fault).toBe(
      'transfer-encoding in HTTP/1.0',
    )
  })
})

describe('chunks', () => {
  test('are joined', () => {
    const text = `${chunked}5\r\nhello\r\n1\r\n \r\n00A\r\nbig world!\r\na\r\n0123456789\r\n000\r\n\r\n`
    expect(read(text)).toMatchObject({ body: 'hello big world!0123456789', complete: true, extra: 0 })
  })

  test('hold anything', () => {
    expect(read(`${chunked}9\r\n\r\n0\r\n\r\n\0\xff\r\n0\r\n\r\n`).body).toBe('\r\n0\r\n\r\n\0\xff')
  })

  test.each([';name', ';name=value', ' ; name = "a;b"', ';a;b;c=d', '\t;x'])('drop the extension %j', (extension) => {
    const text = `${chunked}5${extension}\r\nhello\r\n0${extension}\r\n\r\n`
    expect(read(text)).toMatchObject({ body: 'hello', complete: true, extra: 0 })
  })

  test('have extensions within a bound', () => {
    const body = (size: number) => `${chunked}5;${'x'.repeat(size)}\r\nhello\r\n0\r\n\r\n`
    expect(feed([body(900)], { maxHeadSize: 1000 })).toMatchObject({ complete: true })
    expect(feed([body(1100)], { maxHeadSize: 1000 })).toMatchObject({ fault: 'bad chunk extension' })
    const many = `${chunked}${'1;0123456789\r\nx\r\n'.repeat(100)}0\r\n\r\n`
    expect(feed([many], { maxHeadSize: 2000 })).toMatchObject({ complete: true })
    expect(feed([many], { maxHeadSize: 1000 })).toMatchObject({ fault: 'bad chunk extension' })
  })

  test.each([
    '\r\n',
    ';x\r\n',
    'g\r\n',
    '0x5\r\nhello\r\n',
    '+5\r\nhello\r\n',
    '-1\r\n',
    ' 5\r\nhello\r\n',
    '5 \r\nhello\r\n',
    '5 5\r\nhello\r\n',
    '5\nhello\r\n',
    '5\rhello\r\n',
    '5\r\rhello\r\n',
    '5;a\nhello\r\n',
    '5;a\0\r\nhello\r\n',
    '5,\r\nhello\r\n',
    '5\r\nhello',
    '5\r\nhello0\r\n',
    '5\r\nhello\n',
    '5\r\nhello\n\r',
    '5\r\nhello\rx',
    '5\r\nhello!\r\n',
    '1000000000000\r\nx',
    'ffffffffffffffff\r\nx',
    '0000000000000005\r\nhello\r\n',
  ])('refuse %j', (body) => {
    expect(read(`${chunked}${body}0\r\n\r\n`)).toMatchObject({ code: 'upstream_bad_response' })
  })

  test('of a huge size are only as long as what comes', () => {
    expect(read(`${chunked}ffffffffffff\r\nhello`)).toMatchObject({ body: 'hello', complete: false, fault: '' })
  })

  test.each(['X: y\r\n', 'Expires: never\r\nDigest:x=\r\n', 'X:\r\n', 'X: \xff\t \r\n'])(
    'drop the trailers %j',
    (trailers) => {
      const outcome = read(`${chunked}5\r\nhello\r\n0\r\n${trailers}\r\n`)
      expect(outcome).toMatchObject({ body: 'hello', complete: true, extra: 0, block: '200 OK' })
    },
  )

  test.each([
    'X\r\n\r\n',
    ': y\r\n\r\n',
    'X : y\r\n\r\n',
    ' X: y\r\n\r\n',
    'X: y\n\r\n',
    'X: y\r\n folded\r\n\r\n',
    'X: y\rZ: z\r\n\r\n',
    'X: \0\r\n\r\n',
    '\n',
    '\r\r',
    'HTTP/1.1 200 OK\r\n\r\n',
  ])('refuse the trailers %j', (trailers) => {
    expect(read(`${chunked}0\r\n${trailers}`)).toMatchObject({ code: 'upstream_bad_response' })
  })

  test('have trailers within a bound', () => {
    const text = `${chunked}0\r\nX: ${'y'.repeat(2000)}\r\n\r\n`
    expect(feed([text], { maxHeadSize: 3000 })).toMatchObject({ complete: true })
    expect(feed([text], { maxHeadSize: 1000 })).toMatchObject({ fault: 'trailers too large' })
  })

  test('are decoded afresh for the next response', () => {
    // The bound on extensions and trailers is for one body.
    const parser = new ResponseParser(new HeadCache(), 100)
    for (const body of ['one', 'two and more', 'three', 'four']) {
      parser.begin(false)
      const text = `${chunked}${body.length.toString(16)};${'e'.repeat(50)}\r\n${body}\r\n0\r\nT: t\r\n\r\n`
      expect(feedTo(parser, [text])).toMatchObject({ body, complete: true })
    }
  })

  test('a fault in the read that brings the head is told without the head', () => {
    expect(feed([`${chunked}zz\r\n`])).toMatchObject({ status: 0, code: 'upstream_bad_response' })
    expect(feed([chunked, 'zz\r\n'])).toMatchObject({ status: 200, code: 'upstream_bad_response' })
  })
})

describe('interim responses', () => {
  const final = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

  test('100 is skipped, others are told, none has a body', () => {
    const text =
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' +
      `HTTP/1.1 102 Processing\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100\r\n\r\n${final}`
    expect(read(text)).toMatchObject({ interims: [103, 102], status: 200, body: 'ok', complete: true, extra: 0 })
  })

  test('say nothing of the length', () => {
    expect(read(`HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n${final}`)).toMatchObject({ body: 'ok' })
  })

  test('stay within a bound', () => {
    const hints = 'HTTP/1.1 103 Early Hints\r\n\r\n'
    expect(feed([hints.repeat(32) + final])).toMatchObject({ complete: true, body: 'ok' })
    expect(feed([hints.repeat(33) + final]).fault).toBe('too many interim responses')
    expect(feed(Array.from({ length: 40 }, () => 'HTTP/1.1 100 Continue\r\n\r\n')).fault).toBe(
      'too many interim responses',
    )
  })

  test('101 was not asked for', () => {
    expect(read('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n').fault).toBe('unexpected 101')
  })
})

describe('status line', () => {
  test.each([
    ['HTTP/1.1 200 OK', '200 OK'],
    ['HTTP/1.1 200 ', '200 OK'],
    ['HTTP/1.1 200', '200 OK'],
    ['HTTP/1.1 404 Nothing to See Here', '404 Nothing to See Here'],
    ['HTTP/1.1 404 Pas trouv\xe9', '404 Not Found'],
    ['HTTP/1.1 404 a\tb', '404 Not Found'],
    ['HTTP/1.1 299  ', '299 Unknown'],
    ['HTTP/1.1 599 x', '599 x'],
  ])('%j', (line, first) => {
    expect(read(`${line}\r\nContent-Length: 0\r\n\r\n`)).toMatchObject({ block: first, complete: true })
  })

  test.each([
    'HTTP/1.2 200 OK',
    'HTTP/2 200 OK',
    'HTTP/2.0 200 OK',
    'HTTP/0.9 200 OK',
    'HTTP/1. 200 OK',
    'HTTP/11 200 OK',
    'HTTP/1.1  200 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1200 OK',
    'http/1.1 200 OK',
    'ICY 200 OK',
    ' HTTP/1.1 200 OK',
    '\r\nHTTP/1.1 200 OK',
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 20x OK',
    'HTTP/1.1 099 OK',
    'HTTP/1.1 600 OK',
    'HTTP/1.1 -20 OK',
    'HTTP/1.1 OK',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 O\rK',
    'HTTP/1.1 200 OK\nX: y',
    'HTTP/1.1 200 \x7f',
    'SSH-2.0-OpenSSH_9.2',
    '',
  ])('refuses %j', (line) => {
    expect(read(`${line}\r\nContent-Length: 0\r\n\r\n`)).toMatchObject({ code: 'upstream_bad_response' })
  })

  test('what is no HTTP is refused before a whole head has come', () => {
    expect(feed(['SSH-2.0-OpenSSH_9.2\r\n']).fault).toBe('bad status line')
    expect(feed(['\x15\x03\x01\x00\x02\x02']).fault).toBe('bad status line')
    expect(feed(['H', 'T', 'T', 'Q']).fault).toBe('bad status line')
    expect(feed(['HTTP/1.1 200 OK\n\n']).fault).toBe('bare LF')
    expect(feed(['HTTP/1.1 200 OK\r\nX: y\n', 'Z: z\n\n']).fault).toBe('bare LF')
  })
})

describe('fields', () => {
  function fieldsOf(lines: string): Outcome {
    return read(`HTTP/1.1 200 OK\r\n${lines}\r\nContent-Length: 0\r\n\r\n`)
  }

  test('are lower-cased, trimmed and kept in order, also when they repeat', () => {
    expect(
      fieldsOf('X-B: 1\r\nx-a:2\r\nSet-Cookie: a=1; Path=/\r\nX-B:\t 3 4 \t\r\nSet-Cookie: b=2\r\nX-Empty:\r\nX-E2: ')
        .block,
    ).toBe(
      '200 OK\r\nx-b: 1\r\nx-a: 2\r\nset-cookie: a=1; Path=/\r\nx-b: 3 4\r\nset-cookie: b=2\r\nx-empty: \r\nx-e2: ',
    )
  })

  test('that belong to the connection or to the listener are dropped', () => {
    const lines =
      'Connection: X-Private, keep-alive ,, x-other\r\nKeep-Alive: timeout=5\r\nX-Private: a\r\nTrailer: X\r\nUpgrade: h2c\r\n' +
      'Proxy-Authenticate: x\r\nProxy-Connection: x\r\nTE: x\r\nDate: now\r\nX-Request-Id: 1\r\nX-Kept: b\r\nx-OTHER: c\r\nX-Private: d'
    expect(fieldsOf(lines)).toMatchObject({ block: '200 OK\r\nx-kept: b', keepAlive: true })
  })

  test('bytes beyond ASCII stay as they are', () => {
    const lines = 'X: caf\xc3\xa9 \xff'
    expect(fieldsOf(lines).block).toBe('200 OK\r\nx: caf\xc3\xa9 \xff')
    const parser = new ResponseParser(new HeadCache(), 65_536)
    for (const [line, ascii] of [
      [lines, false],
      ['X: y', true],
      [`Date: \xff`, true],
    ] as const) {
      parser.begin(false)
      feedTo(parser, [`HTTP/1.1 200 OK\r\n${line}\r\nContent-Length: 0\r\n\r\n`])
      expect(parser.head?.ascii).toBe(ascii)
    }
  })

  test.each([
    'X : y',
    'X\t: y',
    ': y',
    'X',
    'X y: z',
    'X(y): z',
    '\xe9: y',
    'X\0: y',
    'X\x7f: y',
    'X: a\r\n b',
    'X: a\r\n\tb: c',
    ' X: y',
    'X: \0',
    'X: a\x01b',
    'X: a\x7f',
    'X: a\x0b',
    'X: a\x1b[0m',
    'X: a\rY: b',
    'X: a\rYZ: b',
    'X: a\r\rY: b',
    'X: a\nY: b',
    'X\n: b',
    '\n',
    '\rX: a',
  ])('refuse %j', (line) => {
    expect(fieldsOf(line)).toMatchObject({ code: 'upstream_bad_response' })
    expect(read(`HTTP/1.1 200 OK\r\nX-First: 1\r\n${line}\r\nContent-Length: 0\r\n\r\n`)).toMatchObject({
      code: 'upstream_bad_response',
    })
  })

  test.each([
    ['HTTP/1.1', '', true],
    ['HTTP/1.1', 'Connection: close', false],
    ['HTTP/1.1', 'Connection: Close', false],
    ['HTTP/1.1', 'Connection: x, CLOSE', false],
    ['HTTP/1.1', 'Connection: keep-alive\r\nConnection: close', false],
    ['HTTP/1.1', 'Connection: Keep-Alive', true],
    ['HTTP/1.0', '', false],
    ['HTTP/1.0', 'Connection: keep-alive', true],
    ['HTTP/1.0', 'Connection: close, keep-alive', false],
  ])('%s with %j keeps the connection: %s', (version, line, keepAlive) => {
    const text = `${version} 200 OK\r\nContent-Length: 0\r\n${line === '' ? '' : `${line}\r\n`}\r\n`
    expect(read(text)).toMatchObject({ complete: true, keepAlive })
  })

  test('HTTP/1.0 has a body of known length or up to the end', () => {
    expect(read('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok')).toMatchObject({ complete: true, body: 'ok' })
    expect(read('HTTP/1.0 200 OK\r\n\r\nok', { ends: true })).toMatchObject({ complete: true, body: 'ok' })
  })

  test.each([
    ['timeout=5', 5000],
    ['timeout=5, max=100', 5000],
    ['max=100,timeout = 15', 15_000],
    ['TIMEOUT="7"', 7000],
    ['max=100', -1],
    ['mytimeout=3', -1],
    ['timeout=x', -1],
    ['', -1],
  ])('Keep-Alive %j', (value, idleHint) => {
    const parser = new ResponseParser(new HeadCache(), 65_536)
    feedTo(parser, [`HTTP/1.1 200 OK\r\nKeep-Alive: ${value}\r\nContent-Length: 0\r\n\r\n`])
    expect(parser.head?.idleHint).toBe(idleHint)
  })
})

describe('size', () => {
  const text = `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(500)}\r\nContent-Length: 2\r\n\r\n`

  test('of a head may be what is allowed and no byte more', () => {
    expect(read(`${text}ok`, { maxHeadSize: text.length })).toMatchObject({ complete: true, body: 'ok' })
    expect(read(`${text}ok`, { maxHeadSize: text.length - 1 })).toMatchObject({ code: 'upstream_response_too_large' })
  })

  test('is refused as soon as it is reached', () => {
    expect(feed([`HTTP/1.1 200 OK\r\nX: ${'y'.repeat(1000)}`], { maxHeadSize: 1000 }).code).toBe(
      'upstream_response_too_large',
    )
    const pieces = ['HTTP/1.1 200 OK\r\n', ...Array.from({ length: 100 }, () => `X: ${'y'.repeat(20)}\r\n`)]
    expect(feed(pieces, { maxHeadSize: 1000 }).code).toBe('upstream_response_too_large')
  })

  test('counts for each head alone', () => {
    const hints = `HTTP/1.1 103 Early Hints\r\nX: ${'y'.repeat(400)}\r\n\r\n`
    expect(read(hints + hints + text, { maxHeadSize: text.length })).toMatchObject({
      status: 200,
      interims: [103, 103],
    })
  })

  test('may be more than one read brings', () => {
    const big = `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(150_000)}\r\nContent-Length: 2\r\n\r\nok`
    const pieces = big.match(/[^]{1,65536}/g) as string[]
    expect(feed(pieces, { maxHeadSize: 200_000 })).toMatchObject({ complete: true, body: 'ok' })
    expect(feed(pieces, { maxHeadSize: 100_000 })).toMatchObject({ code: 'upstream_response_too_large' })
  })
})

describe('remembered heads', () => {
  const head = (etag: string) => `HTTP/1.1 200 OK\r\nETag: "${etag}"\r\nContent-Length: 2\r\n\r\n`

  test('are the same object for the same bytes, and another for others', () => {
    const parser = new ResponseParser(new HeadCache(), 65_536)
    const headFor = (text: string) => {
      parser.begin(false)
      feedTo(parser, [text])
      return parser.head
    }
    const first = headFor(`${head('aaa')}ok`)
    expect(headFor(`${head('aaa')}no`)).toBe(first)
    // The same size: they share a slot.
    const second = headFor(`${head('bbb')}ok`)
    expect(second?.block).toBe('200 OK\r\netag: "bbb"')
    expect(headFor(`${head('bbb')}ok`)).toBe(second)
    expect(headFor(`${head('aaa')}ok`)).not.toBe(first)
    expect(headFor(`${head('aaa')}ok`)?.block).toBe(first?.block)
  })

  test('differ in any byte, the last ones too', () => {
    for (let length = 0; length < 8; length++) {
      const line = `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(length)}\r\nContent-Length: 2\r\n\r\n`
      for (let at = 0; at < line.length; at++) {
        const cache = new HeadCache()
        expect(feed([`${line}ok`], { cache }).fault).toBe('')
        const changed = `${line.slice(0, at)}\x01${line.slice(at + 1)}ok`
        // Without its last line end the head goes on.
        expect(feed([changed], { cache }).complete, `byte ${at}`).toBe(false)
      }
    }
  })

  test('are not taken for a head that goes on, or a shorter one', () => {
    const cache = new HeadCache()
    const long = `${head('a')}ok`
    expect(feed([long], { cache }).body).toBe('ok')
    // Reads of a size that leads to the same slot, with less and with more in them.
    expect(feed([long.slice(0, -2)], { cache })).toMatchObject({ complete: false, status: 200 })
    expect(feed([`${head('a')}ok${'x'.repeat(64)}`], { cache })).toMatchObject({ body: 'ok', extra: 64 })
  })

  test('are not found in what an earlier read left in the memory', () => {
    const cache = new HeadCache()
    const buffer = new ReadBuffer()
    const parser = new ResponseParser(cache, 65_536)
    const text = `${head('a'.repeat(80))}ok`
    const size = buffer.bytes.write(text, 'latin1')
    parser.begin(false)
    expect(parser.read(buffer, 0, size)).toBe(step.head)
    parser.begin(false)
    // A size of the same slot that ends in the middle of the head.
    expect(parser.read(buffer, 0, size - 64)).toBe(step.more)
  })

  test('count for HEAD and GET alike', () => {
    const cache = new HeadCache()
    expect(feed([`${head('a')}ok`], { cache })).toMatchObject({ body: 'ok', extra: 0 })
    expect(feed([`${head('a')}ok`], { cache, isHead: true })).toMatchObject({ body: '', extra: 2, complete: true })
    expect(feed([`${head('a')}ok`], { cache })).toMatchObject({ body: 'ok', extra: 0 })
  })

  test('are neither those with cookies nor large ones', () => {
    const cookie = 'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n'
    const large = `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(1024)}\r\nContent-Length: 0\r\n\r\n`
    for (const text of [cookie, large]) {
      const parser = new ResponseParser(new HeadCache(), 65_536)
      parser.begin(false)
      feedTo(parser, [text])
      const first = parser.head
      parser.begin(false)
      feedTo(parser, [text])
      expect(parser.head).not.toBe(first)
      expect(parser.head).toEqual(first)
    }
  })

  test('interim ones too', () => {
    const cache = new HeadCache()
    for (let i = 0; i < 3; i++) {
      expect(feed(['HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', `${head('a')}ok`], { cache })).toMatchObject({
        interims: [103],
        body: 'ok',
      })
    }
  })
})

test('no change of bytes makes the outcome depend on how they are split', () => {
  const seeds = [
    'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello',
    `HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n${chunked}5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nT: t\r\n\r\n`,
    'HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno',
  ]
  const spice = [
    '\r',
    '\n',
    '\r\n',
    '\0',
    ' ',
    ':',
    ';',
    ',',
    '0',
    '9',
    'f',
    '\xff',
    '\t',
    'chunked',
    '\r\n\r\n',
    'Content-Length: 5\r\n',
  ]
  let state = 12_345
  const random = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >>> 8) % limit
  }
  const kind = ({ fault, complete, body, block, extra, code, keepAlive }: Outcome) =>
    fault === '' ? { complete, body, block, extra, keepAlive } : { code }
  let refused = 0
  for (let round = 0; round < 3000; round++) {
    let text = seeds[round % seeds.length] as string
    for (let change = 0; change <= random(3); change++) {
      const at = random(text.length)
      const add = spice[random(spice.length)] as string
      text = text.slice(0, at) + add + text.slice(at + random(3))
    }
    const whole = feed([text])
    const cut = random(text.length)
    if (whole.fault !== '') refused++
    expect(kind(feed(text.split(''))), JSON.stringify(text)).toEqual(kind(whole))
    expect(kind(feed([text.slice(0, cut), text.slice(cut)])), JSON.stringify(text)).toEqual(kind(whole))
  }
  expect(refused).toBeGreaterThan(1000)
  expect(refused).toBeLessThan(2900)
})
