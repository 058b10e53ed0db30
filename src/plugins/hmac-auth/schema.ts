import { z } from 'zod'
import { isToken } from '../../core/headers.ts'
import { duration, identityText, scopeText } from '../fields.ts'
import { algorithms } from './algorithms.ts'

/** What can be demanded of a signature: derived components of a request that have no parameters, and fields. */
const derived = ['@method', '@authority', '@scheme', '@target-uri', '@request-target', '@path', '@query']

const component = z
  .string()
  .refine(
    (name) => derived.includes(name) || (isToken(name) && name === name.toLowerCase()),
    `must be the lower-case name of a header field, or one of ${derived.join(', ')}`,
  )

const text = z.string().min(1)

const key = z
  .strictObject({
    id: identityText.describe('What signatures name as `keyid`.'),
    consumer: identityText.describe('Id of the consumer whose key it is.'),
    algorithm: z
      .enum(algorithms)
      .optional()
      .describe(
        'What it signs with; else `hmac-sha256` for secrets, what fits a public key, and `rsa-pss-sha512` for RSA.',
      ),
    secret: text
      .optional()
      .describe('Secret that is shared with the client, of 32 bytes and more: `${file:/run/secrets/acme}`.'),
    secret_is_base64: z.boolean().default(false).describe('Whether `secret` is written in base64.'),
    public_key: z
      .union([text, z.strictObject({ file: text.describe('PEM file.') })], {
        error: 'must be PEM text, or a mapping with "file"',
      })
      .optional()
      .describe('Public key of the client as PEM text, or `{ file }`.'),
    tier: identityText.optional().describe('Class of service; else that of the consumer.'),
    scopes: z.array(scopeText).optional().describe('What it may be used for; else the scopes of the consumer.'),
    status: z.enum(['active', 'disabled']).default('active').describe('`disabled`: refused, as if it were gone.'),
  })
  .superRefine(({ secret, secret_is_base64, public_key, algorithm }, context) => {
    const fault = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    if ((secret === undefined) === (public_key === undefined)) fault([], 'needs a "secret" or a "public_key"')
    else if (algorithm !== undefined && (algorithm === 'hmac-sha256') !== (secret !== undefined))
      fault(['algorithm'], `must fit: ${algorithm} needs a ${secret === undefined ? '"secret"' : '"public_key"'}`)
    if (secret_is_base64 && secret === undefined) fault(['secret_is_base64'], 'means nothing without a "secret"')
  })

export type KeyEntry = z.output<typeof key>

export const schema = z
  .strictObject({
    keys: z.array(key).min(1).describe('Keys of clients. Two of a consumer are good at once.'),
    required: z
      .array(component)
      .min(1)
      .default(['@method', '@authority', '@path', '@query', 'content-digest'])
      .describe(
        'What every signature must cover. `@path`, `@query` and `@authority` may also be covered by `@target-uri`; `@query` is needed ' +
          'where there is a query, `content-digest` where there is a body. The gateway does not read the body: the service has to ' +
          'compare it with the digest.',
      ),
    max_age: duration()
      .prefault('5m')
      .describe(
        'How long a signature is good from `created` on. Within this time whoever has seen a request can send the same again.',
      ),
    clock_skew: z
      .union([z.literal(0), duration()])
      .prefault('30s')
      .describe('By how much the clocks of client and gateway may differ.'),
    tag: z
      .string()
      .regex(/^[ !#-[\]-~]+$/, 'must be ASCII text without quotes and backslashes')
      .optional()
      .describe('Only signatures with this `tag` count; others are left for whom they are meant for.'),
    hide_credentials: z.boolean().default(true).describe('Whether the signature is kept from the upstream.'),
    optional: z
      .boolean()
      .default(false)
      .describe(
        'Whether requests without a signature are let through, without a consumer. A bad one is refused all the same.',
      ),
    realm: z
      .string()
      .regex(/^[ !#-[\]-~]+$/, 'must be ASCII text without quotes and backslashes')
      .default('api')
      .describe('What the challenge of a refusal calls this place.'),
  })
  .superRefine(({ keys }, context) => {
    keys.forEach(({ id }, i) => {
      if (keys.findIndex((other) => other.id === id) < i)
        context.addIssue({ code: 'custom', path: ['keys', i, 'id'], message: `key "${id}" is there twice` })
    })
  })

export type Config = z.output<typeof schema>
