import { hash } from 'node:crypto'
import type { AccessContext } from '../../core/context.ts'
import { reject } from '../../core/errors.ts'
import { hasHeader } from '../../core/headers.ts'
import { definePlugin, type Verdict } from '../../core/plugin.ts'
import { AnswerCache, type Answered } from '../answer-cache.ts'
import { httpSettingsOf, tlsFilesOf } from '../http-service.ts'
import { calling, keyOf } from './call.ts'
import { clientFields } from './client-fields.ts'
import { type Decision, decide, enforcing, isAllowed } from './decision.ts'
import { type Config, schema } from './schema.ts'

/** Most bytes of an answer's body. */
const largestBody = 65_536

/** Most bytes that remembered answers may take, about. */
const cacheBytes = 16 * 1024 ** 2

/**
 * Asks an authorization service about each request, and does what it says: lets the request pass, with what the service
 * wants the upstream to know, or passes its refusal on. When it says neither, or nothing at all, the request is refused.
 */
export const forwardAuth = definePlugin<Config>({
  name: 'forward-auth',
  summary: 'Asks an authorization service about each request.',
  class: 'security',
  priority: 1040,
  phases: ['access'],
  schema,
  authenticates: true,

  provides: ({ consumer }) => (consumer === undefined ? [] : ['consumer']),
  injects: ({ response_headers }) => response_headers.filter((name) => !clientFields.has(name)),
  files: ({ tls }) => tlsFilesOf(tls),

  create(config, deps) {
    const { configDir, services, consumers } = deps
    const service = services.http.open(httpSettingsOf(config, { configDir, maxBody: largestBody }))
    const describe = calling(config)
    const enforce = enforcing(config, consumers)
    const { required_headers: required, challenge, cache } = config
    const missing = reject('credentials_missing', { headers: ['www-authenticate', challenge] })
    const lacks = (ctx: AccessContext): boolean => {
      for (let i = 0; i < required.length; i++) if (hasHeader(ctx.headers, required[i] as string)) return false
      return required.length > 0
    }

    if (cache === undefined) {
      return {
        access(ctx) {
          if (lacks(ctx)) return missing
          return service
            .call(describe(ctx))
            .then((answer) => (ctx.aborted ? undefined : enforce(ctx, decide(config, answer))))
        },
      }
    }

    const { ttl, scope, entries } = cache
    const decisions = deps.keep(
      `forward-auth ${hash('sha256', JSON.stringify(config))}`,
      () => new AnswerCache<Decision>({ entries, bytes: cacheBytes }),
    )
    return {
      access(ctx): Verdict | Promise<Verdict> {
        if (lacks(ctx)) return missing
        const call = describe(ctx)
        const key = keyOf(call, scope)
        const known = decisions.find(key, Date.now())
        if (known !== undefined) return enforce(ctx, known)
        return decisions
          .ask(key, () => service.call(call).then((answer) => answered(decide(config, answer), ttl)))
          .then((decision) => (ctx.aborted ? undefined : enforce(ctx, decision)))
      },
    }
  },
})

/** Refusals are not kept: they end when the caller signs in. What sets a cookie is for the one who asked. */
function answered(decision: Decision, ttl: number): Answered<Decision> {
  if (!isAllowed(decision))
    return { value: decision, ttl: 0, isRefusal: true, bytes: 0, isPrivate: decision.headers.includes('set-cookie') }
  let bytes = 0
  for (const value of decision.values) bytes += value?.length ?? 0
  return { value: decision, ttl, isRefusal: false, bytes }
}
