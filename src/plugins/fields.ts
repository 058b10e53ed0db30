import { z } from 'zod'
import { isFieldValue, isToken } from '../core/headers.ts'
import { parseDuration } from '../core/units.ts'

/** Fields that the schemas of several plugins have in common. */

/** The name of a header field; lower-case once it is parsed. */
export const headerName = z
  .string()
  .refine(isToken, 'must be the name of a header field')
  .transform((name) => name.toLowerCase())

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
