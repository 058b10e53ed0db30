import { type Rejection, reject, rejections } from '../core/errors.ts'
import type { LocalReply, Verdict } from '../core/plugin.ts'
import type { Exchange } from './exchange.ts'
import { cut, finish } from './finish.ts'
import { forward } from './forward.ts'
import { reply } from './reply.ts'

/**
 * The life of a request, called by the listener once a request: match, access steps, upstream. Never throws, never
 * awaits: a step that waits is continued when it settles. Time limits come in through `expired`, the client's going away
 * through `abandoned`.
 */
export function handle(exchange: Exchange): void {
  const { beforeMatch } = exchange.snapshot
  if (beforeMatch === null) return matchRoute(exchange)
  const verdict = beforeMatch(exchange)
  if (verdict instanceof Promise) wait(exchange, verdict, matchOrReply)
  else matchOrReply(exchange, verdict)
}

function matchOrReply(exchange: Exchange, verdict: Verdict): void {
  if (verdict === undefined) matchRoute(exchange)
  else reply(exchange, verdict)
}

function matchRoute(exchange: Exchange): void {
  const match = exchange.snapshot.router.match(exchange)
  if (match === null) return reply(exchange, noRoute(exchange))

  const { route } = match
  exchange.match = match
  exchange.route = route
  exchange.routeName = route.name
  if (route.timeouts.total !== 0) exchange.totalDeadline = exchange.startedAt + route.timeouts.total
  if (route.bodySize !== 0 && exchange.bodyLength > route.bodySize) return reply(exchange, rejections.body_too_large)

  if (route.access === null) return forward(exchange)
  const verdict = route.access(exchange)
  if (verdict instanceof Promise) wait(exchange, verdict, admit)
  else admit(exchange, verdict)
}

function admit(exchange: Exchange, verdict: Verdict): void {
  if (verdict !== undefined) return reply(exchange, verdict)
  const limit = exchange.bodyLimit
  if (limit !== 0 && exchange.bodyLength > limit) return reply(exchange, rejections.body_too_large)
  forward(exchange)
}

function wait(exchange: Exchange, pending: Promise<Verdict>, next: typeof admit): void {
  exchange.deadline = exchange.startedAt + exchange.route.timeouts.plugins
  pending.then(
    (verdict) => resume(exchange, verdict, next),
    () => resume(exchange, rejections.plugin_failed, next),
  )
}

function resume(exchange: Exchange, verdict: Verdict, next: typeof admit): void {
  if (exchange.phase === 'done') return // the client went away, or the time was up
  exchange.deadline = Infinity
  next(exchange, verdict)
}

/** The time limit of the phase, or of the whole request, has passed. */
export function expired(exchange: Exchange): void {
  const rejection = timeoutOf(exchange)
  if (exchange.begun) cut(exchange, rejection.code)
  else reply(exchange, rejection)
}

function timeoutOf(exchange: Exchange): Rejection {
  if (exchange.deadline > exchange.totalDeadline) return rejections.request_timeout
  switch (exchange.phase) {
    case 'access':
      return rejections.plugin_timeout
    case 'upload':
      return exchange.uploadPaused ? uploadStalled : rejections.request_body_timeout
    case 'waiting':
      return rejections.upstream_response_timeout
    case 'streaming':
    case 'done':
      return exchange.stalled ? clientStalled : rejections.upstream_body_timeout
  }
}

const uploadStalled = reject('upstream_response_timeout', { detail: 'the upstream stopped taking the request body' })
const clientStalled = reject('request_timeout', { detail: 'the client stopped reading' })

/** The client is gone: the upstream request is given up, an upload that broke off is never passed on as complete. */
export function abandoned(exchange: Exchange): void {
  exchange.aborted = true
  if (exchange.phase === 'done') return
  exchange.attempt?.abort()
  if (!exchange.begun) exchange.status = clientClosedRequest
  exchange.failure = 'client_closed'
  finish(exchange)
}

/** nginx's number for a client that did not wait: never sent, only logged and counted. */
const clientClosedRequest = 499

function noRoute(exchange: Exchange): Rejection | LocalReply {
  const allowed = exchange.snapshot.router.allowedMethods(exchange)
  if (allowed === null) return rejections.route_not_found
  return reject('method_not_allowed', { headers: ['allow', allowed.join(', ')] })
}
