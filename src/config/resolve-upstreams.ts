import { resolve as absolutePath } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { formatAddress, parseTarget } from './address.ts'
import type { Path } from './fault.ts'
import { shown } from './issue.ts'
import { didYouMean, nearest } from './nearest.ts'
import type { Report } from './report.ts'
import type { PluginEntry, Target, Upstream, UpstreamTls } from './schema.ts'
import { leftOut, type ReadSettings } from './settings.ts'
import { inlineUpstream, isUrl, parseUpstreamUrl, type UpstreamSettings } from './upstream.ts'

/** The name of the upstream of the n-th route of the settings, `null` where it has none. */
export type UpstreamOf = (route: number) => string | null

/** Told of every upstream that is made; answers with its plugins. */
type Adopt = (upstream: Upstream, place: Path, settings: UpstreamSettings) => PluginEntry[]

/** Makes the upstreams of the file, and one for each URL and each inline upstream of the routes. */
export function resolveUpstreams(
  { settings, routes, upstreams: indexes, left }: ReadSettings,
  dir: string,
  report: Report,
  adopt: Adopt,
): { upstreams: Upstream[]; nameOf: UpstreamOf } {
  const made = new Map<string, { readonly upstream: Upstream; readonly settings: UpstreamSettings }>()
  const make = (name: string, own: UpstreamSettings, place: Path): void => {
    const plugins: PluginEntry[] = []
    const upstream = resolveUpstream(name, own, plugins, dir, place, report)
    made.set(name, { upstream, settings: own })
    plugins.push(...adopt(upstream, place, own))
  }

  settings.upstreams.forEach((own, i) => {
    const place: Path = ['upstreams', indexes[i] as number]
    if (made.has(own.name)) report.fault([...place, 'name'], `upstream "${own.name}" is there twice`)
    else make(own.name, own, place)
    if (![...leftOut(left, 'upstreams', indexes[i] as number)].some((key) => nearest(key, ['url', 'targets']) !== null))
      checkAddress(own, place, report)
  })
  // A name in a faulty entry is meant all the same: routes that use it are fine.
  const known = new Set([...made.keys(), ...intendedNames(report.document.value)])

  const names = settings.routes.map(({ upstream }, i): string | null => {
    const place: Path = ['routes', routes[i] as number, 'upstream']
    if (upstream === undefined) return null
    if (typeof upstream === 'string' && !isUrl(upstream)) {
      if (!known.has(upstream)) report.fault(place, `unknown upstream "${upstream}"${didYouMean(upstream, known)}`)
      return upstream
    }
    if (typeof upstream === 'string') {
      const url = parseUpstreamUrl(upstream)
      if (typeof url === 'string') report.fault(place, `${url} (got ${shown(upstream)})`)
      // Routes with the same URL share its connections.
      else if (!made.has(upstream)) make(upstream, inlineUpstream.parse({ url: upstream }), place)
      return upstream
    }
    const name = upstream.name ?? inlineName(upstream)
    checkAddress(upstream, place, report)
    const same = made.get(name)
    if (same === undefined) make(name, upstream, place)
    else if (!isDeepStrictEqual(same.settings, upstream)) {
      report.fault([...place, 'name'], `upstream "${name}" is there twice, with other settings`)
    }
    return name
  })
  return { upstreams: [...made.values()].map(({ upstream }) => upstream), nameOf: (i) => names[i] ?? null }
}

function checkAddress({ url, targets }: UpstreamSettings, place: Path, report: Report): void {
  if (url === undefined && targets === undefined) report.fault(place, 'needs a "url" or "targets"')
}

function inlineName({ url, targets }: UpstreamSettings): string {
  return url === undefined
    ? (targets ?? []).map(({ target }) => target).join(',')
    : `${url.protocol}://${url.host}:${url.port}${url.path}`
}

function resolveUpstream(
  name: string,
  own: UpstreamSettings,
  plugins: readonly PluginEntry[],
  dir: string,
  place: Path,
  report: Report,
): Upstream {
  const { url, targets, tls, client, http2, pipelining, max_connections, max_waiting, keepalive, max_head_size } = own
  const protocol = url?.protocol ?? own.protocol ?? 'http'
  if (url !== undefined && targets !== undefined)
    report.fault([...place, 'targets'], 'there is a "url" already: only one of them')
  if (url !== undefined && own.protocol !== undefined && own.protocol !== url.protocol) {
    report.fault([...place, 'protocol'], `must be "${url.protocol}", as in the URL (got "${own.protocol}")`)
  }
  if (targets !== undefined && targets.every(({ weight }) => weight === 0)) {
    report.fault([...place, 'targets'], 'must have at least one with a weight above 0')
  }
  if (protocol === 'http' && tls !== undefined) report.fault([...place, 'tls'], 'is only for https')
  if (protocol === 'http' && http2) report.fault([...place, 'http2'], 'is only for https')
  if (client === 'socket' && (protocol === 'https' || http2)) {
    report.fault([...place, 'client'], 'must be "undici" for https (got "socket")')
  }
  if (pipelining > 1 && (client === 'undici' || protocol === 'https')) {
    report.fault([...place, 'pipelining'], 'is only for http, and for the client "socket"')
  }
  if (pipelining > 1 && max_connections < 2) {
    report.fault([...place, 'max_connections'], 'must be at least 2 with "pipelining"')
  }
  if (tls !== undefined && (tls.cert === undefined) !== (tls.key === undefined)) {
    report.fault([...place, 'tls'], 'needs both "cert" and "key", or neither')
  }
  const at = url === undefined ? (targets ?? []).map((one) => resolveTarget(one, protocol)) : [urlTarget(url)]
  at.forEach(({ target }, i) => {
    if (at.findIndex((other) => other.target === target) < i)
      report.fault([...place, 'targets', i, 'target'], `"${target}" is there twice`)
  })
  return {
    name,
    targets: at,
    protocol,
    path: url?.path ?? '',
    client: client ?? (protocol === 'https' ? 'undici' : 'socket'),
    http2,
    pipelining,
    tls: resolveTls(tls, dir),
    max_connections,
    max_waiting,
    keepalive,
    max_head_size,
    plugins,
  }
}

function resolveTarget({ target, weight }: { target: string; weight: number }, protocol: 'http' | 'https'): Target {
  const { host, port } = parseTarget(target, protocol === 'http' ? 80 : 443) as { host: string; port: number }
  return { target: formatAddress({ host, port }), host, port, weight }
}

/** The one target of a URL: its weight is of no consequence. */
function urlTarget({ host, port }: { host: string; port: number }): Target {
  return { target: formatAddress({ host, port }), host, port, weight: 100 }
}

function resolveTls(tls: UpstreamSettings['tls'], dir: string): UpstreamTls {
  const file = (path: string | undefined): string | null => (path === undefined ? null : absolutePath(dir, path))
  return {
    server_name: tls?.server_name ?? null,
    verify: tls?.verify ?? true,
    ca: file(tls?.ca),
    cert: file(tls?.cert),
    key: file(tls?.key),
  }
}

function intendedNames(value: unknown): string[] {
  const list = (value as { upstreams?: unknown }).upstreams
  if (!Array.isArray(list)) return []
  return list.map((item) => (item as { name?: unknown } | null)?.name).filter((name) => typeof name === 'string')
}
