import { resolve } from 'node:path'
import type { ConfigFault, Deps, PluginLog } from '../core/plugin.ts'
import { servicesAtRest, servicesWithoutRedis } from '../core/services/services.ts'
import { paramNamesOf } from './check-routes.ts'
import { arrange, type EffectivePlugin, scopeOf } from './effective-plugins.ts'
import { followFacts, isAuthenticating, provesIdentity } from './facts.ts'
import type { Path } from './fault.ts'
import { nearest } from './nearest.ts'
import type { PluginRegistry } from './registry.ts'
import type { Report } from './report.ts'
import type { Resolved } from './resolve.ts'
import type { Route } from './schema.ts'

/** The plugin that answers in place of an upstream. */
const terminator = 'request-termination'

const silent: PluginLog = { info() {}, warn() {}, error() {} }

/**
 * The chain of plugins of every route: each in a place of its own, with what it needs from those before it, and made once
 * to see whether it likes its configuration. Those of `broken` routes are not made.
 */
export function checkChains(
  resolved: Resolved,
  broken: ReadonlySet<Route>,
  registry: PluginRegistry,
  report: Report,
): void {
  const { config, places, left } = resolved
  const upstreams = new Map(config.upstreams.map((upstream) => [upstream.name, upstream]))
  const told = new Set<string>()
  const shared = new Map<string, { readonly terms: string; readonly route: string }>()
  for (const route of config.routes) {
    const place = places.get(route) as Path
    const lacks = (key: string): boolean => left.get(route)?.has(key) === true
    const upstream = route.upstream === null ? undefined : upstreams.get(route.upstream)
    const isWhole =
      !resolved.lacksGlobals &&
      !lacks('plugins') &&
      (upstream === undefined || left.get(upstream)?.has('plugins') !== true)

    const { plugins, faults } = arrange(config, route, registry)
    for (const { entry, key, message } of faults) report.fault([...(places.get(entry) as Path), key], message)

    const answers = plugins.some(({ entry }) => entry.name === terminator)
    const isMeant = [...(left.get(route) ?? [])].some((key) => nearest(key, ['upstream', 'plugins']) !== null)
    if (route.upstream === null && !answers && !isMeant && isWhole) {
      report.fault(place, `needs an "upstream", or the plugin ${terminator}`)
    }
    if (isWhole) {
      checkFacts(plugins, route, resolved, report)
      checkIdentity(plugins, route, resolved, report)
    }
    if (broken.has(route)) continue
    const deps: Deps = {
      route: { name: route.name, paramNames: paramNamesOf(route), methods: route.methods, upstream: route.upstream },
      configDir: config.dir,
      global: false,
      scope: '',
      log: silent,
      services: config.redis === null ? servicesWithoutRedis : servicesAtRest,
      consumers: new Map(config.consumers.map((consumer) => [consumer.id, consumer])),
      keep: (_key, make) => make(),
    }
    for (const effective of plugins) {
      checkShared(effective, route.name, shared, resolved, report)
      tryOut(effective, deps, resolved, report, told)
    }
  }
}

/** Two entries that name the same must say the same of it. */
function checkShared(
  { plugin, entry }: EffectivePlugin,
  route: string,
  known: Map<string, { readonly terms: string; readonly route: string }>,
  { places }: Resolved,
  report: Report,
): void {
  for (const { name, terms, path } of plugin.shares?.(entry.config) ?? []) {
    const key = `${entry.name} ${name}`
    const first = known.get(key)
    if (first === undefined) known.set(key, { terms, route })
    else if (first.terms !== terms) {
      const words = `says of ${name} what route "${first.route}" does not: ${terms}; there ${first.terms}`
      report.fault([...(places.get(entry) as Path), 'config', ...path], words)
    }
  }
}

function checkFacts(plugins: readonly EffectivePlugin[], route: Route, { places }: Resolved, report: Report): void {
  const place = (effective: EffectivePlugin): Path => places.get(effective.entry) as Path
  try {
    followFacts(plugins, route.auth, (effective, fact) =>
      report.fault(
        place(effective),
        `${effective.entry.name} needs "${fact}", which no plugin before it on route "${route.name}" provides`,
      ),
    )
  } catch (error) {
    report.fault(places.get(route) as Path, `a plugin failed: ${(error as Error).message}`)
  }
}

/** Who must prove who they are, and before what. */
function checkIdentity(
  plugins: readonly EffectivePlugin[],
  route: Route,
  { config, places }: Resolved,
  report: Report,
): void {
  const place = places.get(route) as Path
  if (config.security.require_auth && !route.public && !provesIdentity(plugins, route.auth)) {
    report.fault(
      place,
      `route "${route.name}" lets anybody in, which security.require_auth forbids: add an authenticating plugin, or say "public: true"`,
    )
  }
  if (route.auth.anonymous !== null && !plugins.some(isAuthenticating)) {
    report.fault([...place, 'auth', 'anonymous'], 'means nothing without an authenticating plugin')
  }
  const firstCache = plugins.findIndex(({ plugin }) => plugin.caches === true)
  const late = firstCache === -1 ? undefined : plugins.slice(firstCache).find(isAuthenticating)
  if (late !== undefined) {
    const cache = plugins[firstCache]?.entry.name
    report.fault(
      places.get(late.entry) as Path,
      `${late.entry.name} must run before "${cache}", which answers from a cache`,
    )
  }
}

/** Runs `create`, which sees what a schema can't. A plugin of many routes has its say once. */
function tryOut(
  { plugin, entry, origin }: EffectivePlugin,
  deps: Deps,
  { config, places }: Resolved,
  report: Report,
  told: Set<string>,
): void {
  try {
    for (const file of plugin.files?.(entry.config) ?? []) report.files.add(resolve(config.dir, file))
    const own = { ...deps, global: origin === 'global', scope: scopeOf(origin, deps.route) }
    plugin.create(entry.config, own)
    if (origin === 'global') plugin.beforeMatch?.(entry.config, own)
  } catch (error) {
    const place = places.get(entry) as Path
    const where = isConfigFault(error) ? [...place, 'config', ...error.path] : place
    const message = isConfigFault(error) ? error.message : `${entry.name} failed: ${(error as Error).message}`
    const words = origin === 'route' ? message : `${message} (route "${deps.route.name}")`
    const key = JSON.stringify([where, message])
    if (!told.has(key)) report.fault(where, words)
    told.add(key)
  }
}

/** By its name: an operator's module may bring a copy of the class. */
function isConfigFault(error: unknown): error is ConfigFault {
  return error instanceof Error && error.name === 'ConfigFault' && 'path' in error && Array.isArray(error.path)
}
