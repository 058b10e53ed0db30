import { z } from 'zod'
import { hopByHopHeaders, isFieldValue, isToken } from '../core/headers.ts'
import { parseDuration } from '../core/units.ts'

/** Fields that the schemas of several plugins have in common. */

/** The name of a header field; lower-case once it is parsed. */
export const headerName = z
  .string()
  .refine(isToken, 'must be the name of a header field')
  .transform((name) => name.toLowerCase())

/** Fields of a request that the gateway writes itself (proxy/forward.ts, and the clients for the last two). */
export const gatewayFields: ReadonlySet<string> = new Set([
  ...hopByHopHeaders,
  'host',
  'content-length',
  'expect',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-request-id',
])

/** Clients send these: what a plugin injects is taken away from all of them, on every route. */
const clientFields: ReadonlySet<string> = new Set(['authorization', 'cookie', 'content-type', 'accept', 'user-agent'])

/** The name of a header field by which a plugin tells upstreams who calls; lower-case once it is parsed. */
export const injectedHeader = headerName.superRefine((name, context) => {
  if (gatewayFields.has(name)) context.addIssue(`must not be "${name}": the gateway sets that itself`)
  else if (clientFields.has(name))
    context.addIssue(`must not be "${name}": no client could send it any more, on any route`)
})

/** The value of a header field. */
export const headerValue = z.string().refine(isFieldValue, 'must not hold control characters')

/** A time span that a browser is told in whole seconds; seconds once it is parsed. */
export const seconds = z
  .union([z.string(), z.number()], { error: 'must be a duration such as 10m, 1h or 365d, or a number of seconds' })
  .transform((value, context) => {
    const milliseconds = parseDuration(value)
    if (milliseconds !== null) return Math.floor(milliseconds / 1000)
    context.addIssue('must be a duration such as 10m, 1h or 365d, or a number of seconds')
    return z.NEVER
  })
  .meta({ unit: 'duration' })

/** The longest time span that a timer can hold: 2³¹ − 1 milliseconds. */
const longest = 24 * 86_400_000

/** A time span; milliseconds once it is parsed. At least `min` (1 ms unless told) and at most 24 days. */
export function duration(min: readonly [milliseconds: number, words: string] = [1, '1ms']) {
  const words = 'must be a duration such as 50ms, 10s or 1m, or a number of seconds'
  return z
    .union([z.string(), z.number()], { error: words })
    .transform((value, context) => {
      const milliseconds = parseDuration(value)
      if (milliseconds === null) context.addIssue(words)
      else if (milliseconds < min[0]) context.addIssue(`must be at least ${min[1]}`)
      else if (milliseconds > longest) context.addIssue('must be at most 24d')
      else return milliseconds
      return z.NEVER
    })
    .meta({ unit: 'duration' })
}

/** What a consumer, a group or a tenant is called: logs show it and upstreams are told it in headers. */
export const identityText = z
  .string()
  .min(1)
  .max(256)
  .refine(
    (text) => isFieldValue(text) && text.trim() === text,
    'must not begin or end with space, or hold control characters',
  )

/** A scope as OAuth has them (RFC 6749 §3.3): they are listed with spaces between. */
export const scopeText = identityText.refine(
  (text) => /^[!#-[\]-~]+$/.test(text),
  'must be a scope: visible ASCII characters without space',
)
