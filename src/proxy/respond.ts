import { performance } from 'node:perf_hooks'
import type { Rejection } from '../core/errors.ts'
import { type HeaderList, removeHeader, setHeader } from '../core/headers.ts'
import type { Exchange } from './exchange.ts'
import { settle } from './finish.ts'
import {
  blockOf,
  drainUpload,
  type HeadText,
  hasNoBody,
  headFault,
  mustClose,
  oddities,
  oddity,
  statusText,
  withClose,
  withRequestId,
  writeBodyless,
  writeHead,
  writeInterim,
  writeWhole,
} from './head.ts'
import { coarseNow } from './in-flight.ts'
import { addResponseHeaders, replyInstead } from './reply.ts'
import type { ResponseHead } from './upstream/client.ts'

// The front end wants every write inside a cork callback. One set of functions and variables serves all exchanges,
// where a closure per write would be garbage per write: corking is synchronous and never nests.
let corked: Exchange | null = null
let corkedHead: HeadText = ''
let corkedBody: string | Uint8Array = ''

/** Head of the final response, with what is already there of its body: the fast end of nearly every request. */
export function onResponseHead(
  exchange: Exchange,
  head: ResponseHead,
  body: Uint8Array | null,
  complete: boolean,
): void {
  exchange.respondedAt = performance.now()
  exchange.upstreamStatus = head.status
  exchange.chosen?.metrics.record(head.status)
  exchange.status = head.status
  exchange.totalLength = head.contentLength
  const rejection = prepareHead(exchange, head)
  if (rejection !== undefined) return replyInstead(exchange, rejection)

  if (hasNoBody(exchange)) {
    const { attempt } = exchange
    write(exchange, '', writeAllBodyless)
    settle(exchange)
    // A response step made it an answer without a body: nobody wants what still comes.
    if (!complete) attempt?.abort()
  } else if (complete) {
    exchange.bytesOut = body === null ? 0 : body.byteLength
    write(exchange, body ?? '', writeAll)
    settle(exchange)
  } else {
    exchange.phase = 'streaming'
    exchange.deadline = exchange.respondedAt + exchange.route.timeouts.body_idle
    // Without a length the front end sends half a head before the body comes, which helps no client. Held back, the
    // head can still give way to an error.
    if (body === null && exchange.totalLength === -1) exchange.heldHead = corkedHead
    else stream(exchange, body ?? '')
  }
}

/** Writes the head in `corkedHead` and the first piece of a body that goes on. */
function stream(exchange: Exchange, body: string | Uint8Array): void {
  if (mustClose(exchange)) corkedHead = withClose(corkedHead)
  write(exchange, body, writeFirst)
}

/** Begins the answer, or goes on with it. */
function write(exchange: Exchange, body: string | Uint8Array, writer: () => void): void {
  exchange.begun = true
  exchange.bodyKept = null
  corked = exchange
  corkedBody = body
  exchange.downstream.cork(writer)
}

/**
 * Leaves the head in `corkedHead`. A rejection means that a response step of class security failed, or that one left
 * something that is no head: the upstream's answer must not go out.
 */
function prepareHead(exchange: Exchange, head: ResponseHead): Rejection | undefined {
  const { route } = exchange
  const { serverHeader } = exchange.snapshot
  if (route.response === null && exchange.addedResponseHeaders === null && serverHeader === null) {
    exchange.responseHeaders = head.headers as HeaderList // shared: from here on only log steps look at it
    const text = withRequestId(exchange, head.block)
    corkedHead = head.ascii ? text : Buffer.from(text, 'latin1')
    return undefined
  }

  const headers = head.headers.slice()
  exchange.responseHeaders = headers
  if (serverHeader === '') removeHeader(headers, 'server')
  else if (serverHeader !== null) setHeader(headers, 'server', serverHeader)
  addResponseHeaders(exchange)
  const rejection = route.response === null ? undefined : route.response(exchange)
  if (rejection !== undefined) return rejection
  const { responseHeaders } = exchange
  // Steps mostly add to what the upstream sent: that stands in one piece already, and was checked when it was read.
  const kept = exchange.status === head.status && beginsWith(responseHeaders, head.headers) ? head.headers.length : -1
  const odd = oddities(responseHeaders, Math.max(kept, 0))
  const fault = headFault(exchange, odd)
  if (fault !== null) return fault
  const statusLine = exchange.status === head.status ? firstLine(head.block) : statusText(exchange.status)
  const block = kept === -1 ? blockOf(statusLine, responseHeaders) : blockOf(head.block, responseHeaders, kept)
  const text = withRequestId(exchange, block)
  const isAscii = (odd & oddity.beyondAscii) === 0 && (kept === -1 || head.ascii)
  corkedHead = isAscii ? text : Buffer.from(text, 'latin1')
  return undefined
}

function beginsWith(headers: Readonly<HeaderList>, start: Readonly<HeaderList>): boolean {
  if (headers.length < start.length) return false
  for (let i = 0; i < start.length; i++) if (headers[i] !== start[i]) return false
  return true
}

function firstLine(block: string): string {
  const end = block.indexOf('\r\n')
  return end === -1 ? block : block.slice(0, end)
}

function writeAll(): void {
  writeWhole(corked as Exchange, corkedHead, corkedBody, false)
}

function writeAllBodyless(): void {
  const exchange = corked as Exchange
  writeBodyless(exchange, corkedHead, exchange.totalLength, mustClose(exchange))
}

function writeFirst(): void {
  writeHead(corked as Exchange, corkedHead)
  writeMore()
}

function writeMore(): void {
  const exchange = corked as Exchange
  if (exchange.totalLength === -1) writeUncounted(exchange, corkedBody)
  else writeCounted(exchange, corkedBody)
}

function writeUncounted(exchange: Exchange, chunk: string | Uint8Array): void {
  if (chunk.length === 0) return // an empty chunk would end the body
  exchange.bytesOut += chunk.length
  if (!exchange.downstream.write(chunk)) stall(exchange)
}

/** Sends what the client's socket takes; the rest is copied and waits for `writable`. */
function writeCounted(exchange: Exchange, chunk: string | Uint8Array): void {
  const { downstream } = exchange
  if (exchange.bytesOut + chunk.length === exchange.totalLength) drainUpload(exchange)
  const [sent, done] = downstream.tryEnd(chunk, exchange.totalLength)
  if (done) return complete(exchange)
  const offset = downstream.getWriteOffset()
  if (!sent && typeof chunk !== 'string') {
    // `slice` of a Buffer is no copy, and the client's read buffer is dead after this call.
    exchange.unsent = Buffer.from(chunk.subarray(offset - exchange.bytesOut))
    exchange.unsentAt = offset
  }
  exchange.bytesOut = offset
  if (!sent) stall(exchange)
}

/** The last byte of a body of known length went out. */
function complete(exchange: Exchange): void {
  exchange.bytesOut = exchange.totalLength
  settle(exchange)
}

/** The client reads slower than the upstream sends: the upstream waits. */
function stall(exchange: Exchange): void {
  if (exchange.stalled) return
  exchange.stalled = true
  exchange.attempt?.pause()
  if (exchange.stallWatched) return
  exchange.stallWatched = true
  exchange.downstream.onWritable((offset) => writable(exchange, offset))
}

/** The client's socket takes bytes again. The result says whether all went out that waited here. */
function writable(exchange: Exchange, offset: number): boolean {
  if (exchange.phase === 'done') return true
  exchange.deadline = coarseNow() + exchange.route.timeouts.body_idle
  const { unsent, downstream } = exchange
  if (unsent !== null) {
    const [sent, done] = downstream.tryEnd(unsent.subarray(offset - exchange.unsentAt), exchange.totalLength)
    if (done) {
      complete(exchange)
      return true
    }
    exchange.bytesOut = downstream.getWriteOffset()
    if (!sent) return false
    exchange.unsent = null
  }
  exchange.stalled = false
  exchange.attempt?.resume()
  return true
}

/** A further piece of the body. */
export function onResponseData(exchange: Exchange, chunk: Uint8Array): void {
  if (exchange.unsent !== null) {
    // The upstream was paused, but a piece was already on its way.
    exchange.unsent = Buffer.concat([exchange.unsent, chunk])
    return
  }
  exchange.deadline = coarseNow() + exchange.route.timeouts.body_idle
  const { heldHead } = exchange
  if (heldHead === null) return write(exchange, chunk, writeMore)
  exchange.heldHead = null
  corkedHead = heldHead
  stream(exchange, chunk)
}

/** The upstream's response is complete. */
export function onResponseEnd(exchange: Exchange): void {
  if (exchange.phase === 'done') return
  // A body of known length is complete when its last byte is out: `writable` sees to what still waits.
  if (exchange.totalLength > 0) return
  const { heldHead } = exchange
  if (heldHead === null) {
    write(exchange, '', writeEnd)
  } else {
    corkedHead = heldHead
    write(exchange, '', writeAll)
  }
  settle(exchange)
}

function writeEnd(): void {
  const exchange = corked as Exchange
  drainUpload(exchange)
  exchange.downstream.end()
}

/** `103 Early Hints` and its like go on to the client (RFC 9110 §15.2). */
export function onInterim(exchange: Exchange, status: number, headers: Readonly<HeaderList>): void {
  if (exchange.phase === 'done' || headers.length === 0) return
  exchange.downstream.cork(() => writeInterim(exchange, status, headers))
}
