import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { paramNamesOf } from '../config/check-routes.ts'
import { type EffectivePlugin, effectivePlugins } from '../config/effective-plugins.ts'
import type { PluginRegistry } from '../config/registry.ts'
import { routeRule } from '../config/route-rules.ts'
import type { Config } from '../config/schema.ts'
import { AddressSet } from '../core/address-set.ts'
import type { LogContext } from '../core/context.ts'
import type { PluginLog, RouteFacts } from '../core/plugin.ts'
import { fieldRoles } from '../proxy/fields.ts'
import { compileRouter } from '../proxy/router/trie.ts'
import type { ListenerSettings, Route, Snapshot, Timeouts } from '../proxy/snapshot.ts'
import type { TimeLimits } from '../proxy/time-limit.ts'
import type { Resolver } from '../proxy/upstream/resolver.ts'
import { createUpstreams, type Upstreams } from '../proxy/upstream/upstream.ts'
import type { AccessLog } from '../telemetry/access-log.ts'
import type { WorkerMetrics } from '../telemetry/metrics.ts'
import { compileChain } from './compile-route.ts'
import type { PluginFaults } from './plugin-fault.ts'

/** What outlasts a snapshot and is handed into each. */
export interface Services {
  readonly metrics: WorkerMetrics
  readonly resolver: Resolver
  readonly log: PluginLog
  readonly timeLimits: TimeLimits
  readonly faults: PluginFaults
}

type ConfigRoute = Config['routes'][number]

/**
 * Turns a validated configuration into what the request path runs on. Upstream connections of `previous` live on
 * where their settings did not change. Throws what `create` of a plugin throws, and when a file can't be read.
 */
export function compileSnapshot(
  config: Config,
  version: number,
  registry: PluginRegistry,
  services: Services,
  accessLog: AccessLog | null,
  previous: Snapshot | null,
): Snapshot {
  const upstreams = createUpstreams(
    config.upstreams,
    previous?.upstreams ?? null,
    services.resolver,
    (upstream, target) => services.metrics.targetMetrics(upstream, target),
  )
  const injected = new Set<string>()
  const rules = config.routes.map((route) => {
    const plugins = effectivePlugins(config, route, registry)
    return routeRule(route, plugins, compileRoute(config, route, plugins, services, accessLog, upstreams, injected))
  })
  return {
    version,
    router: compileRouter(rules),
    listeners: config.listeners.map(listenerSettings),
    upstreams,
    limits: config.limits,
    trustedProxies: new AddressSet(config.trusted_proxies),
    fieldRoles: fieldRoles(injected),
    unrouted: unroutedRoute(config, services, accessLog),
    serverHeader: serverHeader(config.server_header),
  }
}

function compileRoute(
  config: Config,
  route: ConfigRoute,
  plugins: readonly EffectivePlugin[],
  services: Services,
  accessLog: AccessLog | null,
  upstreams: Upstreams,
  injected: Set<string>,
): Route {
  const facts: RouteFacts = { name: route.name, paramNames: paramNamesOf(route), methods: route.methods }
  const chain = compileChain(plugins, facts, {
    depsFor: ({ name }) => ({ route: facts, configDir: config.dir, log: namedLog(services.log, name, route.name) }),
    limits: services.timeLimits,
    report: (plugin, phase, kind, error) => services.faults.report(route.name, plugin, phase, kind, error),
  })
  for (const name of chain.injects) injected.add(name)
  return {
    name: route.name,
    access: chain.access,
    response: chain.response,
    log: joinLogs(chain.log, lineWriter(accessLog, route.access_log)),
    upstream: route.upstream === null ? null : (upstreams.get(route.upstream) ?? null),
    preserveHost: route.preserve_host,
    timeouts: bounded(route.timeouts),
    bodySize: route.body_size ?? config.limits.body_size,
    metrics: services.metrics.routeMetrics(route.name, route.upstream ?? ''),
  }
}

/** Lines of a plugin say who speaks. */
function namedLog(log: PluginLog, plugin: string, route: string): PluginLog {
  return {
    info: (message, fields) => log.info(message, { plugin, route, ...fields }),
    warn: (message, fields) => log.warn(message, { plugin, route, ...fields }),
    error: (message, fields) => log.error(message, { plugin, route, ...fields }),
  }
}

/** Requests that match no route are counted and logged as such, never by what the client made up. */
function unroutedRoute(config: Config, services: Services, accessLog: AccessLog | null): Route {
  return {
    name: '',
    access: null,
    response: null,
    log: lineWriter(accessLog, config.access_log),
    upstream: null,
    preserveHost: false,
    timeouts: bounded(config.timeouts),
    bodySize: 0,
    metrics: services.metrics.routeMetrics('', ''),
  }
}

type LogStep = ((ctx: LogContext) => void) | null

/** Also with a sample of 0: what failed is logged all the same. */
function lineWriter(accessLog: AccessLog | null, settings: { readonly sample: number } | null): LogStep {
  if (accessLog === null || settings === null) return null
  const { sample } = settings
  return (ctx) => accessLog.line(ctx, sample)
}

function joinLogs(first: LogStep, second: LogStep): LogStep {
  if (first === null) return second
  if (second === null) return first
  return (ctx) => {
    first(ctx)
    second(ctx)
  }
}

/** A limit of 0 means none: Infinity spares the request path the question. */
function bounded(timeouts: Timeouts): Timeouts {
  const orNever = (limit: number): number => (limit === 0 ? Infinity : limit)
  return {
    connect: orNever(timeouts.connect),
    response: orNever(timeouts.response),
    body_idle: orNever(timeouts.body_idle),
    plugins: orNever(timeouts.plugins),
    total: timeouts.total,
  }
}

function serverHeader(setting: string): string | null {
  if (setting === 'pass') return null
  return setting === 'off' ? '' : setting
}

function listenerSettings(listener: Config['listeners'][number]): ListenerSettings {
  const { host, port, tls, path_policy, proxy_protocol, body_size } = listener
  return { host, port, tls, path_policy, proxy_protocol, body_size, fingerprint: fingerprintOf(tls) }
}

/** Names the certificates' bytes: one that was renewed in place opens the listener anew. */
function fingerprintOf(tls: ListenerSettings['tls']): string {
  if (tls === null) return ''
  const hash = createHash('sha256').update(JSON.stringify(tls))
  for (const { cert, key } of tls.certificates) hash.update(readFileSync(cert)).update(readFileSync(key))
  return hash.digest('base64')
}
