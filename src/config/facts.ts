import type { Fact } from '../core/plugin.ts'
import type { EffectivePlugin } from './effective-plugins.ts'
import type { Route } from './schema.ts'

/**
 * Follows what is known of a request along the chain of a route, and tells of every fact that a plugin needs and that nobody
 * before it provides. Of several authenticating plugins any of which is enough, only what each of them provides is known.
 */
export function followFacts(
  plugins: readonly EffectivePlugin[],
  auth: Route['auth'],
  missing: (effective: EffectivePlugin, fact: Fact) => void,
): void {
  const known = new Set<Fact>(['request_id'])
  const group = auth.match === 'any' || auth.anonymous !== null ? plugins.filter(isAuthenticating) : []
  for (const effective of plugins) {
    const { plugin, entry } = effective
    for (const fact of plugin.requires?.(entry.config) ?? []) if (!known.has(fact)) missing(effective, fact)
    const isOneOfMany = group.includes(effective)
    if (!isOneOfMany) for (const fact of plugin.provides?.(entry.config) ?? []) known.add(fact)
    // The whole group runs in the place of its first.
    if (effective === group[0]) for (const fact of factsOfGroup(group, auth)) known.add(fact)
  }
}

/** Whether nobody gets through these plugins without having proved who it is. */
export function provesIdentity(plugins: readonly EffectivePlugin[], auth: Route['auth']): boolean {
  if (auth.anonymous !== null) return false
  const group = plugins.filter(isAuthenticating)
  const proves = ({ plugin, entry }: EffectivePlugin): boolean =>
    plugin.provides?.(entry.config).includes('consumer') === true
  return group.length > 0 && (auth.match === 'any' ? group.every(proves) : group.some(proves))
}

export function isAuthenticating({ plugin }: EffectivePlugin): boolean {
  return plugin.authenticates === true
}

function factsOfGroup(group: readonly EffectivePlugin[], { match, anonymous }: Route['auth']): readonly Fact[] {
  const lists = group.map(({ plugin, entry }) => plugin.provides?.(entry.config) ?? [])
  // Whoever calls without credentials has a name, and nothing else.
  if (anonymous !== null) return ['consumer']
  const all = [...new Set(lists.flat())]
  return match === 'all' ? all : all.filter((fact) => lists.every((list) => list.includes(fact)))
}
