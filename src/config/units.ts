import { z } from 'zod'
import { parseDuration, parseSize } from '../core/units.ts'

/** What a timer can hold (2³¹ − 1 ms). */
const longestDuration = 24 * 86_400_000

interface Bounds {
  /** Least and most that is accepted, in milliseconds or bytes, with the words for it: `1ms`. */
  readonly min?: readonly [number, string]
  readonly max?: readonly [number, string]
  /** `0`, `off` and `false` are accepted, too, and mean that there is no limit. */
  readonly off?: boolean
}

const durationWords = 'must be a duration such as 50ms, 10s or 1m, or a number of seconds'
const sizeWords = 'must be a size such as 64kb or 1mb, or a number of bytes'

/** A time span in the configuration; milliseconds once it is parsed. At least 1 ms, at most 24 days unless told. */
export function duration(bounds: Bounds = {}) {
  return amount('duration', parseDuration, durationWords, { min: [1, '1ms'], max: [longestDuration, '24d'], ...bounds })
}

/** A number of bytes in the configuration. */
export function size(bounds: Bounds = {}) {
  return amount('size', parseSize, sizeWords, { min: [1, '1 byte'], ...bounds })
}

function amount(
  type: string,
  parse: (value: string | number) => number | null,
  words: string,
  { min, max, off = false }: Bounds,
) {
  const message = off ? `${words}, or off` : words
  const input = z.union(off ? [z.string(), z.number(), z.literal(false)] : [z.string(), z.number()], { error: message })
  const parsed = input.transform((value, context) => {
    const number = value === false || (off && value === 'off') ? 0 : parse(value)
    if (off && number === 0) return 0
    if (number === null) context.addIssue(message)
    else if (min !== undefined && number < min[0]) context.addIssue(`must be at least ${min[1]}`)
    else if (max !== undefined && number > max[0]) context.addIssue(`must be at most ${max[1]}`)
    else return number
    return z.NEVER
  })
  return parsed.meta({ unit: type, off })
}
