import { hash } from 'node:crypto'
import type { AccessContext } from '../../core/context.ts'
import { getHeader } from '../../core/headers.ts'
import type { HttpCall } from '../../core/services/http.ts'
import { toBytes } from '../field-text.ts'
import type { Config } from './schema.ts'

/** Makes the function that writes the call about a request. */
export function calling(config: Config): (ctx: AccessContext) => HttpCall {
  const { method, trust_forward_header: isTrusting } = config
  const wanted = new Set(config.request_headers)
  const sendsId = wanted.has('x-request-id')

  return (ctx) => {
    const headers = ['accept-encoding', 'identity']
    for (let i = 0; i < ctx.headers.length; i += 2) {
      const name = ctx.headers[i] as string
      if (name !== 'accept-encoding' && wanted.has(name)) headers.push(name, toBytes(ctx.headers[i + 1] as string))
    }
    if (sendsId) headers.push('x-request-id', ctx.requestId)
    headers.push(
      'x-forwarded-method',
      toBytes(claimed(ctx, 'x-forwarded-method', isTrusting) ?? ctx.method),
      'x-forwarded-uri',
      toBytes(claimed(ctx, 'x-forwarded-uri', isTrusting) ?? uriOf(ctx)),
      'x-forwarded-host',
      toBytes(ctx.forwardedHost),
      'x-forwarded-proto',
      ctx.scheme,
      'x-forwarded-for',
      ctx.forwardedFor,
    )
    return { method, headers }
  }
}

function claimed(ctx: AccessContext, name: string, isTrusting: boolean): string | undefined {
  return isTrusting ? getHeader(ctx.headers, name) : undefined
}

function uriOf({ path, query }: AccessContext): string {
  return query === '' ? path : `${path}?${query}`
}

/** Fields that differ from call to call and decide nothing. */
const indifferent: ReadonlySet<string> = new Set(['x-request-id'])

/** What requests are about. */
const aboutRequest: ReadonlySet<string> = new Set([
  'x-forwarded-method',
  'x-forwarded-uri',
  'x-forwarded-host',
  'x-forwarded-proto',
])

/**
 * The key of a call: everything that the service is told, for `caller` without what tells requests of one caller apart. A SHA-256,
 * for clients choose what is in it.
 */
export function keyOf({ headers }: HttpCall, scope: 'request' | 'caller'): string {
  const told: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (indifferent.has(name) || (scope === 'caller' && aboutRequest.has(name))) continue
    told.push(name, headers[i + 1] as string)
  }
  return hash('sha256', JSON.stringify(told), 'base64url')
}
