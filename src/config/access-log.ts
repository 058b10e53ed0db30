import { z } from 'zod'
import { isToken } from '../core/headers.ts'

/** The name of a header field, lower-case once it is parsed. */
export const headerName = z
  .string()
  .refine(isToken, 'must be the name of a header field')
  .transform((name) => name.toLowerCase())

const sample = z
  .number()
  .min(0)
  .max(1)
  .describe('Share of the requests that are logged, from 0 to 1; failed requests always are.')

const settings = z.strictObject({
  path: z.string().min(1).default('stdout').describe('`stdout`, `stderr`, or a file.'),
  sample: sample.default(1),
  request_headers: z.array(headerName).prefault([]).describe('Request fields to log besides the usual.'),
  response_headers: z.array(headerName).prefault([]).describe('Response fields to log.'),
  query: z.boolean().default(false).describe('Log the values of the query, too.'),
})

export type AccessLogSettings = z.output<typeof settings>

/** The access log: `off`, the path of a file, or an object. */
export const accessLog = z
  .union([settings, z.literal(['off', false]), z.string().min(1)], { error: 'must be off, a path, or a mapping' })
  .transform((value) => {
    if (value === false || value === 'off') return null
    return typeof value === 'string' ? settings.parse({ path: value }) : value
  })

/** The same on a route: `off`, or how many of its requests are logged. */
export const routeAccessLog = z
  .union([z.strictObject({ sample: sample.optional() }), z.literal(['off', false])], {
    error: 'must be off, or a mapping with "sample"',
  })
  .transform((value) => (typeof value === 'object' ? value : null))
