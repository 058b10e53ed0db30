import { performance } from 'node:perf_hooks'
import { type RejectionCode, reject, rejections } from '../core/errors.ts'
import { keepBody } from './body.ts'
import type { Exchange } from './exchange.ts'
import { cut } from './finish.ts'
import { coarseNow } from './in-flight.ts'
import { reply } from './reply.ts'
import { stripPath } from './router/strip.ts'
import { sharedFields } from './shared-fields.ts'
import type { AttemptFailure, OutgoingRequest } from './upstream/client.ts'
import { mayRetry } from './upstream/retry.ts'
import type { Target, Upstream } from './upstream/upstream.ts'

/** Picks a target and sends the request there. */
export function forward(exchange: Exchange): void {
  const { upstream } = exchange.route
  if (upstream === null) return reply(exchange, noUpstream)
  const target = upstream.pick()
  if (target === null) return reply(exchange, rejections.no_healthy_target)
  exchange.upstreamName = upstream.name
  exchange.outgoing = outgoingRequest(exchange, upstream, target)
  launch(exchange, target, false)
}

const noUpstream = reject('internal_error', { detail: 'the route has no upstream and no plugin answered' })

function outgoingRequest(exchange: Exchange, upstream: Upstream, target: Target): OutgoingRequest {
  const { route, headers } = exchange
  // The list is this request's own, and nobody reads it as the client's any more: the gateway's fields go to its end.
  headers.push('x-forwarded-for', exchange.forwardedFor, 'x-request-id', exchange.requestId)
  const shared = sharedFields(exchange)
  exchange.sharedHeaders = shared.headers
  const path = upstream.path + (exchange.upstreamPath ?? strippedPath(exchange))
  return {
    method: exchange.method,
    target: exchange.query === '' ? path : `${path}?${exchange.query}`,
    host: route.preserveHost ? exchange.authority : target.hostField,
    headers,
    shared,
    bodyLength: exchange.bodyLength,
    connectTimeout: route.timeouts.connect,
  }
}

function strippedPath({ path, match }: Exchange): string {
  return match === null ? path : stripPath(path, match)
}

function launch(exchange: Exchange, target: Target, fresh: boolean): void {
  const { timeouts } = exchange.route
  // Without access steps no time has passed since the request was read: the clock is not asked again.
  const now = exchange.route.access === null && exchange.attempts === 0 ? exchange.startedAt : performance.now()
  exchange.attempts++
  exchange.chosen = target
  exchange.target = target.address
  exchange.forwardedAt = now
  if (exchange.bodyReceived) {
    exchange.phase = 'waiting'
    exchange.deadline = now + timeouts.response
  } else {
    exchange.phase = 'upload'
    exchange.deadline = now + timeouts.body_idle
  }
  exchange.attempt = target.client.start(exchange.outgoing as OutgoingRequest, exchange, fresh)
  if (exchange.bodyLength !== 0) sendHeld(exchange)
}

/** Gives the attempt what came of the body before there was one: while access steps were waiting, or to another. */
function sendHeld(exchange: Exchange): void {
  const held = exchange.bodyHeld
  const attempt = exchange.attempt
  if (attempt === null) return
  exchange.bodyHeld = null
  let room = true
  if (held !== null) {
    for (const chunk of held) {
      if (!exchange.bodyTaken) keepBody(exchange, chunk)
      room = attempt.write(chunk)
    }
  }
  if (exchange.bodyReceived) attempt.end()
  else if (room) resumeUpload(exchange)
}

/** The upstream takes body bytes again. */
export function resumeUpload(exchange: Exchange): void {
  if (!exchange.uploadPaused || exchange.phase === 'done') return
  exchange.uploadPaused = false
  exchange.deadline = coarseNow() + exchange.route.timeouts.body_idle
  exchange.downstream.resume()
}

/** The attempt came to nothing: another one where that is safe, else the answer says why. */
export function attemptFailed(exchange: Exchange, failure: AttemptFailure): void {
  if (exchange.phase === 'done') return
  const { chosen } = exchange
  exchange.attempt = null
  if (exchange.upstreamStatus === 0) chosen?.metrics.record(0)
  if (!exchange.begun && !exchange.interimSent && chosen !== null && tryAgain(exchange, chosen, failure)) return

  const code: RejectionCode = failure.code
  if (exchange.begun) cut(exchange, code, failure.detail)
  else reply(exchange, reject(code, { detail: failure.detail }))
}

/** What the failed attempt had of the body goes to the next one. */
function holdKept(exchange: Exchange): void {
  exchange.bodyHeld = exchange.bodyKept
  exchange.bodyKept = null
}

function tryAgain(exchange: Exchange, chosen: Target, failure: AttemptFailure): boolean {
  const upstream = exchange.route.upstream as Upstream
  const tried = (exchange.tried ??= [])
  if (!tried.includes(chosen)) tried.push(chosen)
  switch (mayRetry(failure, exchange.method, exchange.bodyTaken, tried.length, upstream.size)) {
    case 'same-fresh':
      holdKept(exchange)
      launch(exchange, chosen, true)
      return true
    case 'other': {
      const other = upstream.pickOther(tried)
      if (other === null) return false
      holdKept(exchange)
      const outgoing = exchange.outgoing as OutgoingRequest
      exchange.outgoing = exchange.route.preserveHost ? outgoing : { ...outgoing, host: other.hostField }
      launch(exchange, other, false)
      return true
    }
    case null:
      return false
  }
}
