import type { AccessContext, ResponseContext } from '../../core/context.ts'
import { reject } from '../../core/errors.ts'
import { getHeader, type HeaderList, hasHeader } from '../../core/headers.ts'
import { definePlugin, type LocalReply, type Steps } from '../../core/plugin.ts'
import { compileOrigins } from './origin.ts'
import { type Config, schema } from './schema.ts'

/**
 * Cross-origin resource sharing (Fetch §3.2), decided at the gateway alone: CORS fields of the upstream never pass.
 *
 * An origin that is not allowed gets an answer without CORS fields, preflights a bare 204: the browser does the rest,
 * and clients that are no browsers are no matter of CORS.
 */
export const cors = definePlugin<Config>({
  name: 'cors',
  summary: 'Lets browsers call from other origins, and answers their preflights.',
  class: 'security',
  priority: 2000,
  phases: ['access', 'response'],
  schema,

  // Preflights are the gateway's to answer, so they must find the route that the request itself will take.
  answers: ({ preflight_continue }) => (preflight_continue ? [] : ['OPTIONS']),

  create(config, { route }): Steps {
    const stated = route.methods.length === 0 || route.methods.includes('OPTIONS')
    const notStated = reject('method_not_allowed', { headers: ['allow', route.methods.join(', ')] })
    const origins = compileOrigins(config.origins)
    const anonymous = origins.any && !config.credentials
    const credentials = config.credentials ? ['access-control-allow-credentials', 'true'] : []
    const exposed =
      config.exposed_headers.length > 0 ? ['access-control-expose-headers', config.exposed_headers.join(', ')] : []
    const grants = [...credentials, ...exposed]
    const preflight = config.preflight_continue ? null : compilePreflight(config, anonymous, credentials)

    return {
      access(ctx) {
        const origin = getHeader(ctx.headers, 'origin') ?? ''
        ctx.origin = origin
        if (preflight === null) return undefined
        if (!isPreflight(ctx, origin)) return stated || ctx.method !== 'OPTIONS' ? undefined : notStated
        return preflight(ctx, origin, origins.allows(origin))
      },

      response(ctx) {
        const origin = ctx.origin ?? getHeader(ctx.headers, 'origin') ?? ''
        if (isPreflight(ctx, origin)) {
          if (preflight === null && !origins.allows(origin)) removeCorsFields(ctx.responseHeaders)
          return
        }
        removeCorsFields(ctx.responseHeaders)
        if (!anonymous) addVaryOrigin(ctx.responseHeaders)
        if (origin === '' || !origins.allows(origin)) return
        ctx.responseHeaders.push('access-control-allow-origin', anonymous ? '*' : origin)
        for (let i = 0; i < grants.length; i++) ctx.responseHeaders.push(grants[i] as string)
      },
    }
  },
})

function isPreflight(ctx: AccessContext | ResponseContext, origin: string): boolean {
  return ctx.method === 'OPTIONS' && origin !== '' && hasHeader(ctx.headers, 'access-control-request-method')
}

type Preflight = (ctx: AccessContext, origin: string, allowed: boolean) => LocalReply

function compilePreflight(config: Config, anonymous: boolean, credentials: readonly string[]): Preflight {
  const echoes = config.headers.length === 0 || config.headers.includes('*')
  const vary = [
    'vary',
    `Origin, Access-Control-Request-Method, Access-Control-Request-Headers${
      config.private_network ? ', Access-Control-Request-Private-Network' : ''
    }`,
  ]
  const grants = [
    ...vary,
    ...credentials,
    'access-control-allow-methods',
    config.methods.join(', '),
    ...(echoes ? [] : ['access-control-allow-headers', config.headers.join(', ')]),
    ...(config.max_age === undefined ? [] : ['access-control-max-age', String(config.max_age)]),
  ]
  const refused: LocalReply = { status: 204, headers: vary, body: '' }

  return (ctx, origin, allowed) => {
    if (!allowed) return refused
    const headers = ['access-control-allow-origin', anonymous ? '*' : origin].concat(grants)
    const asked = echoes ? getHeader(ctx.headers, 'access-control-request-headers') : undefined
    if (asked !== undefined && fieldNames.test(asked)) headers.push('access-control-allow-headers', asked)
    if (config.private_network && getHeader(ctx.headers, 'access-control-request-private-network') === 'true') {
      headers.push('access-control-allow-private-network', 'true')
    }
    return { status: 204, headers, body: '' }
  }
}

/** A list of field names that may be sent back as it came. */
const fieldNames = /^[\w!#$%&'*+.^`|~, -]{1,1024}$/

function removeCorsFields(headers: HeaderList): void {
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).startsWith('access-control-')) continue
    headers[kept] = headers[i] as string
    headers[kept + 1] = headers[i + 1] as string
    kept += 2
  }
  headers.length = kept
}

const originOrAll = /(?:^|[\s,])(?:origin|\*)(?:$|[\s,])/i

/** The answer depends on who asks, also when nobody of another origin did: a cache must know. */
function addVaryOrigin(headers: HeaderList): void {
  let last = -1
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== 'vary') continue
    if (originOrAll.test(headers[i + 1] as string)) return
    last = i + 1
  }
  if (last === -1) headers.push('vary', 'Origin')
  else headers[last] = headers[last] === '' ? 'Origin' : `${headers[last]}, Origin`
}
