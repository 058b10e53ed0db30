import { z } from 'zod'
import type { LimitAlgorithm } from '../../core/services/limits.ts'
import { parseDuration } from '../../core/units.ts'
import { type CalendarUnit, isTimeZone } from './calendar.ts'
import { type Subject, subjectName, subjects } from './subject.ts'

/** A limit of the configuration, with everything said that was left open there. Plain data. */
export interface LimitRule {
  readonly name: string
  readonly by: readonly Subject[]
  readonly algorithm: LimitAlgorithm
  readonly limit: number
  /** Milliseconds; for calendar windows the longest that one can be. */
  readonly window: number
  readonly calendar: { readonly unit: CalendarUnit; readonly time_zone: string } | null
  readonly burst: number
  readonly nodelay: boolean
  readonly cost: number
  /** Leading bits of an IPv6 address that tell clients apart. */
  readonly ipv6_prefix: number
  /** What a refusal says; `null`: what the rule says. */
  readonly message: string | null
  readonly observe: boolean
  /** Whose limit it is; `''`: everybody's. */
  readonly tier: string
  /** Checked before the route is matched; `null`: not said. */
  readonly early: boolean | null
}

/** What is not said of it is as the rule says. */
export type LimitEntry = Omit<LimitRule, 'observe' | 'tier'> & { readonly observe: boolean | null }

const day = 86_400_000
export const longestOf: Readonly<Record<CalendarUnit, number>> = { day, month: 31 * day, year: 366 * day }
const longestWindow = 366 * day
const shortestWindow = 10
const mostSlots = 24 * 3_600_000

/** Requests that a sliding_log may have to remember under one key. */
const longestLog = 100_000

/** A time span, or one of the calendar. */
export interface Window {
  readonly milliseconds: number
  readonly unit: CalendarUnit | null
}

const windowWords = 'must be a duration such as 1s, 10m or 1h, or day, month or year'

const window = z.union([z.string(), z.number()], { error: windowWords }).transform((value, context): Window => {
  if (value === 'day' || value === 'month' || value === 'year') return { milliseconds: longestOf[value], unit: value }
  const milliseconds = parseDuration(value)
  if (milliseconds === null) context.addIssue(windowWords)
  else if (milliseconds < shortestWindow) context.addIssue(`must be at least ${shortestWindow}ms`)
  else if (milliseconds > longestWindow) context.addIssue('must be at most 366d')
  else return { milliseconds, unit: null }
  return z.NEVER
})

const shape = z.strictObject({
  by: subjects.describe(
    'Who is counted: `ip`, `consumer`, `credential` (each of a consumer for itself), `tenant`, `route`, `route+method`, ' +
      '`upstream`, `header:NAME`, `claim:NAME` (`claim:org.id` for a nested one), `global` (all together), or a list of ' +
      'these as a compound key: `[tenant, route]`. All requests without the header, claim or tenant share one counter.',
  ),
  limit: z.int().min(1).max(1e12).describe('Requests per window; for `concurrency` requests at the same time.'),
  window: window
    .optional()
    .describe(
      '`1s`, `10m`, `1h`; `day`, `month` or `year` for a quota by the calendar. For `concurrency`, where it need not be ' +
        'said: after so long (`60s`) requests of a gateway that is gone no longer count.',
    ),
  time_zone: z
    .string()
    .refine(isTimeZone, 'must be a time zone such as Europe/Berlin or UTC')
    .optional()
    .describe('Whose days, months or years: `Europe/Berlin`. Else `UTC`.'),
  algorithm: z
    .enum(['fixed_window', 'sliding_window', 'sliding_log', 'token_bucket', 'leaky_bucket', 'concurrency'])
    .optional()
    .describe('How is counted; `sliding_window` unless said, for quotas by the calendar `fixed_window`.'),
  burst: z
    .int()
    .min(0)
    .max(1e9)
    .optional()
    .describe(
      '`token_bucket`: how many may come at once, `limit` unless said. `leaky_bucket`: how many may wait for their turn ' +
        '(not longer than `timeouts.plugins`), or with `nodelay` come early; 0 unless said.',
    ),
  nodelay: z.boolean().optional().describe('Only `leaky_bucket`: those who would have to wait pass at once.'),
  cost: z.int().min(1).max(1e9).optional().describe('What one request counts for; 1 unless said.'),
  ipv6_prefix: z
    .int()
    .min(1)
    .max(128)
    .optional()
    .describe('Leading bits of an IPv6 address that count as one client, 64 unless said: a client can have them all.'),
  name: z
    .string()
    .regex(/^[A-Za-z][\w.-]{0,63}$/, 'must be letters, digits and . _ - and begin with a letter')
    .optional()
    .describe('What logs, metrics and headers call it; made from `by` and `window` unless said.'),
  message: z
    .string()
    .min(1)
    .optional()
    .describe('What its refusals say, `{retry_after}` being the seconds to wait; else as the whole rule.'),
  mode: z
    .enum(['enforce', 'observe'])
    .optional()
    .describe(
      '`observe`: counts, logs and measures what it would refuse, and refuses nothing; else as the whole rule.',
    ),
  early: z
    .boolean()
    .optional()
    .describe(
      'In the top-level `plugins`, for `ip` and `global`: whether it is checked before the route is matched, so that ' +
        'requests which match none count, too. Unless said, `ip` is; `global` is where the rule has no limit that must wait ' +
        'for the route, as else a request that such a limit refuses would use up what others are owed.',
    ),
})

type Shape = z.output<typeof shape>

/** One entry of `limits`. */
export const limit = shape.superRefine(checkLimit).transform(limitEntry)

export const limits = z.array(limit).max(24)

function checkLimit(given: Shape, context: z.core.$RefinementCtx<Shape>): void {
  const fault = (key: keyof Shape, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message, input: given[key] })
  const { algorithm: stated, window: span, time_zone, by } = given
  const unit = span?.unit ?? null
  const algorithm = algorithmOf(given)

  if (span === undefined && algorithm !== 'concurrency') fault('window', 'is required')
  if (unit !== null && stated !== undefined && stated !== 'fixed_window') {
    const words = stated === 'concurrency' ? 'means nothing for concurrency' : `needs fixed_window, not ${stated}`
    fault('window', `${JSON.stringify(unit)} ${words}`)
  }
  if (algorithm === 'concurrency' && span !== undefined && unit === null && span.milliseconds > mostSlots) {
    fault('window', 'must be at most 1d for concurrency')
  }
  if (time_zone !== undefined && unit === null) fault('time_zone', 'goes with the windows day, month and year')
  if (given.burst !== undefined && algorithm !== 'token_bucket' && algorithm !== 'leaky_bucket') {
    fault('burst', `goes with token_bucket and leaky_bucket, not with ${algorithm}`)
  }
  if (given.burst === 0 && algorithm === 'token_bucket') fault('burst', 'must be at least 1 for token_bucket')
  if (given.nodelay !== undefined && algorithm !== 'leaky_bucket') {
    fault('nodelay', `goes with leaky_bucket, not with ${algorithm}`)
  }
  if (algorithm === 'sliding_log' && given.limit > longestLog) {
    fault('limit', `must be at most ${longestLog} for sliding_log, which remembers every request: take sliding_window`)
  }
  checkCost(given, algorithm, fault)
  if (given.ipv6_prefix !== undefined && !by.some(({ kind }) => kind === 'ip')) {
    fault('ipv6_prefix', 'goes with "ip"')
  }
  if (given.early === true && !canBeEarly(by)) fault('early', 'goes with "ip" and "global" alone')
}

function checkCost({ cost, limit: most, burst }: Shape, algorithm: LimitAlgorithm, fault: Fault): void {
  if (cost === undefined || cost === 1) return
  if (algorithm === 'concurrency') return fault('cost', 'means nothing for concurrency')
  let capacity = most
  if (algorithm === 'leaky_bucket') capacity = (burst ?? 0) + 1
  else if (algorithm === 'token_bucket') capacity = burst ?? most
  if (cost > capacity) fault('cost', `must be at most ${capacity}, or no request would ever pass`)
}

type Fault = (key: keyof Shape, message: string) => void

function algorithmOf({ algorithm, window: span }: Shape): LimitAlgorithm {
  return algorithm ?? (span !== undefined && span.unit !== null ? 'fixed_window' : 'sliding_window')
}

export function canBeEarly(by: readonly Subject[]): boolean {
  return by.every(({ kind }) => kind === 'ip' || kind === 'global')
}

function limitEntry(given: Shape): LimitEntry {
  const algorithm = algorithmOf(given)
  const { milliseconds, unit } = given.window ?? { milliseconds: 60_000, unit: null }
  return {
    name:
      given.name ?? nameOf(given.by, algorithm === 'concurrency' ? algorithm : (unit ?? durationText(milliseconds))),
    by: given.by,
    algorithm,
    limit: given.limit,
    window: milliseconds,
    calendar: unit === null ? null : { unit, time_zone: given.time_zone ?? 'UTC' },
    burst: given.burst ?? (algorithm === 'token_bucket' ? given.limit : 0),
    nodelay: given.nodelay ?? false,
    cost: given.cost ?? 1,
    ipv6_prefix: given.ipv6_prefix ?? 64,
    message: given.message ?? null,
    observe: given.mode === undefined ? null : given.mode === 'observe',
    early: given.early ?? null,
  }
}

function nameOf(by: readonly Subject[], suffix: string): string {
  const subject = by.map(subjectName).join('-')
  return `${subject.replace(/[^\w.-]+/g, '_').replace(/^[^A-Za-z]*/, '')}-${suffix}`.slice(0, 64)
}

/** `90s`, `5m`, `1h`: the largest unit in which it is a whole number. */
function durationText(milliseconds: number): string {
  const units = [
    ['d', day],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const
  for (const [unit, length] of units) if (milliseconds % length === 0) return `${milliseconds / length}${unit}`
  return `${milliseconds}ms`
}
