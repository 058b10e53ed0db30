import { resolve as absolutePath } from 'node:path'
import { formatAddress } from './address.ts'
import { resolveConsumers } from './consumers.ts'
import { formatPath, type Path } from './fault.ts'
import type { ValuePredicate } from './predicate.ts'
import { resolveRedis } from './redis.ts'
import type { Report } from './report.ts'
import { resolveUpstreams, type UpstreamOf } from './resolve-upstreams.ts'
import type { RouteSettings } from './route.ts'
import type { Admin, Config, FieldPredicate, Listener, PluginEntry, Route, Settings } from './schema.ts'
import { resolveSecurity } from './security.ts'
import { leftOut, type ReadSettings } from './settings.ts'

/** A configuration whose parts know where in the file they come from. */
export interface Resolved {
  readonly config: Config
  /** Of routes, upstreams and plugin entries. */
  readonly places: ReadonlyMap<object, Path>
  /** Routes and upstreams of which a part was left out, with these keys; `plugins` also where an entry has a fault. */
  readonly left: ReadonlyMap<object, ReadonlySet<string>>
  /** Entries at the top level were left out. */
  readonly lacksGlobals: boolean
}

/** Resolves names, paths and inheritance. What can't be resolved goes into the report. */
export function resolve(
  read: ReadSettings,
  entries: ReadonlyMap<string, PluginEntry>,
  dir: string,
  report: Report,
): Resolved {
  const { settings } = read
  const places = new Map<object, Path>()
  const left = new Map<object, Set<string>>()

  const entriesAt = (place: Path, count: number, owner: object | null): PluginEntry[] => {
    const list: PluginEntry[] = []
    for (let i = 0; i < count; i++) {
      const entry = entries.get(formatPath([...place, i]))
      if (entry !== undefined) {
        places.set(entry, [...place, i])
        list.push(entry)
      } else if (owner !== null) {
        left.get(owner)?.add('plugins')
      }
    }
    return list
  }

  const { upstreams, nameOf } = resolveUpstreams(read, dir, report, (upstream, place, settingsOf) => {
    places.set(upstream, place)
    const inFile = place[0] === 'upstreams' ? leftOut(read.left, 'upstreams', place[1] as number) : new Set<string>()
    left.set(upstream, inFile)
    return entriesAt([...place, 'plugins'], settingsOf.plugins.length, upstream)
  })

  const names = routeNames(settings.routes)
  const routes = settings.routes.map((route, i): Route => {
    const index = read.routes[i] as number
    const place: Path = ['routes', index]
    const plugins: PluginEntry[] = []
    const resolved = resolveRoute(route, names[i] as string, nameOf(i), settings, plugins)
    places.set(resolved, place)
    left.set(resolved, leftOut(read.left, 'routes', index))
    plugins.push(...entriesAt([...place, 'plugins'], route.plugins.length, resolved))
    return resolved
  })

  const globals = entriesAt(['plugins'], settings.plugins.length, null)
  const config: Config = {
    version: 1,
    dir,
    listeners: settings.listeners.map((listener) => resolveListener(listener, dir)),
    admin: resolveAdmin(settings.admin),
    workers: settings.workers,
    shutdown_timeout: settings.shutdown_timeout,
    shutdown_delay: settings.shutdown_delay,
    trusted_proxies: settings.trusted_proxies,
    redis: resolveRedis(settings.redis, dir),
    timeouts: settings.timeouts,
    limits: settings.limits,
    access_log: resolveAccessLog(settings.access_log, dir),
    server_header: settings.server_header,
    security: resolveSecurity(settings.security, dir),
    consumers: resolveConsumers(settings.consumers, report),
    plugins: globals,
    routes,
    upstreams,
  }
  const lacksGlobals = read.left.has('plugins') || globals.length < settings.plugins.length
  return { config, places, left, lacksGlobals }
}

function resolveListener({ address, tls, body_size, ...rest }: Settings['listeners'][number], dir: string): Listener {
  return {
    address: formatAddress(address),
    host: address.host,
    port: address.port,
    tls:
      tls === undefined
        ? null
        : {
            certificates: tls.certificates.map(({ cert, key, hosts }) => ({
              cert: absolutePath(dir, cert),
              key: absolutePath(dir, key),
              hosts,
            })),
            min_version: tls.min_version,
          },
    body_size: body_size ?? null,
    ...rest,
  }
}

function resolveAdmin(admin: Settings['admin']): Admin | null {
  if (admin === 'off' || admin === false) return null
  const { address } = admin
  return {
    address: formatAddress(address),
    host: address.host,
    port: address.port,
    token: ('token' in admin ? admin.token : undefined) ?? null,
  }
}

function resolveAccessLog(settings: Settings['access_log'], dir: string): Config['access_log'] {
  if (settings === null) return null
  const { path } = settings
  return { ...settings, path: path === 'stdout' || path === 'stderr' ? path : absolutePath(dir, path) }
}

function resolveRoute(
  route: RouteSettings,
  name: string,
  upstream: ReturnType<UpstreamOf>,
  settings: Settings,
  plugins: readonly PluginEntry[],
): Route {
  return {
    name,
    hosts: [...new Set(route.hosts)],
    paths: route.paths,
    methods: [...new Set(route.methods)],
    headers: fieldPredicates(route.headers),
    query: fieldPredicates(route.query),
    cookies: fieldPredicates(route.cookies),
    content_types: route.content_types,
    client_ips: route.client_ips,
    strip_path: route.strip_path,
    preserve_host: route.preserve_host,
    upstream,
    timeouts: inherit(settings.timeouts, route.timeouts),
    body_size: route.body_size ?? null,
    access_log: routeLog(route.access_log, settings.access_log),
    plugins,
    auth: { match: route.auth.match, anonymous: route.auth.anonymous ?? null },
    public: route.public,
  }
}

function fieldPredicates(record: Record<string, ValuePredicate>): FieldPredicate[] {
  return Object.entries(record).map(([name, { values, pattern }]) => ({ name, values, pattern }))
}

function inherit(above: Settings['timeouts'], own: RouteSettings['timeouts']): Settings['timeouts'] {
  const { connect, response, body_idle, plugins, total } = own
  return {
    connect: connect ?? above.connect,
    response: response ?? above.response,
    body_idle: body_idle ?? above.body_idle,
    plugins: plugins ?? above.plugins,
    total: total ?? above.total,
  }
}

function routeLog(own: RouteSettings['access_log'], above: Settings['access_log']): Route['access_log'] {
  if (above === null || own === null) return null
  return { sample: own?.sample ?? above.sample }
}

/** The names of all routes; who has none is called after its first host and path, numbered where that is taken. */
function routeNames(routes: readonly RouteSettings[]): string[] {
  const taken = new Set(routes.map((route) => route.name))
  return routes.map(({ name, hosts, paths }) => {
    if (name !== undefined) return name
    const plain = `${hosts[0] ?? ''}${paths[0] ?? ''}`
    let free = plain
    for (let i = 2; taken.has(free); i++) free = `${plain}#${i}`
    taken.add(free)
    return free
  })
}
