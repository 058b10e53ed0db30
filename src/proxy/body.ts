import { rejections } from '../core/errors.ts'
import type { Exchange } from './exchange.ts'
import { cut } from './finish.ts'
import { coarseNow } from './in-flight.ts'
import { reply } from './reply.ts'
import type { Attempt } from './upstream/client.ts'

/** Bytes of a body that are kept until the answer begins, in case that its target can't be reached. */
const mostKept = 16_384

/**
 * Bytes of the request body. `bytes` is dead after the call: the attempt copies what it can't send at once, and what
 * comes before there is an attempt is copied here, with the client paused so that it is one read at the most.
 */
export function receiveBody(exchange: Exchange, bytes: ArrayBuffer, isLast: boolean): void {
  if (exchange.phase === 'done') return
  exchange.bytesIn += bytes.byteLength
  const isOver = isLast && exchange.bodyLength !== -1
  if (isOver) exchange.bodyReceived = true
  // Only behind this call the front end looks at what follows the last chunk. Where that is nothing that it can read
  // (a trailer field), it refuses the request, and this must not have reached the upstream as a complete one.
  else if (isLast) setImmediate(endChunked, exchange)
  if (isTooLarge(exchange)) {
    if (exchange.begun) cut(exchange, 'body_too_large')
    else reply(exchange, rejections.body_too_large)
    return
  }

  const { attempt } = exchange
  if (attempt === null) {
    if (bytes.byteLength !== 0) (exchange.bodyHeld ??= []).push(new Uint8Array(bytes.slice(0)))
    if (!isLast) pauseUpload(exchange)
    return
  }
  const chunk = new Uint8Array(bytes)
  if (!exchange.bodyTaken && bytes.byteLength !== 0) {
    keepBody(exchange, mayKeep(exchange) ? Buffer.from(chunk) : chunk)
  }
  const room = bytes.byteLength === 0 || attempt.write(chunk)
  if (isOver) {
    endUpload(exchange, attempt)
  } else {
    if (exchange.phase === 'upload') exchange.deadline = coarseNow() + exchange.route.timeouts.body_idle
    if (!room && !isLast) pauseUpload(exchange)
  }
}

function endChunked(exchange: Exchange): void {
  if (exchange.phase === 'done') return
  exchange.bodyReceived = true
  if (exchange.attempt !== null) endUpload(exchange, exchange.attempt)
}

function endUpload(exchange: Exchange, attempt: Attempt): void {
  if (exchange.phase === 'upload') {
    exchange.phase = 'waiting'
    exchange.deadline = coarseNow() + exchange.route.timeouts.response
  }
  attempt.end()
}

/** Remembers what an attempt is about to get; of large bodies nothing. `chunk` lives on where it is kept. */
export function keepBody(exchange: Exchange, chunk: Uint8Array): void {
  if (mayKeep(exchange)) (exchange.bodyKept ??= []).push(chunk)
  else {
    exchange.bodyKept = null
    exchange.bodyTaken = true
  }
}

function mayKeep({ begun, bytesIn }: Exchange): boolean {
  return !begun && bytesIn <= mostKept
}

function pauseUpload(exchange: Exchange): void {
  if (exchange.uploadPaused) return
  exchange.uploadPaused = true
  exchange.downstream.pause()
}

/** Only a chunked body can grow past its limit: an announced length was checked before. */
function isTooLarge(exchange: Exchange): boolean {
  const { bytesIn, bodyLimit } = exchange
  const { bodySize } = exchange.route
  return (bodySize !== 0 && bytesIn > bodySize) || (bodyLimit !== 0 && bytesIn > bodyLimit)
}
