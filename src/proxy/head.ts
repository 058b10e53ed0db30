import { STATUS_CODES } from 'node:http'
import { type Rejection, reject } from '../core/errors.ts'
import type { HeaderList } from '../core/headers.ts'
import type { Exchange } from './exchange.ts'

/**
 * Heads of answers as the front end takes them: the text behind `HTTP/1.1 ` with all fields but Date and framing,
 * handed over as one status instead of a native call per field (native-notes/front-end.md).
 */
export type HeadText = string | Uint8Array

export function statusText(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? 'Unknown'}`
}

/** `block` with the items of `headers` from index `from` as further lines. */
export function blockOf(block: string, headers: Readonly<HeaderList>, from = 0): string {
  for (let i = from; i < headers.length; i += 2) block += '\r\n' + headers[i] + ': ' + headers[i + 1]
  return block
}

export function withRequestId(exchange: Exchange, block: string): string {
  return block + '\r\nx-request-id: ' + exchange.requestId
}

// eslint-disable-next-line no-control-regex
const asciiOnly = /^[\u0000-\u007f]*$/

/** Response values hold one character per byte; the front end would encode those beyond ASCII as two. */
export function encoded(text: string): HeadText {
  return asciiOnly.test(text) ? text : Buffer.from(text, 'latin1')
}

/** What `oddities` found: bits. */
export const oddity = { beyondAscii: 1, lineBreak: 2 } as const

/**
 * What is special about the characters of `headers` from index `from`. The parts are short: a loop takes a third of what a
 * regex each takes (native-notes/costs.md).
 */
export function oddities(headers: Readonly<HeaderList>, from: number): number {
  let found = 0
  for (let i = from; i < headers.length; i++) {
    const part = headers[i] as string
    for (let j = 0; j < part.length; j++) {
      const c = part.charCodeAt(j)
      if (c > 127) found |= oddity.beyondAscii
      else if (c < 14 && (c === 10 || c === 13 || c === 0)) found |= oddity.lineBreak
    }
  }
  return found
}

/**
 * Why the head that plugins left can't be sent, or null: a status that is no final one, or a field that would run into
 * further lines and so let whoever has a say in its value write fields, or answers, of his own. `odd`: what `oddities` says.
 */
export function headFault({ status }: Exchange, odd: number): Rejection | null {
  if (!(status >= 200 && status <= 599)) return badStatus
  return (odd & oddity.lineBreak) === 0 ? null : brokenLine
}

const badStatus = reject('internal_error', { detail: 'a plugin set a status that is none' })
const brokenLine = reject('internal_error', { detail: 'a plugin put a line break into a response field' })

/** `field` (`name: value`) as one more line of the head. */
export function withField(head: HeadText, field: string): HeadText {
  const line = `\r\n${field}`
  return typeof head === 'string' ? head + line : Buffer.concat([head, Buffer.from(line)])
}

/**
 * Says that this answer is the last one of its connection, for answers that the front end can't end and close at once:
 * it would put its own `Connection: close` into a body that has begun. The client closes.
 */
export function withClose(head: HeadText): HeadText {
  return withField(head, 'connection: close')
}

/**
 * Whether the answer must be the last one of its connection: the worker goes away, or the rest of an unwanted request
 * body would follow, or the body was chunked. The front end reads chunks laxly (native-notes/uwebsockets.md), so what
 * comes behind them may be a request that whoever stands in front of us never saw as one.
 */
export function mustClose(exchange: Exchange): boolean {
  return exchange.acceptor.draining || !exchange.bodyReceived || exchange.bodyLength === -1
}

/** HEAD, 204 and 304 answers end with their head, whatever it says of a length (RFC 9112 §6.3). */
export function hasNoBody(exchange: Exchange): boolean {
  return exchange.method === 'HEAD' || exchange.status === 204 || exchange.status === 304
}

export function writeHead(exchange: Exchange, head: HeadText): void {
  if (exchange.interimSent)
    writeAsField(exchange, typeof head === 'string' ? head : Buffer.from(head).toString('latin1'))
  else exchange.downstream.writeStatus(head)
}

/** The status line is spent once an interim response went out: what follows goes as part of a field's name. */
function writeAsField(exchange: Exchange, text: string): void {
  const colon = text.indexOf(': ')
  const name = Buffer.from(`HTTP/1.1 ${text.slice(0, colon)}`, 'latin1')
  exchange.downstream.writeHeader(name, Buffer.from(text.slice(colon + 2), 'latin1'))
}

/** What is left of an upload that nobody wants is taken from the client all the same. Call it before the answer ends. */
export function drainUpload(exchange: Exchange): void {
  if (!exchange.uploadPaused) return
  exchange.uploadPaused = false
  exchange.downstream.resume()
}

/**
 * Writes a whole answer. `close` closes the connection at once, even where the rest of the request body still comes.
 *
 * Otherwise that rest is read and thrown away: closing with bytes unread makes the kernel reset the connection, and the
 * client may never see the answer (RFC 9112 §9.6). The client closes; if not, the front end does after ten seconds.
 */
export function writeWhole(exchange: Exchange, head: HeadText, body: string | Uint8Array, close: boolean): void {
  if (exchange.bodyReceived || close) {
    writeHead(exchange, head)
    exchange.downstream.end(body, close || mustClose(exchange))
  } else {
    drainUpload(exchange)
    writeHead(exchange, withClose(head))
    exchange.downstream.end(body)
  }
}

/** Writes an answer without a body; `length` is what its Content-Length reports, -1 for none. */
export function writeBodyless(exchange: Exchange, head: HeadText, length: number, close: boolean): void {
  let text = close ? withClose(head) : head
  drainUpload(exchange)
  // The front end waits for the bytes of a length that it writes itself: the answer would never be over.
  if (length !== -1 && exchange.status !== 204) text = withField(text, `content-length: ${length}`)
  writeHead(exchange, text)
  exchange.downstream.endWithoutBody()
}

/** The same, but the connection is closed: not at once, for inside a request's first callback nothing has gone out yet. */
export function writeBodylessAndClose(exchange: Exchange, head: HeadText, length: number): void {
  const { downstream } = exchange
  let gone = false
  downstream.onAborted(() => (gone = true))
  writeHead(exchange, withClose(head))
  downstream.tryEnd('', length)
  setImmediate(() => {
    if (!gone) downstream.close()
  })
}

/** Writes an interim response such as `103 Early Hints`; the final one follows. It has one field at least. */
export function writeInterim(exchange: Exchange, status: number, headers: Readonly<HeaderList>): void {
  // The front end ends what it writes with one CRLF; with another one the interim head is complete.
  writeHead(exchange, Buffer.from(`${blockOf(statusText(status), headers)}\r\n`, 'latin1'))
  exchange.interimSent = true
}
