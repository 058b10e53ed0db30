import type { RouteRule } from '../proxy/router/rule.ts'
import type { EffectivePlugin } from './effective-plugins.ts'
import type { Route } from './schema.ts'

/**
 * A route as the router wants it; `compiled` is what a match brings back. A route that states methods also takes those
 * that its plugins answer by themselves, such as the preflights of cors.
 */
export function routeRule<R>(route: Route, plugins: readonly EffectivePlugin[], compiled: R): RouteRule<R> {
  return {
    name: route.name,
    hosts: route.hosts,
    paths: route.paths,
    methods: route.methods.length === 0 ? route.methods : [...route.methods, ...answeredBy(plugins)],
    headers: route.headers,
    query: route.query,
    cookies: route.cookies,
    contentTypes: route.content_types,
    clientIps: route.client_ips,
    stripPath: route.strip_path,
    route: compiled,
  }
}

function answeredBy(plugins: readonly EffectivePlugin[]): string[] {
  return plugins.flatMap(({ plugin, entry }) => plugin.answers?.(entry.config) ?? [])
}
