import { z } from 'zod'
import { isToken } from '../../core/headers.ts'
import { type LimitEntry, longestOf } from './limit.ts'
import type { Subject } from './subject.ts'

const units = ['second', 'minute', 'hour', 'day', 'month', 'year'] as const

type Unit = (typeof units)[number]

const milliseconds: Readonly<Record<Unit, number>> = { second: 1000, minute: 60_000, hour: 3_600_000, ...longestOf }

const count = (unit: Unit) => z.int().min(1).max(1e12).optional().describe(`Kong's form: requests per ${unit}.`)

/** Kong's keys for the connection to Redis. Here there is one for all plugins. */
const elsewhere = ['redis', 'redis_host', 'redis_port', 'redis_password', 'redis_timeout', 'redis_database'] as const

const moved = z.unknown().optional().describe('Not here: the top-level `redis` serves all plugins.')

/** What Kong's users write, beside our own keys. */
export const kongShape = {
  second: count('second'),
  minute: count('minute'),
  hour: count('hour'),
  day: count('day'),
  month: count('month'),
  year: count('year'),
  limit_by: z
    .enum(['consumer', 'credential', 'ip', 'header', 'path', 'service'])
    .optional()
    .describe("Kong's form: who is counted; `consumer` unless said. `service` counts each upstream."),
  header_name: z
    .string()
    .refine(isToken, 'must be the name of a header field')
    .optional()
    .describe("Kong's form: the header for `limit_by: header`."),
  path: z
    .string()
    .startsWith('/')
    .optional()
    .describe("Kong's form: the path for `limit_by: path`; requests for others are counted by address."),
  policy: z.enum(['local', 'redis', 'cluster']).optional().describe("Kong's word for `store`: `local` is `node`."),
  fault_tolerant: z
    .boolean()
    .optional()
    .describe("Kong's word for `on_store_error`: `true` is `allow`, `false` `deny`."),
  error_code: z.int().min(400).max(599).optional().describe("Kong's word for `status`."),
  error_message: z.string().min(1).optional().describe("Kong's word for `message`."),
  hide_client_headers: z.boolean().optional().describe("Kong's word for `headers: off`."),
  sync_rate: z
    .literal(-1)
    .optional()
    .describe("Kong's: always counts at once here; for less exact counting there is `store: leased`."),
  redis: moved,
  redis_host: moved,
  redis_port: moved,
  redis_password: moved,
  redis_timeout: moved,
  redis_database: moved,
}

type KongSettings = { readonly [key in keyof typeof kongShape]?: z.output<(typeof kongShape)[key]> }

/** Our keys, as far as Kong has other words for them. */
interface OwnSettings {
  readonly limits?: unknown
  readonly tiers?: unknown
  readonly store?: unknown
  readonly on_store_error?: unknown
  readonly status?: unknown
  readonly message?: unknown
  readonly headers?: unknown
}

const synonyms = [
  ['policy', 'store'],
  ['fault_tolerant', 'on_store_error'],
  ['error_code', 'status'],
  ['error_message', 'message'],
  ['hide_client_headers', 'headers'],
] as const

/** Tells what of Kong's form contradicts itself, or our own. */
export function checkKongForm(given: KongSettings & OwnSettings, fault: (key: string, message: string) => void): void {
  const counted = units.filter((unit) => given[unit] !== undefined)
  const [first] = counted
  if (first !== undefined && (given.limits !== undefined || given.tiers !== undefined)) {
    fault(first, 'is Kong\'s form: write it into "limits", as there are such')
  }
  for (const [shorter, longer] of pairs(counted, given)) {
    fault(longer, `must be at least what "${shorter}" allows, ${String(given[shorter])}`)
  }
  for (const [theirs, ours] of synonyms) {
    if (given[theirs] !== undefined && given[ours] !== undefined) fault(theirs, `says the same as "${ours}"`)
  }
  if (given.policy === 'cluster') fault('policy', 'must be local or redis: there is no database behind this gateway')
  for (const key of elsewhere) {
    if (given[key] !== undefined) fault(key, 'stands at the top level here, as "redis": one connection for all plugins')
  }
  if (given.limit_by !== undefined && first === undefined) {
    fault('limit_by', 'goes with second, minute, hour, day, month and year; an entry of "limits" has its own "by"')
  }
  if (given.limit_by === 'header' && given.header_name === undefined) fault('header_name', 'is required')
  if (given.limit_by === 'path' && given.path === undefined) fault('path', 'is required')
  if (given.header_name !== undefined && given.limit_by !== 'header')
    fault('header_name', 'goes with "limit_by: header"')
  if (given.path !== undefined && given.limit_by !== 'path') fault('path', 'goes with "limit_by: path"')
}

/** As with Kong, a longer period can't allow less than a shorter one. */
function pairs(counted: readonly Unit[], given: KongSettings): [Unit, Unit][] {
  return counted.flatMap((longer, i): [Unit, Unit][] => {
    const shorter = counted[i - 1]
    return shorter !== undefined && (given[longer] ?? 0) < (given[shorter] ?? 0) ? [[shorter, longer]] : []
  })
}

/** Kong counts in windows of the clock, in UTC. */
export function kongLimits(given: KongSettings): LimitEntry[] {
  const by = subjectsOf(given)
  return units.flatMap((unit): LimitEntry[] => {
    const limit = given[unit]
    if (limit === undefined) return []
    const isCalendar = unit === 'day' || unit === 'month' || unit === 'year'
    return [
      {
        name: unit,
        by,
        algorithm: 'fixed_window',
        limit,
        window: milliseconds[unit],
        calendar: isCalendar ? { unit, time_zone: 'UTC' } : null,
        burst: 0,
        nodelay: false,
        cost: 1,
        ipv6_prefix: 64,
        message: null,
        observe: null,
        early: null,
      },
    ]
  })
}

function subjectsOf({ limit_by, header_name = '', path = '' }: KongSettings): Subject[] {
  switch (limit_by ?? 'consumer') {
    case 'header':
      return [{ kind: 'header', name: header_name.toLowerCase() }]
    case 'path':
      return [{ kind: 'path', path }]
    case 'service':
      return [{ kind: 'upstream' }]
    case 'ip':
      return [{ kind: 'ip' }]
    case 'credential':
      return [{ kind: 'credential' }]
    case 'consumer':
      return [{ kind: 'consumer' }]
  }
}
