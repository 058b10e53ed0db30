import { z } from 'zod'
import { checkClientCredentials, clientCredentialFields } from '../client-credentials.ts'
import { duration } from '../fields.ts'
import { httpServiceFields } from '../http-service.ts'

const tokenType = 'urn:ietf:params:oauth:token-type:'

const text = z.string().min(1)

const texts = z
  .union([text.transform((one) => [one]), z.array(text).min(1)], { error: 'must be a string or a list of strings' })
  .default([])

const type = z
  .string()
  .regex(/^\S+$/, `must be a token type such as access_token or ${tokenType}access_token`)
  .transform((name) => (name.includes(':') ? name : tokenType + name))

/** RFC 6749 §3.3. */
const scope = z.string().regex(/^[!#-[\]-~]+$/, 'must be a scope: visible ASCII without quotes and backslashes')

const cache = z.strictObject({
  ttl: duration().prefault('5m').describe('Longest time that a token is used again, however long it is good.'),
  skew: duration([0, '0s'])
    .prefault('30s')
    .describe('How long before its end a token is not used any more: it has to last on its way, too.'),
  negative_ttl: duration([0, '0s']).prefault('5s').describe('How long a refusal is remembered.'),
  entries: z.int().min(1).max(1_000_000).default(10_000).describe('Most tokens that a worker remembers.'),
})

export const schema = z
  .strictObject({
    ...httpServiceFields,
    url: httpServiceFields.url.describe('Token endpoint of the provider: `https://auth.internal/token`.'),
    ...clientCredentialFields,
    audience: texts.describe('Names of the services that the new token is for.'),
    resource: z
      .union([text.transform((one) => [one]), z.array(text).min(1)], { error: 'must be a URL or a list of URLs' })
      .default([])
      .superRefine((list, context) => {
        list.forEach((url, i) => {
          if (!URL.canParse(url) || url.includes('#'))
            context.addIssue({ code: 'custom', path: [i], message: 'must be an absolute URL without fragment' })
        })
      })
      .describe('The same as URLs (RFC 8707).'),
    scope: z
      .union([z.string().transform((list) => list.split(' ').filter((one) => one !== '')), z.array(z.string())], {
        error: 'must be scopes with spaces between, or a list of scopes',
      })
      .pipe(z.array(scope))
      .default([])
      .describe('Scopes that the new token shall have: no more than the service behind needs.'),
    requested_token_type: type
      .prefault('access_token')
      .describe('What is asked for: `access_token`, `jwt`, or a whole URN.'),
    subject_token_type: type.prefault('access_token').describe('What the token of the client is.'),
    cache: cache.prefault({}).describe('Tokens that were issued are used again for the same token of a client.'),
  })
  .superRefine(checkClientCredentials)

export type Config = z.output<typeof schema>
