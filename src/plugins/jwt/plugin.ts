import { createHash } from 'node:crypto'
import type { AccessContext } from '../../core/context.ts'
import { hasHeader } from '../../core/headers.ts'
import { type Deps, definePlugin, type Steps } from '../../core/plugin.ts'
import { TokenFault, type TokenRules } from '../../core/services/tokens.ts'
import { judging, withholdToken } from '../bearer-access.ts'
import { Refusals } from '../bearer-refusals.ts'
import { type Identify, identifying, usualHeaders } from '../claimed-identity.ts'
import { claimPath, fulfils } from '../claims.ts'
import { ambiguous, CredentialReader } from '../credential.ts'
import { KnownToken } from '../known-token.ts'
import { filesOf, trustOf } from './issuers.ts'
import { type Config, schema } from './schema.ts'
import { challengeScheme, sourcesOf } from './sources.ts'

/** Lets in who brings a JSON Web Token (RFC 7519) of an issuer that is trusted, and tells the upstream who that is. */
export const jwt = definePlugin<Config>({
  name: 'jwt',
  summary: 'Checks JSON Web Tokens and tells the upstream who calls.',
  class: 'security',
  priority: 1450,
  phases: ['access'],
  schema,
  authenticates: true,

  // Where preflights pass without a token nobody is known either.
  provides: ({ optional, run_on_preflight }) => (optional || !run_on_preflight ? [] : ['consumer', 'claims', 'token']),
  injects: ({ claims_to_headers }) =>
    claims_to_headers === undefined ? usualHeaders : Object.values(claims_to_headers),
  files: filesOf,

  create(config, deps): Steps {
    const { optional, run_on_preflight } = config
    const reader = new CredentialReader(sourcesOf(config))
    const refusals = new Refusals(config, challengeScheme(config))
    const noToken = optional ? undefined : refusals.missing
    const identify = identifying(config)
    const verifier = deps.services.tokens.open(rulesOf(config, deps, identify))
    const judge = judging(config, deps, identify, reader, refusals)

    return {
      access(ctx) {
        if (!run_on_preflight && isPreflight(ctx)) return undefined
        const token = reader.read(ctx)
        if (token === null) return noToken
        if (token === ambiguous) return refusals.repeated
        const found = verifier.verify(token)
        return found instanceof Promise ? found.then((settled) => judge(ctx, token, settled)) : judge(ctx, token, found)
      },
      withhold: (ctx) => withholdToken(ctx, reader),
    }
  },
})

/** As Fetch §4.8 has it: a browser asks before it sends the request itself. */
function isPreflight(ctx: AccessContext): boolean {
  return (
    ctx.method === 'OPTIONS' &&
    hasHeader(ctx.headers, 'origin') &&
    hasHeader(ctx.headers, 'access-control-request-method')
  )
}

const unfulfilled = new TokenFault('invalid', 'claims_not_fulfilled')

function rulesOf(config: Config, deps: Deps, identify: Identify): TokenRules<KnownToken> {
  const { consumers } = deps
  const { match, clock_skew, max_age, max_size, cache } = config
  const trust = trustOf(config, deps)
  const claimRules = Object.entries(config.claims).map(([name, value]) => ({
    path: claimPath(name),
    values: Array.isArray(value) ? value : [value],
  }))
  const required = config.required ?? config.claims_to_verify ?? ['exp']
  return {
    fingerprint: fingerprintOf(config, required, trust.fingerprint),
    issuers: trust.issuers,
    clockSkew: clock_skew,
    required,
    maxAge: max_age ?? 0,
    maxSize: max_size,
    cache: { entries: cache.entries, bytes: cache.size },

    accept(claims, _header, digest) {
      if (!fulfils(claims, claimRules, match)) return unfulfilled
      const identity = identify(claims, consumers)
      return identity instanceof TokenFault ? identity : new KnownToken(claims, digest, identity, consumers)
    },
  }
}

/** Everything that decides whether a token is good and what is known of it then: where it stands in a request does not. */
function fingerprintOf(config: Config, required: readonly string[], trust: string): string {
  const { clock_skew, max_age, max_size, cache, claims, match, scopes, claims_to_headers } = config
  const { consumer_claim, tenant_claim, roles_claim, groups_claim, scope_claim } = config
  const rules = { required, clock_skew, max_age, max_size, cache, claims, match, scopes, claims_to_headers }
  const meanings = { consumer_claim, tenant_claim, roles_claim, groups_claim, scope_claim }
  return createHash('sha256')
    .update(JSON.stringify(['jwt', trust, rules, meanings]))
    .digest('hex')
}
