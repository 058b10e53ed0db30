import type { Plugin } from '../core/plugin.ts'
import { type PluginRegistry, pluginOf } from './registry.ts'
import type { Config, PluginEntry, Route } from './schema.ts'

/** Where an entry stands. What stands nearer to the route goes before the rest. */
export type Origin = 'global' | 'upstream' | 'route'

/** A plugin that runs on a route, with the entry that put it there. */
export interface EffectivePlugin {
  readonly plugin: Plugin
  readonly entry: PluginEntry
  readonly origin: Origin
}

/** Names whose entry it is, the same on all routes that have it. */
export function scopeOf(origin: Origin, route: Pick<Route, 'name' | 'upstream'>): string {
  switch (origin) {
    case 'global':
      return 'global'
    case 'upstream':
      return `upstream/${route.upstream}`
    case 'route':
      return `route/${route.name}`
  }
}

/** An entry whose place in the order can't be found. */
export interface PlacementFault {
  readonly entry: PluginEntry
  /** The key that can't be satisfied. */
  readonly key: 'before' | 'after'
  readonly message: string
}

type Sources = Pick<Config, 'plugins' | 'upstreams'>

/** The plugins of a route in the order in which a request meets them. Throws where `arrange` finds faults. */
export function effectivePlugins(
  config: Sources,
  route: Pick<Route, 'plugins' | 'upstream'>,
  registry: PluginRegistry,
): EffectivePlugin[] {
  const { plugins, faults } = arrange(config, route, registry)
  const [fault] = faults
  if (fault !== undefined) throw new Error(`plugin "${fault.entry.name}": ${fault.key}: ${fault.message}`)
  return plugins
}

/** The same, with what is wrong as values. */
export function arrange(
  config: Sources,
  route: Pick<Route, 'plugins' | 'upstream'>,
  registry: PluginRegistry,
): { plugins: EffectivePlugin[]; faults: PlacementFault[] } {
  const chosen = new Map<string, EffectivePlugin>()
  const add = (entries: readonly PluginEntry[], origin: Origin): void => {
    for (const entry of entries) {
      const plugin = pluginOf(registry, entry)
      if (plugin === undefined) throw new Error(`unknown plugin "${entry.name}"`)
      // Deleted first, so that among an operator's own those of the route come last.
      chosen.delete(entry.name)
      chosen.set(entry.name, { plugin, entry, origin })
    }
  }
  add(config.plugins, 'global')
  if (route.upstream !== null) add(upstreamsOf(config).get(route.upstream)?.plugins ?? [], 'upstream')
  add(route.plugins, 'route')
  for (const [name, { entry }] of chosen) if (!entry.enabled) chosen.delete(name)

  const own = [...chosen.values()].map(({ entry }) => entry).filter(({ use }) => use !== null)
  if (own.length === 0) {
    const plugins = registry.builtIn.flatMap(({ name }) => chosen.get(name) ?? [])
    return { plugins, faults: [] }
  }
  const { order, faults } = placeOwn(
    own,
    registry.builtIn.map((plugin) => plugin.name),
  )
  return { plugins: order.flatMap((name) => chosen.get(name) ?? []), faults }
}

/** An operator's own plugins run after all others, but before the one that answers in place of an upstream. */
const last = 'request-termination'

/** Puts an operator's own plugins between the built-in ones, whose order is fixed whether they are there or not. */
export function placeOwn(
  own: readonly PluginEntry[],
  builtIn: readonly string[],
): { order: string[]; faults: PlacementFault[] } {
  const order = [...builtIn]
  const faults: PlacementFault[] = []
  const present = new Set([...builtIn, ...own.map(({ name }) => name)])
  let waiting = own.map((entry) => ({
    entry,
    // An anchor that this route does not have says nothing here.
    before: entry.before !== null && present.has(entry.before) ? entry.before : null,
    after: entry.after !== null && present.has(entry.after) ? entry.after : null,
  }))
  /** For each name those placed directly after it so far: the next one comes after them. */
  const followers = new Map<string, number>()

  while (waiting.length > 0) {
    const blocked = waiting.filter(({ entry, before, after }) => {
      const low = after === null ? -1 : order.indexOf(after)
      const high = before === null ? order.length : order.indexOf(before)
      if ((after !== null && low === -1) || (before !== null && high === -1)) return true
      if (low >= high) {
        faults.push({ entry, key: 'before', message: `"${before}" does not run after "${after}"` })
      } else if (after !== null) {
        const count = followers.get(after) ?? 0
        order.splice(Math.min(low + 1 + count, high), 0, entry.name)
        followers.set(after, count + 1)
      } else {
        const end = order.indexOf(last)
        order.splice(before !== null ? high : end === -1 ? order.length : end, 0, entry.name)
      }
      return false
    })
    if (blocked.length === waiting.length) {
      for (const { entry } of blocked) {
        const key = entry.before === null ? 'after' : 'before'
        faults.push({ entry, key, message: `"${entry.name}" and "${entry[key]}" each wait for the place of the other` })
      }
      break
    }
    waiting = blocked
  }
  return { order, faults }
}

const byName = new WeakMap<Sources['upstreams'], Map<string, Sources['upstreams'][number]>>()

/** Thousands of routes ask: the index is made once per configuration. */
function upstreamsOf({ upstreams }: Sources): Map<string, Sources['upstreams'][number]> {
  let index = byName.get(upstreams)
  if (index === undefined) {
    index = new Map(upstreams.map((upstream) => [upstream.name, upstream]))
    byName.set(upstreams, index)
  }
  return index
}
