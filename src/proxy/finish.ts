import { performance } from 'node:perf_hooks'
import type { Exchange } from './exchange.ts'

/** The request is over, however it ended: exactly once. */
export function finish(exchange: Exchange): void {
  // A response that came and went in one piece ended when its head was read: the clock is not asked again.
  const ended = exchange.phase === 'waiting' && exchange.respondedAt !== 0 ? exchange.respondedAt : performance.now()
  exchange.phase = 'done'
  exchange.deadline = Infinity
  exchange.endedAt = ended
  exchange.unsent = null
  exchange.heldHead = null
  exchange.bodyHeld = null
  exchange.bodyKept = null
  exchange.acceptor.release(exchange)

  const { route } = exchange
  const upstreamMs = exchange.respondedAt === 0 ? -1 : exchange.respondedAt - exchange.forwardedAt
  route.metrics.record(
    exchange.status,
    ended - exchange.startedAt,
    upstreamMs,
    exchange.bytesIn,
    exchange.bytesOut,
    exchange.failure,
  )
  if (route.log !== null) route.log(exchange)
}

/** The answer is complete on our side. What is left of the attempt, when the upload is not over, is given up. */
export function settle(exchange: Exchange): void {
  const { attempt } = exchange
  exchange.attempt = null
  finish(exchange)
  if (!exchange.bodyReceived && attempt !== null) attempt.abort()
}

/** Ends an answer that has begun so that the client sees it as incomplete: the connection is closed. */
export function cut(exchange: Exchange, failure: string, detail: string | null = null): void {
  if (exchange.phase === 'done') return
  const { attempt } = exchange
  exchange.attempt = null
  exchange.failure = failure
  exchange.failureDetail = detail
  finish(exchange)
  attempt?.abort()
  exchange.downstream.close()
}
