import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { paramNamesOf } from '../config/check-routes.ts'
import { type EffectivePlugin, effectivePlugins, scopeOf } from '../config/effective-plugins.ts'
import { type PluginRegistry, pluginOf } from '../config/registry.ts'
import { routeRule } from '../config/route-rules.ts'
import type { Config } from '../config/schema.ts'
import { AddressSet } from '../core/address-set.ts'
import type { Consumer, LogContext } from '../core/context.ts'
import type { Deps, KnownConsumer, PluginLog, RouteFacts } from '../core/plugin.ts'
import type { Services } from '../core/services/services.ts'
import { joinLog, joinResponse } from '../proxy/chain.ts'
import { fieldRoles } from '../proxy/fields.ts'
import { compileRouter } from '../proxy/router/trie.ts'
import type { ListenerSettings, Route, Snapshot, Timeouts } from '../proxy/snapshot.ts'
import type { TimeLimits } from '../proxy/time-limit.ts'
import type { Resolver } from '../proxy/upstream/resolver.ts'
import { createUpstreams, type Upstreams } from '../proxy/upstream/upstream.ts'
import type { Keep } from '../services/host.ts'
import type { AccessLog } from '../telemetry/access-log.ts'
import type { WorkerMetrics } from '../telemetry/metrics.ts'
import { type Chain, compileBeforeMatch, compileChain } from './compile-route.ts'
import type { PluginFaults } from './plugin-fault.ts'

/** What a snapshot is compiled with. Most of it outlasts it. */
export interface Workshop {
  readonly metrics: WorkerMetrics
  readonly resolver: Resolver
  readonly log: PluginLog
  readonly timeLimits: TimeLimits
  readonly faults: PluginFaults
  readonly services: Services
  readonly keep: Keep
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
  workshop: Workshop,
  accessLog: AccessLog | null,
  previous: Snapshot | null,
): Snapshot {
  const upstreams = createUpstreams(
    config.upstreams,
    previous?.upstreams ?? null,
    workshop.resolver,
    (upstream, target) => workshop.metrics.targetMetrics(upstream, target),
  )
  const compiler = new Compiler(config, registry, workshop, accessLog, upstreams)
  const rules = config.routes.map((route) => {
    const plugins = effectivePlugins(config, route, registry)
    return routeRule(route, plugins, compiler.route(route, plugins))
  })
  return {
    version,
    beforeMatch: compiler.beforeMatch(),
    router: compileRouter(rules),
    listeners: config.listeners.map(listenerSettings),
    upstreams,
    limits: config.limits,
    trustedProxies: new AddressSet(config.trusted_proxies),
    fieldRoles: fieldRoles(compiler.injected),
    unrouted: compiler.unrouted(),
    serverHeader: serverHeader(config.server_header),
  }
}

/** Makes the routes of one configuration. */
class Compiler {
  /** Request headers that any plugin injects. */
  readonly injected = new Set<string>()
  readonly #config: Config
  readonly #workshop: Workshop
  readonly #accessLog: AccessLog | null
  readonly #upstreams: Upstreams
  readonly #consumers: ReadonlyMap<string, KnownConsumer>
  /** Entries of the top level with a step before the match: their other steps see every request. */
  readonly #early: readonly EffectivePlugin[]

  constructor(
    config: Config,
    registry: PluginRegistry,
    workshop: Workshop,
    accessLog: AccessLog | null,
    upstreams: Upstreams,
  ) {
    this.#config = config
    this.#workshop = workshop
    this.#accessLog = accessLog
    this.#upstreams = upstreams
    this.#consumers = new Map(config.consumers.map((consumer) => [consumer.id, consumer]))
    this.#early = config.plugins.flatMap((entry) => {
      const plugin = pluginOf(registry, entry)
      return plugin?.beforeMatch === undefined || !entry.enabled ? [] : [{ plugin, entry, origin: 'global' as const }]
    })
  }

  route(route: ConfigRoute, plugins: readonly EffectivePlugin[]): Route {
    const { name, methods, upstream } = route
    const facts: RouteFacts = { name, paramNames: paramNamesOf(route), methods, upstream }
    const { match, anonymous } = route.auth
    const auth = { match, anonymous: anonymous === null ? null : this.#anonymous(anonymous) }
    const own = compileChain(plugins, facts, auth, this.#chainServices(facts))
    const early = this.#earlyChain(
      facts,
      this.#early.filter(({ entry }) => !plugins.some((one) => one.entry === entry)),
    )
    for (const name of own.injects) this.injected.add(name)
    const { metrics } = this.#workshop
    return {
      name: route.name,
      access: own.access,
      ...this.#ends([early, own], route.access_log),
      upstream: route.upstream === null ? null : (this.#upstreams.get(route.upstream) ?? null),
      preserveHost: route.preserve_host,
      timeouts: bounded(route.timeouts),
      bodySize: route.body_size ?? this.#config.limits.body_size,
      metrics: metrics.routeMetrics(route.name, route.upstream ?? ''),
    }
  }

  beforeMatch(): Snapshot['beforeMatch'] {
    return compileBeforeMatch(this.#early, this.#chainServices(noRoute))
  }

  /** Requests that match no route are counted and logged as such, never by what the client made up. */
  unrouted(): Route {
    return {
      name: '',
      access: null,
      ...this.#ends([this.#earlyChain(noRoute, this.#early)], this.#config.access_log),
      upstream: null,
      preserveHost: false,
      timeouts: bounded(this.#config.timeouts),
      bodySize: 0,
      metrics: this.#workshop.metrics.routeMetrics('', ''),
    }
  }

  #earlyChain(facts: RouteFacts, plugins: readonly EffectivePlugin[]): Chain {
    return compileChain(plugins, facts, null, this.#chainServices(facts))
  }

  #ends(chains: readonly Chain[], log: { readonly sample: number } | null): Pick<Route, 'response' | 'log'> {
    const present = <T>(steps: readonly (T | null)[]): T[] => steps.filter((step): step is T => step !== null)
    return {
      response: joinResponse(present(chains.map(({ response }) => response))),
      log: joinLog(present([...chains.map((chain) => chain.log), lineWriter(this.#accessLog, log)])),
    }
  }

  #chainServices(facts: RouteFacts): Parameters<typeof compileChain>[3] {
    const { log, timeLimits, faults, services, keep } = this.#workshop
    const depsFor = ({ plugin, origin }: EffectivePlugin): Deps => ({
      route: facts,
      configDir: this.#config.dir,
      global: origin === 'global',
      scope: scopeOf(origin, facts),
      log: namedLog(log, plugin.name, facts.name),
      services,
      consumers: this.#consumers,
      keep,
    })
    const report = faults.report.bind(faults, facts.name)
    return { depsFor, limits: timeLimits, report }
  }

  #anonymous(id: string): Consumer {
    const known = this.#consumers.get(id)
    const unknown = { id, name: null, tier: null, tenant: null, groups: [], roles: [], scopes: [] }
    return { ...(known ?? unknown), credential: null, anonymous: true }
  }
}

const noRoute: RouteFacts = { name: '', paramNames: [], methods: [], upstream: null }

/** Lines of a plugin say who speaks. */
function namedLog(log: PluginLog, plugin: string, route: string): PluginLog {
  return {
    info: (message, fields) => log.info(message, { plugin, route, ...fields }),
    warn: (message, fields) => log.warn(message, { plugin, route, ...fields }),
    error: (message, fields) => log.error(message, { plugin, route, ...fields }),
  }
}

type LogStep = ((ctx: LogContext) => void) | null

/** Also with a sample of 0: what failed is logged all the same. */
function lineWriter(accessLog: AccessLog | null, settings: { readonly sample: number } | null): LogStep {
  if (accessLog === null || settings === null) return null
  const { sample } = settings
  return (ctx) => accessLog.line(ctx, sample)
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
