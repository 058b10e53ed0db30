import { rejections } from '../core/errors.ts'
import type { Exchange } from './exchange.ts'
import { cut } from './finish.ts'
import { coarseNow } from './in-flight.ts'
import { reply } from './reply.ts'

/**
 * Bytes of the request body. `bytes` is dead after the call: the attempt copies what it can't send at once, and what
 * comes before there is an attempt is copied here, with the client paused so that it is one read at the most.
 */
export function receiveBody(exchange: Exchange, bytes: ArrayBuffer, isLast: boolean): void {
  if (exchange.phase === 'done') return
  exchange.bytesIn += bytes.byteLength
  if (isLast) exchange.bodyReceived = true
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
  exchange.bodyTaken = true
  const room = bytes.byteLength === 0 || attempt.write(new Uint8Array(bytes))
  if (isLast) {
    if (exchange.phase === 'upload') {
      exchange.phase = 'waiting'
      exchange.deadline = coarseNow() + exchange.route.timeouts.response
    }
    attempt.end()
  } else {
    if (exchange.phase === 'upload') exchange.deadline = coarseNow() + exchange.route.timeouts.body_idle
    if (!room) pauseUpload(exchange)
  }
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
