import { isIP } from 'node:net'
import { type EffectivePlugin, effectivePlugins } from '../config/effective-plugins.ts'
import { isAuthenticating, provesIdentity } from '../config/facts.ts'
import type { Loaded } from '../config/load.ts'
import type { PluginRegistry } from '../config/registry.ts'
import { loadRegistry } from '../config/registry.ts'
import { routeRule } from '../config/route-rules.ts'
import type { Config, Route, Upstream } from '../config/schema.ts'
import { redact } from '../config/secret.ts'
import { type HeaderList, hopByHopHeaders, identityHeaders, isToken } from '../core/headers.ts'
import { hostnameOf } from '../proxy/router/authority.ts'
import { type ExplainedCandidate, explainMatch } from '../proxy/router/explain.ts'
import { isPathFault, normalizePath, validQuery } from '../proxy/router/path.ts'
import { writeExplanation } from './explanation.ts'
import { loadOrTell } from './load.ts'
import type { Output } from './output.ts'

export interface ExplainOptions {
  readonly request: string
  /** `Name: value` each. */
  readonly header: readonly string[]
  readonly clientIp: string
  readonly json: boolean
}

/** A request that might come, and what becomes of it. Secrets are hidden. */
export interface Explained {
  readonly request: { readonly method: string; readonly host: string; readonly path: string; readonly query: string }
  /** Fields that the gateway takes out before the match: only it may set them. */
  readonly dropped: readonly string[]
  readonly route: string | null
  /** The path, as configured, by which the route takes it. */
  readonly pattern: string | null
  readonly params: Readonly<Record<string, string>>
  /** The answer that the gateway gives by itself, or `null`. */
  readonly answer: { readonly status: number; readonly code: string; readonly allow: readonly string[] } | null
  readonly candidates: readonly ExplainedCandidate[]
  /** `null` where no route takes it. */
  readonly identity: ExplainedIdentity | null
  /** In the order in which the request meets them. */
  readonly plugins: readonly ExplainedPlugin[]
  readonly upstream: ExplainedUpstream | null
}

/** Who may come in. */
export interface ExplainedIdentity {
  /** Nobody unknown gets through. */
  readonly required: boolean
  /** The plugins that find out who calls. */
  readonly by: readonly string[]
  /** Whether all of them, or any, must accept the request. */
  readonly match: 'all' | 'any'
  /** Who callers without credentials are. */
  readonly anonymous: string | null
}

export interface ExplainedPlugin {
  readonly name: string
  readonly origin: 'global' | 'upstream' | 'route'
  readonly use: string | null
  readonly timeout: number | null
  readonly on_timeout: 'fail' | 'skip'
  readonly config: unknown
}

export interface ExplainedUpstream extends Pick<Upstream, 'name' | 'protocol' | 'client'> {
  /** Path and query that it gets, unless a plugin changes them. */
  readonly target: string
  readonly targets: readonly { readonly target: string; readonly weight: number }[]
}

/** Says which route a request takes and why, which plugins it meets and which upstream it reaches. */
export async function explain(file: string, url: string, options: ExplainOptions, output: Output): Promise<number> {
  const asked = readRequest(url, options)
  if (typeof asked === 'string') {
    output.err(`error: ${asked}\n`)
    return 2
  }
  const loaded = await loadOrTell(file, output)
  if (loaded === null) return 1
  const explained = explainRequest(loaded, await loadRegistry(loaded.config), asked)
  if (options.json) output.out(`${JSON.stringify(explained, null, 2)}\n`)
  else writeExplanation(explained, output)
  return 0
}

interface Asked {
  readonly method: string
  readonly authority: string
  /** As a client would send it. */
  readonly path: string
  readonly query: string
  readonly headers: HeaderList
  readonly clientIp: string
}

/** The request that the command line means, or what is wrong with it. By hand: `URL` would tidy the path up. */
function readRequest(url: string, { request, header, clientIp }: ExplainOptions): Asked | string {
  const match = /^(?:https?:\/\/([^/?#]*))?(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(url)
  if (match === null) return `"${url}" is neither a URL nor a path`
  if (!isToken(request)) return `"${request}" is no method`
  if (isIP(clientIp) === 0) return `"${clientIp}" is no IP address`
  const headers: HeaderList = []
  let authority = match[1] ?? 'localhost'
  for (const field of header) {
    const colon = field.indexOf(':')
    const name = field.slice(0, colon).trim().toLowerCase()
    if (colon === -1 || !isToken(name)) return `"${field}" is no header field ("Name: value")`
    const value = field.slice(colon + 1).trim()
    if (name === 'host') authority = value
    else headers.push(name, value)
  }
  if (hostnameOf(authority) === '') return `"${authority}" is no host`
  return { method: request, authority, path: match[2] ?? '/', query: match[3] ?? '', headers, clientIp }
}

function explainRequest({ config, secrets }: Loaded, registry: PluginRegistry, asked: Asked): Explained {
  const { method, authority, query, clientIp } = asked
  const { headers, dropped } = withoutReserved(asked.headers, config, registry)
  const policy = config.listeners[0]?.path_policy ?? 'normalize'
  const path = normalizePath(asked.path, policy)
  const nothing = {
    route: null,
    pattern: null,
    params: {},
    candidates: [],
    identity: null,
    plugins: [],
    upstream: null,
  }
  const request = { method, host: authority, path: asked.path, query }

  const code = isPathFault(path) ? path : validQuery(query) ? null : 'bad_path'
  if (code !== null) return { request, dropped, ...nothing, answer: { status: 400, code, allow: [] } }

  const rules = config.routes.map((route) => routeRule(route, effectivePlugins(config, route, registry), null))
  const match = explainMatch(rules, { method, path, query, hostname: hostnameOf(authority), headers, clientIp })
  const { candidates } = match
  const route = config.routes.find(({ name }) => name === match.route)
  if (route === undefined) {
    const allow = match.allowedMethods
    const answer =
      allow === null
        ? { status: 404, code: 'route_not_found', allow: [] }
        : { status: 405, code: 'method_not_allowed', allow }
    return { request: { ...request, path }, dropped, ...nothing, candidates, answer }
  }
  const upstream = config.upstreams.find(({ name }) => name === route.upstream)
  const plugins = effectivePlugins(config, route, registry)
  return {
    request: { ...request, path },
    dropped,
    route: route.name,
    pattern: match.pattern,
    params: Object.fromEntries(match.params.map(({ name, value }) => [name, value])),
    answer: null,
    candidates,
    identity: identityOf(plugins, route),
    plugins: plugins.map(({ entry, origin }) => ({
      name: entry.name,
      origin,
      use: entry.use,
      timeout: entry.timeout,
      on_timeout: entry.on_timeout,
      config: redact(entry.config, secrets),
    })),
    upstream:
      upstream === undefined
        ? null
        : redact(
            {
              name: upstream.name,
              protocol: upstream.protocol,
              client: upstream.client,
              target: `${upstream.path}${match.forwardedPath}${query === '' ? '' : `?${query}`}`,
              targets: upstream.targets.map(({ target, weight }) => ({ target, weight })),
            },
            secrets,
          ),
  }
}

function identityOf(plugins: readonly EffectivePlugin[], { auth }: Route): ExplainedIdentity {
  return {
    required: provesIdentity(plugins, auth),
    by: plugins.filter(isAuthenticating).map(({ entry }) => entry.name),
    match: auth.match,
    anonymous: auth.anonymous,
  }
}

/** What never reaches a route: hop-by-hop fields, and those by which services learn who calls. */
function withoutReserved(
  headers: HeaderList,
  config: Config,
  registry: PluginRegistry,
): { headers: HeaderList; dropped: string[] } {
  const reserved = new Set([...hopByHopHeaders, ...identityHeaders])
  for (const route of config.routes) {
    for (const { plugin, entry } of effectivePlugins(config, route, registry)) {
      for (const name of plugin.injects?.(entry.config) ?? []) reserved.add(name.toLowerCase())
    }
  }
  const kept: HeaderList = []
  const dropped: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (reserved.has(name)) dropped.push(name)
    else kept.push(name, headers[i + 1] as string)
  }
  return { headers: kept, dropped }
}
