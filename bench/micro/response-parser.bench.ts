import { HeadCache } from '../../src/proxy/upstream/head-cache.ts'
import { parseHead } from '../../src/proxy/upstream/parsed-head.ts'
import { ReadBuffer } from '../../src/proxy/upstream/read-buffer.ts'
import { ResponseParser, step } from '../../src/proxy/upstream/response-parser.ts'

/** What a small service answers: nine fields, 27 bytes of JSON. */
const small = response('27', '{"id":123,"name":"Charles"}')

function response(length: string, body: string, extra = ''): string {
  return (
    'HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\n' +
    `ETag: W/"1f-abcdefgh"\r\nX-Powered-By: Express\r\nVary: Accept-Encoding\r\nContent-Length: ${length}\r\n` +
    `Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n${extra}Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n${body}`
  )
}

const kilobytes = 16
const piece = 'x'.repeat(1024)
const chunked = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n'

/** Reads the texts in turns on one connection. They lie in buffers of their own: filling one is not measured. */
function reading(texts: readonly string[], maxHeadSize = 65_536): () => void {
  const reads = texts.map((text) => {
    const buffer = new ReadBuffer()
    return { buffer, size: buffer.bytes.write(text, 'latin1'), original: Buffer.from(text, 'latin1') }
  })
  const parser = new ResponseParser(new HeadCache(), maxHeadSize)
  let turn = 0
  return () => {
    const { buffer, size } = reads[turn] as (typeof reads)[0]
    turn = (turn + 1) % reads.length
    parser.begin(false)
    if (parser.read(buffer, 0, size) !== step.head || !parser.complete) throw new Error('not read as a whole response')
  }
}

/** As `reading`, where decoding moves bytes and they have to be put back before. */
function readingChunks(text: string): () => void {
  const original = Buffer.from(text, 'latin1')
  const buffer = new ReadBuffer()
  const parser = new ResponseParser(new HeadCache(), 65_536)
  return () => {
    original.copy(buffer.bytes)
    parser.begin(false)
    if (parser.read(buffer, 0, original.length) !== step.head || !parser.complete)
      throw new Error('not read as a whole response')
  }
}

/** The head comes in two reads. */
function readingSplit(text: string, at: number): () => void {
  const first = new ReadBuffer()
  const second = new ReadBuffer()
  first.bytes.write(text.slice(0, at), 'latin1')
  second.bytes.write(text.slice(at), 'latin1')
  const parser = new ResponseParser(new HeadCache(), 65_536)
  return () => {
    parser.begin(false)
    if (parser.read(first, 0, at) !== step.more) throw new Error('read half a head as a response')
    if (parser.read(second, 0, text.length - at) !== step.head || !parser.complete)
      throw new Error('not read as a whole response')
  }
}

/** Heads that are never the same twice: an id in each. */
const different = Array.from({ length: 1024 }, (_, index) =>
  response('27', '{"id":123,"name":"Charles"}', `X-Trace: ${1_000_000 + index}\r\n`),
)

/** Heads that differ in the length of their body: each finds a slot of its own. */
const lengths = Array.from({ length: 16 }, (_, index) => response(String(100 + index), 'x'.repeat(100 + index)))

const headBytes = Buffer.from(small.slice(0, small.indexOf('\r\n\r\n') + 4), 'latin1')
const headText = headBytes.toString('latin1')
const heads = new Map(different.map((text): [string, number] => [text, text.length]).concat([[headText, 1]]))
const mark = Buffer.from('\r\n\r\n')

/** The response parser of the socket client, and what it was compared with. */
export const suite = {
  name: 'response-parser',
  cases: {
    'same head again': reading([small]),
    '16 heads in turns, different lengths': reading(lengths),
    'head never seen before': reading(different.slice(0, 64)),
    'head in two reads': readingSplit(small, 100),
    'parseHead alone': () => {
      if (typeof parseHead(headBytes, 0, headBytes.length) === 'string') throw new Error('refused')
    },
    'chunked, one chunk': readingChunks(`${chunked}1b\r\n{"id":123,"name":"Charles"}\r\n0\r\n\r\n`),
    'chunked, 16 chunks of 1 kB': readingChunks(`${chunked}${`400\r\n${piece}\r\n`.repeat(kilobytes)}0\r\n\r\n`),
    'compared: head as latin1 string, looked up in a Map': () => {
      if (heads.get(headBytes.toString('latin1')) !== 1) throw new Error('not found')
    },
    'compared: head as latin1 string, equal to the last': () => {
      if (headBytes.toString('latin1') !== headText) throw new Error('not equal')
    },
    'compared: end of the head by Buffer.indexOf': () => {
      if (headBytes.indexOf(mark) === -1) throw new Error('not found')
    },
  } satisfies Record<string, () => void>,
}
