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
