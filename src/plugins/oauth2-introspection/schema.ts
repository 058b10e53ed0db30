import { z } from 'zod'
import { checkClientCredentials, clientCredentialFields } from '../client-credentials.ts'
import { credentialSource } from '../credential-fields.ts'
import { duration, injectedHeader } from '../fields.ts'
import { httpServiceFields } from '../http-service.ts'

const text = z.string().min(1)

/** One or several. */
const texts = z.union([text, z.array(text).min(1)], { error: 'must be a string or a list of strings' })

const claim = z.union([z.string(), z.number(), z.boolean()], { error: 'must be text, a number or a boolean' })

const cache = z.strictObject({
  ttl: duration([0, '0s'])
    .prefault('30s')
    .describe(
      'How long a token that is active counts as such: so long a token lives on that the provider has ended. Never past its `exp`.',
    ),
  negative_ttl: duration([0, '0s']).prefault('5s').describe('How long one that is not active counts as such.'),
  stale_ttl: duration([0, '0s'])
    .prefault('0s')
    .describe(
      'How much longer than `ttl` an active one counts as such while the provider can not be asked. Never past its `exp`.',
    ),
  entries: z.int().min(1).max(1_000_000).default(20_000).describe('Most tokens that a worker remembers.'),
})

export const schema = z
  .strictObject({
    ...httpServiceFields,
    url: httpServiceFields.url.describe('Introspection endpoint of the provider: `https://auth.internal/introspect`.'),
    ...clientCredentialFields,
    token_type_hint: text.default('access_token').describe('What the provider is told of the kind of the token.'),
    from: z
      .array(credentialSource)
      .min(1)
      .default([{ header: 'authorization' }])
      .describe('Where the token may be; the first that has one counts. Else `Authorization: Bearer`.'),
    issuer: text.optional().describe('What `iss` of the answer must be. Not looked at when it is not given.'),
    audience: texts.optional().describe('What must be in `aud` of the answer; of a list, one.'),
    claims: z
      .record(text, z.union([claim, z.array(claim).min(1)], { error: 'must be a value or a list of values' }))
      .default({})
      .describe(
        'Members of the answer that must have one of these values: `{ token_use: access, tier: [gold, silver] }`.',
      ),
    match: z.enum(['all', 'any']).default('all').describe('Whether `claims` must all be as stated, or any.'),
    scopes: z
      .array(
        z
          .string()
          .regex(/^[!#-[\]-~]+$/, 'must be a scope: visible ASCII characters without space, quotes and backslashes'),
      )
      .default([])
      .describe('Scopes that the token must have, all of them; else 403 with `insufficient_scope`.'),
    claims_to_headers: z
      .record(text, injectedHeader)
      .optional()
      .describe(
        'Members of the answer that the upstream is told, and in which headers. Else X-User-Id, X-User-Role (`role`), X-User-Roles, X-User-Scopes and X-Tenant-Id, as far as they are known.',
      ),
    consumer_claim: texts
      .default(['sub', 'username', 'client_id'])
      .describe('Member that says who calls; of several, the first that is there.'),
    tenant_claim: texts.default('tenant_id').describe('Member with the tenant.'),
    roles_claim: texts
      .default(['roles', 'role'])
      .describe(
        'Member with the roles: a list, or text with spaces between. `realm_access.roles` is a member of an object.',
      ),
    groups_claim: texts.default('groups').describe('Member with the groups.'),
    scope_claim: texts.default(['scope', 'scp']).describe('Member with the scopes.'),
    forward_token: z.boolean().default(false).describe('Whether the upstream gets the token, too.'),
    optional: z
      .boolean()
      .default(false)
      .describe('Lets requests without a token pass. Bad tokens are refused all the same.'),
    on_error: z
      .enum(['deny', 'allow'])
      .default('deny')
      .describe(
        'What happens while the provider can not be asked: `deny` (503), or `allow`: whoever brings any token gets in as nobody, without token and identity.',
      ),
    realm: z
      .string()
      .regex(/^[ !#-[\]-~]+$/, 'must be visible ASCII characters without quotes and backslashes')
      .default('api')
      .describe('What `WWW-Authenticate` calls the place that the token is for.'),
    status: z.int().min(400).max(499).default(401).describe('Status when the token is missing or not active.'),
    message: text.optional().describe('What that refusal says in place of the usual sentence.'),
    cache: cache.prefault({}).describe('What the provider said once counts for a while.'),
  })
  .superRefine(checkClientCredentials)

export type Config = z.output<typeof schema>
