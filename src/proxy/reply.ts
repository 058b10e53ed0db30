import { STATUS_CODES } from 'node:http'
import type { Rejection } from '../core/errors.ts'
import { getHeader } from '../core/headers.ts'
import { isRejection, type LocalReply } from '../core/plugin.ts'
import type { Exchange } from './exchange.ts'
import { cut, finish } from './finish.ts'
import {
  blockOf,
  encoded,
  hasNoBody,
  headFault,
  mustClose,
  oddities,
  statusText,
  withRequestId,
  writeBodyless,
  writeBodylessAndClose,
  writeWhole,
} from './head.ts'

/**
 * Answers by itself: a rejection of the catalogue, or what a plugin had ready. Response steps see it as any other
 * answer. When the answer has begun it is cut instead.
 */
export function reply(exchange: Exchange, verdict: Rejection | LocalReply): void {
  if (exchange.begun) return cut(exchange, isRejection(verdict) ? verdict.code : 'local_reply')
  const body = prepare(exchange, verdict)
  addResponseHeaders(exchange)
  const rejection = exchange.route.response === null ? undefined : exchange.route.response(exchange)
  if (rejection !== undefined) return replyInstead(exchange, rejection)
  const fault = headFault(exchange, oddities(exchange.responseHeaders, 0))
  if (fault !== null) return replyInstead(exchange, fault)
  send(exchange, body, isRejection(verdict) && verdict.close)
}

/** What response steps left must not go out: this does instead, and no response step sees it. */
export function replyInstead(exchange: Exchange, rejection: Rejection): void {
  send(exchange, prepare(exchange, rejection), rejection.close)
}

/** Adds what access steps want in whatever answer goes out. */
export function addResponseHeaders(exchange: Exchange): void {
  const added = exchange.addedResponseHeaders
  if (added !== null) for (const part of added) exchange.responseHeaders.push(part)
}

/** Sets status and fields; returns the body. */
function prepare(exchange: Exchange, verdict: Rejection | LocalReply): string {
  exchange.status = verdict.status
  exchange.responseHeaders = verdict.headers.slice()
  if (!isRejection(verdict)) return verdict.body
  exchange.failure = verdict.code
  exchange.failureDetail = verdict.detail
  return errorBody(exchange, verdict)
}

const problemType = 'application/problem+json'

/** JSON as the catalogue has it, or RFC 9457 for clients that ask for it. */
function errorBody(exchange: Exchange, rejection: Rejection): string {
  const accept = getHeader(exchange.headers, 'accept')
  if (accept === undefined || !accept.includes(problemType)) {
    exchange.responseHeaders.push('content-type', 'application/json')
    return `${rejection.body}${exchange.requestId}"}`
  }
  exchange.responseHeaders.push('content-type', problemType)
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[rejection.status] ?? 'Error',
    status: rejection.status,
    detail: rejection.message,
    code: rejection.code,
    request_id: exchange.requestId,
  })
}

/** `close`: what follows on the connection can't be trusted. */
function send(exchange: Exchange, body: string, close: boolean): void {
  const { attempt, downstream } = exchange
  const head = encoded(withRequestId(exchange, blockOf(statusText(exchange.status), exchange.responseHeaders)))
  const length = Buffer.byteLength(body)
  exchange.attempt = null
  exchange.begun = true
  downstream.cork(() => {
    if (!hasNoBody(exchange)) {
      exchange.bytesOut = length
      writeWhole(exchange, head, body, close)
    } else if (close && length !== 0) writeBodylessAndClose(exchange, head, length)
    else writeBodyless(exchange, head, exchange.status === 304 ? -1 : length, mustClose(exchange))
  })
  finish(exchange)
  attempt?.abort()
}
