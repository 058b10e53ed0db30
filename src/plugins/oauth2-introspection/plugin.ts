import { hash } from 'node:crypto'
import type { AccessContext } from '../../core/context.ts'
import { definePlugin, type Steps, type Verdict } from '../../core/plugin.ts'
import { TokenFault } from '../../core/services/tokens.ts'
import { judging, withholdToken } from '../bearer-access.ts'
import { Refusals } from '../bearer-refusals.ts'
import { identifying, usualHeaders } from '../claimed-identity.ts'
import { ambiguous, CredentialReader } from '../credential.ts'
import { credentialSourceOf } from '../credential-fields.ts'
import { httpSettingsOf, tlsFilesOf } from '../http-service.ts'
import { type Introspected, reading } from './answer.ts'
import { Provider } from './provider.ts'
import { type Config, schema } from './schema.ts'

/** Most bytes of an answer's body. */
const largestBody = 65_536

/** Longest token: longer ones are no tokens of a provider that wants them sent in a field. */
const longestToken = 8192

/**
 * Lets in who brings a token that its provider says is active (RFC 7662), and tells the upstream who that is. Tokens need
 * not mean anything to the gateway, and the provider can end them; within `cache.ttl` they are then refused.
 */
export const oauth2Introspection = definePlugin<Config>({
  name: 'oauth2-introspection',
  summary: 'Asks the identity provider whether a token is active, and tells the upstream who calls.',
  class: 'security',
  priority: 1700,
  phases: ['access'],
  schema,
  authenticates: true,

  provides: ({ optional, on_error }) => (optional || on_error === 'allow' ? [] : ['consumer', 'claims', 'token']),
  injects: ({ claims_to_headers }) =>
    claims_to_headers === undefined ? usualHeaders : Object.values(claims_to_headers),
  files: ({ tls }) => tlsFilesOf(tls),

  create(config, deps): Steps {
    const { configDir, services, consumers, log } = deps
    const { optional, on_error } = config
    const reader = new CredentialReader(config.from.map(credentialSourceOf))
    const refusals = new Refusals(config, 'Bearer')
    const noToken = optional ? undefined : refusals.missing
    const tooLong = refusals.of(new TokenFault('invalid', 'token_too_long'))
    const identify = identifying(config)
    const means = {
      service: services.http.open(httpSettingsOf(config, { configDir, maxBody: largestBody })),
      log,
      read: reading(config, identify, consumers),
    }
    // What a token means depends on the rules: other rules remember for themselves.
    const provider = deps.keep(
      `oauth2-introspection ${hash('sha256', JSON.stringify(config))}`,
      () => new Provider(config, services.instruments),
    )

    const judge = judging(config, { consumers, services }, identify, reader, refusals)
    function admit(ctx: AccessContext, token: string, found: Introspected): Verdict {
      const isDecided = !(found instanceof TokenFault) || found.kind === 'invalid' || on_error === 'deny'
      if (isDecided) return judge(ctx, token, found)
      if (!ctx.aborted) reader.remove(ctx)
      return undefined
    }

    return {
      access(ctx) {
        const token = reader.read(ctx)
        if (token === null) return noToken
        if (token === ambiguous) return refusals.repeated
        if (token.length > longestToken) return tooLong
        const digest = hash('sha256', token, 'hex')
        const known = provider.find(digest)
        if (known !== undefined) return admit(ctx, token, known)
        return provider.ask(token, digest, means).then((found) => admit(ctx, token, found))
      },
      withhold: (ctx) => withholdToken(ctx, reader),
    }
  },
})
