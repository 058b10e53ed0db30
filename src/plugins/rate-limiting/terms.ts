import type { Shared } from '../../core/plugin.ts'
import type { LimitRule } from './limit.ts'
import type { Config } from './schema.ts'
import { subjectName } from './subject.ts'

/** What rules of one scope must say alike: their limits of the same name count together. */
export function sharedTerms({ scope, limits, tiers, store, strict }: Config): Shared[] {
  if (scope === null) return []
  const where = strict ? `${store}, strict` : store
  const all = new Map<string, LimitRule>()
  // The limits for everybody stand in each tier, too.
  for (const rule of [limits, ...Object.values(tiers)].flat()) all.set(`${rule.tier} ${rule.name}`, rule)
  return [...all.values()].map((rule) => ({
    name: `limit "${rule.name}" of ${rule.tier === '' ? '' : `tier "${rule.tier}" of `}scope "${scope}"`,
    terms: `${termsOf(rule)} (${where})`,
    path: ['scope'],
  }))
}

function termsOf({ by, algorithm, limit, window, calendar, burst, nodelay, ipv6_prefix, observe }: LimitRule): string {
  const span = calendar === null ? `${window}ms` : `${calendar.unit} of ${calendar.time_zone}`
  return [
    `by ${by.map(subjectName).join('+')}`,
    `${limit} per ${span}`,
    algorithm,
    ...(burst > 0 ? [`burst ${burst}`] : []),
    ...(nodelay ? ['nodelay'] : []),
    ...(by.some(({ kind }) => kind === 'ip') ? [`ipv6_prefix ${ipv6_prefix}`] : []),
    ...(observe ? ['observe'] : []),
  ].join(', ')
}
