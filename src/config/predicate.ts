import { z } from 'zod'
import { patternFault } from './pattern.ts'

/** What the value of a header field, a query parameter or a cookie must be. */
export interface ValuePredicate {
  /** Any of these; empty: there must be a value, whatever it is. */
  readonly values: readonly string[]
  /** Regular expression, or `null`. */
  readonly pattern: string | null
}

const words = 'must be a string, "~" and a regular expression, "*" for any value, or a list of strings'

const single = z.string()

/** Numbers and `true` are refused: `1.0` would have become `1` before anybody could look at it. */
function isBare(input: unknown): boolean {
  return typeof input === 'number' || typeof input === 'boolean'
}

export const valuePredicate = z
  .union([single, z.array(single).min(1)], {
    error: (issue) => (isBare(issue.input) ? 'must be a string: put it in quotes' : words),
  })
  .transform((value, context): ValuePredicate => {
    if (Array.isArray(value)) {
      const index = value.findIndex((item) => item.startsWith('~'))
      if (index === -1) return { values: value, pattern: null }
      context.addIssue({
        code: 'custom',
        path: [index],
        message: 'must be a plain string within a list: write one regular expression with "|" instead of the list',
      })
      return z.NEVER
    }
    if (value === '*') return { values: [], pattern: null }
    if (!value.startsWith('~')) return { values: [value], pattern: null }
    const fault = patternFault(value.slice(1))
    if (fault === null) return { values: [], pattern: value.slice(1) }
    context.addIssue(fault)
    return z.NEVER
  })
