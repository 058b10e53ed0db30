import { hash } from 'node:crypto'
import type { AccessContext } from '../../core/context.ts'
import { reject } from '../../core/errors.ts'
import { setHeader } from '../../core/headers.ts'
import { definePlugin, type Verdict } from '../../core/plugin.ts'
import { AnswerCache } from '../answer-cache.ts'
import { formEncoded, prepareForm } from '../client-credentials.ts'
import { httpSettingsOf, tlsFilesOf } from '../http-service.ts'
import { type Exchanged, isIssued, readAnswer } from './issued.ts'
import { type Config, schema } from './schema.ts'

/** Most bytes of an answer's body. */
const largestBody = 65_536

/** Most bytes that remembered tokens may take, about. */
const cacheBytes = 32 * 1024 ** 2

/**
 * Gives the upstream a token of its own instead of the client's (RFC 8693): for that service, with no more scopes than it
 * needs. The client's token never gets there in its place: what can't be exchanged is refused.
 */
export const tokenExchange = definePlugin<Config>({
  name: 'token-exchange',
  summary: 'Exchanges the token of a client for one that is meant for the upstream.',
  class: 'security',
  priority: 900,
  phases: ['access'],
  schema,

  requires: () => ['token'],
  files: ({ tls }) => tlsFilesOf(tls),

  create(config, deps) {
    const { configDir, services } = deps
    const service = services.http.open(httpSettingsOf(config, { configDir, maxBody: largestBody }))
    const { headers, start } = prepareForm(config, [
      ['grant_type', 'urn:ietf:params:oauth:grant-type:token-exchange'],
      ['subject_token_type', config.subject_token_type],
      ['requested_token_type', config.requested_token_type],
      ...config.audience.map((name): [string, string] => ['audience', name]),
      ...config.resource.map((url): [string, string] => ['resource', url]),
      ...(config.scope.length === 0 ? [] : [['scope', config.scope.join(' ')] as const]),
    ])
    // Provider, client, audience and scope are all in there: tokens of one configuration never serve another.
    const tokens = deps.keep(
      `token-exchange ${hash('sha256', JSON.stringify(config))}`,
      () => new AnswerCache<Exchanged>({ entries: config.cache.entries, bytes: cacheBytes }),
    )
    const missing = reject('credentials_missing', { headers: ['www-authenticate', 'Bearer'] })

    return {
      access(ctx): Verdict | Promise<Verdict> {
        const { token } = ctx
        if (token === null) return missing
        const key = hash('sha256', token, 'base64url')
        const known = tokens.find(key, Date.now())
        if (known !== undefined) return use(ctx, known)
        const body = `${start}&subject_token=${formEncoded(token)}`
        return tokens
          .ask(key, () => service.call({ method: 'POST', headers, body }).then((answer) => readAnswer(config, answer)))
          .then((exchanged) => (ctx.aborted ? undefined : use(ctx, exchanged)))
      },
    }
  },
})

function use(ctx: AccessContext, exchanged: Exchanged): Verdict {
  if (!isIssued(exchanged)) return exchanged
  setHeader(ctx.headers, 'authorization', exchanged.authorization)
  return undefined
}
