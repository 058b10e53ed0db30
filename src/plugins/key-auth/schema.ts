import { z } from 'zod'
import { parseExpiry, parseKeyHash } from '../../core/api-key.ts'
import { credentialHeader, credentialSource } from '../credential-fields.ts'
import { duration, identityText, scopeText } from '../fields.ts'

/** One key, in the configuration or in a file. */
export const keyEntry = z.strictObject({
  id: identityText.describe('What logs and upstreams call it; of keys that `sluice hash-key` makes it is a part.'),
  // The value is not told: it may be a key by mistake.
  hash: z
    .string()
    .refine((text) => parseKeyHash(text) !== null, 'is no hash of a key: "sluice hash-key" makes one')
    .describe('What `sluice hash-key` prints: the key itself stays with its owner.'),
  consumer: identityText.describe('Id of the consumer whose key it is.'),
  tier: identityText.optional().describe('Class of service; else that of the consumer.'),
  tenant: identityText.optional().describe('Tenant; else that of the consumer.'),
  scopes: z.array(scopeText).optional().describe('What it may be used for; else the scopes of the consumer.'),
  expires: z
    .union([z.string(), z.number()])
    .transform((value, context) => {
      const time = parseExpiry(String(value))
      if (time !== null) return time
      context.addIssue('must be a day or a time with its zone (2027-01-31T12:00:00Z), or seconds since 1970')
      return z.NEVER
    })
    .optional()
    .describe('When it ends: `2027-01-31`, `2027-01-31T12:00:00Z`, or seconds since 1970.'),
  status: z.enum(['active', 'disabled']).default('active').describe('`disabled`: refused, as if it were gone.'),
})

export type KeyEntry = z.output<typeof keyEntry>

export const schema = z
  .strictObject({
    keys: z
      .array(keyEntry)
      .default([])
      .describe('Keys. Two of a consumer are good at once: so one is replaced by the next without a gap.'),
    file: z
      .string()
      .min(1)
      .optional()
      .describe('File with further keys: a JSON array, or one JSON object per line. A change takes effect at once.'),
    redis: z
      .boolean()
      .default(false)
      .describe('Looks keys up in Redis, too: hashes at `<key_prefix>api-key:<id>`, with the fields of `keys`.'),
    staleness: duration([1000, '1s'])
      .prefault('60s')
      .describe(
        'How long a key of Redis is believed without news. A change is known within a second; this is for when Redis is gone.',
      ),
    cache_entries: z
      .int()
      .min(1)
      .max(10_000_000)
      .default(100_000)
      .describe('Keys of Redis that each worker keeps in memory.'),
    salt: z
      .string()
      .min(16)
      .optional()
      .describe(
        'Secret for keys that Sluice has not made, of 16 characters and more: `${file:/run/secrets/key-salt}`. ' +
          'The same that their hashes were made with.',
      ),
    from: z
      .array(credentialSource)
      .min(1)
      .optional()
      .describe('Where the key may be; the first that has one counts. Else the header `X-API-Key`.'),
    key_names: z
      .array(credentialHeader)
      .min(1)
      .optional()
      .describe("Kong's way to say `from`: names that are looked for in headers, and in the query if that is allowed."),
    key_in_header: z.boolean().optional().describe('With `key_names`: whether headers are looked at. Else they are.'),
    key_in_query: z.boolean().optional().describe('With `key_names`: whether the query is looked at. Else it is not.'),
    hide_credentials: z.boolean().default(true).describe('Whether the key is kept from the upstream.'),
    optional: z
      .boolean()
      .default(false)
      .describe(
        'Whether requests without a key are let through, without a consumer. A bad key is refused all the same.',
      ),
    realm: z
      .string()
      .refine((text) => /^[ !#-[\]-~]+$/.test(text), 'must be ASCII text without quotes and backslashes')
      .default('api')
      .describe('What the challenge of a refusal calls this place.'),
  })
  .superRefine((value, context) => {
    const fault = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message })
    if (value.keys.length === 0 && value.file === undefined && !value.redis)
      fault([], 'needs keys: at least one of "keys", "file" and "redis"')
    if (value.from !== undefined && value.key_names !== undefined) fault(['key_names'], 'excludes "from"')
    for (const key of ['key_in_header', 'key_in_query'] as const) {
      if (value[key] !== undefined && value.key_names === undefined) fault([key], 'means nothing without "key_names"')
    }
    if (value.key_in_header === false && value.key_in_query !== true)
      fault(['key_in_header'], 'leaves no place for a key: allow "key_in_query", then')
    value.keys.forEach(({ id }, i) => {
      if (value.keys.findIndex((other) => other.id === id) < i) fault(['keys', i, 'id'], `key "${id}" is there twice`)
    })
  })

export type Config = z.output<typeof schema>
