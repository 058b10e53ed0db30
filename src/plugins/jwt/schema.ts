import { isIP } from 'node:net'
import { z } from 'zod'
import { parseSize } from '../../core/units.ts'
import { publicKeyAlgorithms, secretAlgorithms } from '../../core/verification-key.ts'
import { claimFields, texts } from '../claim-fields.ts'
import { credentialCookie, credentialHeader, credentialSource } from '../credential-fields.ts'
import { duration } from '../fields.ts'
import { remoteKeySetFields } from '../http-service.ts'

const text = z.string().min(1)

const fromUrl = remoteKeySetFields.url.optional()

const jwks = z
  .strictObject({
    file: text.optional().describe('File with a JWK Set (RFC 7517 §5).'),
    keys: z
      .array(
        z.looseObject({
          kty: text.describe('Type of the key: `RSA`, `EC`, `OKP` or `oct`; its other members beside it.'),
        }),
      )
      .min(1)
      .optional()
      .describe('The keys (JWKs) themselves.'),
    ...remoteKeySetFields,
    url: fromUrl,
    allow_http: z
      .boolean()
      .default(false)
      .describe('Whether `url` may be plain http to another host: whoever is on the way can then make tokens.'),
  })
  .superRefine(({ file, url, keys, allow_http }, context) => {
    if ([file, url, keys].filter((one) => one !== undefined).length !== 1)
      return context.addIssue('must have exactly one of "file", "url" and "keys"')
    if (url === undefined || allow_http || !url.startsWith('http:') || isLoopback(new URL(url).hostname)) return
    context.addIssue({
      code: 'custom',
      path: ['url'],
      message: 'must be https (or say "allow_http: true"): whoever can change the keys on their way can make tokens',
    })
  })

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'))
}

const issuerFields = {
  issuer: text.optional().describe('What `iss` must be. Not looked at when it is not given.'),
  audience: texts
    .optional()
    .describe(
      'What must be in `aud`; of a list, one. Without it, tokens that this issuer made for others are good here.',
    ),
  algorithms: z
    .array(z.enum([...publicKeyAlgorithms, ...secretAlgorithms]))
    .min(1)
    .optional()
    .describe(
      'Algorithms that tokens may be signed with. Else those that the keys fit; HMAC (`HS256`…) only with a `secret`.',
    ),
  jwks: jwks.optional().describe('Keys of the issuer: a file, a URL, or written here.'),
  public_key: z
    .union([text, z.strictObject({ file: text.describe('PEM file.') })], {
      error: 'must be PEM text, or a mapping with "file"',
    })
    .optional()
    .describe('Public key or certificate of the issuer as PEM text, or `{ file }`.'),
  secret: text
    .optional()
    .describe(
      'Secret shared with the issuer, of 32 bytes and more. Keep it out of this file: `${file:/run/secrets/jwt}`.',
    ),
  secret_is_base64: z.boolean().optional().describe('Whether `secret` is written in base64 (or base64url).'),
}

const issuer = z.strictObject(issuerFields).superRefine(checkKeys)

export type IssuerConfig = z.output<typeof issuer>

function checkKeys(issuer: IssuerConfig, context: z.RefinementCtx): void {
  const fault = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path, message })
  const { jwks: set, public_key, secret, secret_is_base64, algorithms = [] } = issuer
  const sources = [set, public_key, secret].filter((one) => one !== undefined)
  if (sources.length === 0) return fault([], 'needs keys: one of "jwks", "public_key" and "secret"')
  if (sources.length > 1)
    fault([], 'must have only one of "jwks", "public_key" and "secret": name several issuers in "issuers"')
  if (secret_is_base64 !== undefined && secret === undefined && sources.length === 1 && secret_is_base64)
    fault(['secret_is_base64'], 'means nothing without a "secret"')
  const isSecret = secret !== undefined || set?.file !== undefined || set?.keys !== undefined
  algorithms.forEach((algorithm, i) => {
    if (secretAlgorithms.includes(algorithm) ? isSecret : secret === undefined) return
    fault(
      ['algorithms', i],
      `must fit the keys: ${algorithm} needs ${secret === undefined ? 'a "secret"' : 'a public key'}`,
    )
  })
}

const timeClaims = z.array(z.enum(['exp', 'nbf', 'iat']))

const sizeWords = 'must be a size such as 8kb or 16mb'

function size(least: number, leastWords: string) {
  return z
    .union([z.string(), z.number()], { error: sizeWords })
    .transform((value, context) => {
      const bytes = parseSize(value)
      if (bytes !== null && bytes >= least) return bytes
      context.addIssue(bytes === null ? sizeWords : `must be at least ${leastWords}`)
      return z.NEVER
    })
    .meta({ unit: 'size' })
}

const cache = z.strictObject({
  entries: z.int().min(1).max(1_000_000).default(20_000).describe('Most tokens that a worker remembers.'),
  size: size(65_536, '64kb').prefault('32mb').describe('Most memory that they may take, about.'),
})

/** What is no issuer's and no alias. */
const ruleFields = {
  from: z
    .array(credentialSource)
    .min(1)
    .optional()
    .describe('Where the token may be; the first that has one counts. Else `Authorization: Bearer`.'),
  clock_skew: z
    .union([z.literal(0), duration()])
    .prefault('5s')
    .describe('By how much the clocks of the issuer and the gateway may differ.'),
  max_age: duration().optional().describe('Longest time since `iat`, whatever `exp` says.'),
  required: timeClaims
    .optional()
    .describe(
      'Time claims that must be there: `exp`, `nbf`, `iat`. Else `exp`. Those that are there are always checked.',
    ),
  ...claimFields,
  consumer_claim: texts.default('sub').describe('Claim that says who calls; of several, the first that is there.'),
  max_size: size(256, '256 bytes').prefault('8kb').describe('Longest token.'),
  cache: cache.prefault({}).describe('Tokens that were found good are not checked again until they expire.'),
  run_on_preflight: z
    .boolean()
    .default(true)
    .describe(
      'Whether CORS preflights need a token. Browsers send none: use `cors`, which answers them before, or `false`, which lets them through to the upstream.',
    ),
}

/** As Kong calls things. */
const aliasFields = {
  header_names: z
    .array(credentialHeader)
    .min(1)
    .optional()
    .describe('As in Kong: headers that may hold the token, with or without `Bearer`.'),
  cookie_names: z
    .array(credentialCookie)
    .min(1)
    .optional()
    .describe('As in Kong: cookies that may hold it; looked at after headers.'),
  uri_param_names: z
    .array(text)
    .min(1)
    .optional()
    .describe('As in Kong: query parameters that may hold it; looked at last.'),
  claims_to_verify: timeClaims.optional().describe('As in Kong: the same as `required`.'),
  key_claim_name: z
    .enum(['kid', 'iss'])
    .optional()
    .describe('As in Kong. Changes nothing: `iss` finds the issuer, and `kid` the key, in any case.'),
  anonymous: z
    .null('must be null: who callers without credentials are is said in "auth" of the route')
    .optional()
    .describe('As in Kong; only `null`.'),
}

export const schema = z
  .strictObject({
    ...issuerFields,
    issuers: z
      .array(issuer)
      .min(1)
      .optional()
      .describe(
        'Several issuers in place of one, each with the fields above: `iss` says whose a token is. One may be there twice, with other keys.',
      ),
    ...ruleFields,
    ...aliasFields,
  })
  .superRefine((config, context) => {
    const fault = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    if (config.issuers === undefined) {
      checkKeys(config, context)
    } else {
      for (const key of Object.keys(issuerFields) as (keyof typeof issuerFields)[]) {
        if (config[key] !== undefined) fault([key], 'must stand in an entry of "issuers", when there is such a list')
      }
    }
    for (const key of ['header_names', 'cookie_names', 'uri_param_names'] as const) {
      if (config.from !== undefined && config[key] !== undefined)
        fault([key], 'says the same as "from": use one of them')
    }
    const headers = Object.values(config.claims_to_headers ?? {})
    headers.forEach((name, i) => {
      if (headers.indexOf(name) < i) fault(['claims_to_headers'], `must not tell two claims in one header ("${name}")`)
    })
    if (config.required !== undefined && config.claims_to_verify !== undefined)
      fault(['claims_to_verify'], 'says the same as "required": use one of them')
  })

export type Config = z.output<typeof schema>
