import { z } from 'zod'
import { duration } from '../fields.ts'
import { checkKongForm, kongLimits, kongShape } from './kong.ts'
import { type LimitEntry, type LimitRule, limits } from './limit.ts'

/** Most limits of one request: a store tells them apart by the bits of a number. */
const mostLimits = 24

const headerStyle = z.enum(['x-ratelimit', 'per-limit', 'ietf', 'legacy'])

export type HeaderStyle = z.output<typeof headerStyle>

const tier = z.strictObject({
  limits: limits.describe('As at the top of the rule; empty: nothing beyond what that says.'),
})

const shape = z.strictObject({
  limits: limits
    .optional()
    .describe('Any number of limits at once. A request passes when all of them admit it; refused, it uses up none.'),
  tiers: z
    .record(z.string().min(1), tier)
    .optional()
    .describe(
      "Further limits by the consumer's tier: `{ free: { limits: […] }, enterprise: { limits: […] } }`. Each counts for itself.",
    ),
  default_tier: z
    .string()
    .min(1)
    .optional()
    .describe('With `tiers`: the one of consumers that have none, or one that is not there.'),
  scope: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe(
      'Rules with the same scope count together where their limits have the same names, and must then say the same of them ' +
        '(`cost` may differ). Unless said, a route counts for itself, an upstream over all its routes, and the top level ' +
        'over all routes.',
    ),
  store: z
    .enum(['node', 'redis', 'leased'])
    .optional()
    .describe(
      'Where the counters are: `node` (all workers of this node, exact), `redis` (all nodes, exact), `leased` (all nodes; ' +
        'nodes borrow from Redis in slices, so that most requests touch no network). `node` unless said.',
    ),
  strict: z
    .boolean()
    .default(false)
    .describe(
      'With `leased`: admits not one too many. What a node that fell silent had borrowed counts as used; otherwise it comes back, and at most so many are admitted too many. Costs more calls to Redis.',
    ),
  on_store_error: z
    .enum(['allow', 'deny', 'node'])
    .optional()
    .describe(
      'When Redis does not answer in time: let requests pass, refuse them with 503, or count on this node alone; `node` ' +
        'unless said.',
    ),
  timeout: duration().prefault('20ms').describe('How long a request may wait for the store.'),
  headers: z
    .union([headerStyle, z.array(headerStyle).min(1), z.literal('off'), z.literal(false)], {
      error: 'must be x-ratelimit, per-limit, ietf, legacy, a list of these, or off',
    })
    .optional()
    .describe(
      'What clients are told: `x-ratelimit` (`X-RateLimit-Limit`, `-Remaining` and `-Reset`, of the limit that is next to ' +
        "refuse), `per-limit` (the first two for every limit, as Kong's `X-RateLimit-Limit-Minute`), `ietf` (`RateLimit` " +
        'and `RateLimit-Policy` of the IETF draft), `legacy` (`RateLimit-Limit`, … of older drafts), several of these, or ' +
        '`off`. `x-ratelimit` unless said.',
    ),
  status: z.int().min(400).max(599).optional().describe('Status of refusals; 429 unless said.'),
  message: z
    .string()
    .min(1)
    .optional()
    .describe('What refusals say; `{retry_after}` is the number of seconds to wait.'),
  body: z
    .record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()]))
    .optional()
    .describe(
      'Members of a JSON body in place of the usual one: `{ message: API rate limit exceeded, retry_after: "{retry_after}" }`. ' +
        'A value that is only `{retry_after}` becomes a number. `request_id` is added.',
    ),
  mode: z
    .enum(['enforce', 'observe'])
    .default('enforce')
    .describe('`observe`: counts, logs and measures what it would refuse, and refuses nothing.'),
  ...kongShape,
})

type Shape = z.output<typeof shape>

/** The configuration with everything said that was left open. Plain data. */
export interface Config {
  readonly limits: readonly LimitRule[]
  /** All limits of a consumer of that tier, those for everybody among them; empty: no tiers. */
  readonly tiers: Readonly<Record<string, readonly LimitRule[]>>
  readonly default_tier: string
  /** `null`: the place where the rule stands. */
  readonly scope: string | null
  readonly store: 'node' | 'redis' | 'leased'
  readonly strict: boolean
  readonly on_store_error: 'allow' | 'deny' | 'node'
  /** Milliseconds. */
  readonly timeout: number
  readonly headers: readonly HeaderStyle[]
  readonly status: number
  readonly message: string
  readonly body: Readonly<Record<string, string | number | boolean>> | null
}

export const schema = shape.superRefine(check).transform(configOf)

function check(given: Shape, context: z.core.$RefinementCtx<Shape>): void {
  const faultAt = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path, message, input: given })
  const fault = (key: string, message: string): void => faultAt([key], message)
  checkKongForm(given, fault)
  checkTiers(given, fault)
  if (given.strict && given.store !== 'leased') fault('strict', 'goes with "store: leased": the others always are')
  if (given.body !== undefined && 'request_id' in given.body) fault('body', 'has "request_id" without being told')
  checkLimits(given, faultAt)
}

function checkLimits(given: Shape, fault: (path: (string | number)[], message: string) => void): void {
  const own = limitsOf(given)
  const tiers = Object.entries(given.tiers ?? {})
  // A limit with a fault of its own has no name yet.
  if ([own, ...tiers.map(([, tier]) => tier.limits)].flat().some(({ name }) => name === undefined)) return
  if (own.length === 0 && tiers.every(([, { limits: more }]) => more.length === 0)) {
    fault([], 'needs "limits", "tiers", or one of second, minute, hour, day, month and year')
  }
  checkNames(own, [], ['limits'], fault)
  for (const [name, { limits: more }] of tiers) {
    checkNames(more, own, ['tiers', name, 'limits'], fault)
    more.forEach(({ early }, i) => {
      if (early === true)
        fault(['tiers', name, 'limits', i, 'early'], 'must be false: the tier is known after the match')
    })
    if (own.length + more.length > mostLimits) {
      fault(['tiers', name], `has ${own.length + more.length} limits with those for everybody: ${mostLimits} can be`)
    }
  }
}

function checkTiers({ tiers, default_tier }: Shape, fault: (key: string, message: string) => void): void {
  if (tiers === undefined) {
    if (default_tier !== undefined) fault('default_tier', 'goes with "tiers"')
    return
  }
  const names = Object.keys(tiers)
  if (default_tier === undefined) {
    fault('default_tier', 'is required with "tiers": which one are consumers without a known tier?')
  } else if (!names.includes(default_tier)) {
    fault('default_tier', `must be one of the tiers: ${names.join(', ')} (got ${JSON.stringify(default_tier)})`)
  }
}

/** Limits of different tiers may have the same name: no request meets both. */
function checkNames(
  entries: readonly LimitEntry[],
  others: readonly LimitEntry[],
  place: readonly string[],
  fault: (path: (string | number)[], message: string) => void,
): void {
  const taken = new Set(others.map(({ name }) => name.toLowerCase()))
  entries.forEach(({ name }, i) => {
    const key = name.toLowerCase()
    if (taken.has(key))
      fault([...place, i, 'name'], `"${name}" is the name of another limit, too: give this one its own`)
    taken.add(key)
  })
}

function limitsOf(given: Shape): LimitEntry[] {
  return [...(given.limits ?? []), ...kongLimits(given)]
}

function configOf(given: Shape): Config {
  const isShort = given.limits === undefined && given.tiers === undefined
  const isObserved = given.mode === 'observe'
  const settled = (entries: readonly LimitEntry[], tier: string): LimitRule[] =>
    entries.map((entry) => ({ ...entry, observe: entry.observe ?? isObserved, tier }))
  const own = settled(limitsOf(given), '')
  const tiers = Object.entries(given.tiers ?? {}).map(([name, { limits: more }]) => [
    name,
    [...own, ...settled(more, name)],
  ])
  return {
    limits: own,
    tiers: Object.fromEntries(tiers) as Config['tiers'],
    default_tier: given.default_tier ?? '',
    scope: given.scope ?? null,
    store: given.store ?? (given.policy === 'redis' ? 'redis' : 'node'),
    strict: given.strict,
    on_store_error: given.on_store_error ?? toleranceOf(given),
    timeout: given.timeout,
    headers: stylesOf(given, isShort),
    status: given.status ?? given.error_code ?? 429,
    message: given.message ?? given.error_message ?? 'Too many requests. Please retry after {retry_after} seconds.',
    body: given.body ?? null,
  }
}

function toleranceOf({ fault_tolerant }: Shape): Config['on_store_error'] {
  if (fault_tolerant === undefined) return 'node'
  return fault_tolerant ? 'allow' : 'deny'
}

/** Whoever writes Kong's form has clients that read what Kong sends. */
function stylesOf({ headers, hide_client_headers }: Shape, isShort: boolean): HeaderStyle[] {
  if (headers === 'off' || headers === false || hide_client_headers === true) return []
  if (headers === undefined) return isShort ? ['x-ratelimit', 'per-limit'] : ['x-ratelimit']
  return [...new Set(Array.isArray(headers) ? headers : [headers])]
}
