import { z } from 'zod'
import { claimFields, texts } from '../claim-fields.ts'
import { checkClientCredentials, clientCredentialFields } from '../client-credentials.ts'
import { credentialSource } from '../credential-fields.ts'
import { duration } from '../fields.ts'
import { httpServiceFields } from '../http-service.ts'

const text = z.string().min(1)

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
    ...claimFields,
    consumer_claim: texts
      .default(['sub', 'username', 'client_id'])
      .describe('Claim (member of the answer) that says who calls; of several, the first that is there.'),
    on_error: z
      .enum(['deny', 'allow'])
      .default('deny')
      .describe(
        'What happens while the provider can not be asked: `deny` (503), or `allow`: whoever brings any token gets in as nobody, without token and identity.',
      ),
    cache: cache.prefault({}).describe('What the provider said once counts for a while.'),
  })
  .superRefine(checkClientCredentials)

export type Config = z.output<typeof schema>
