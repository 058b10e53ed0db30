import { ruleFaults } from '../proxy/router/compile.ts'
import { type PathPattern, parsePath } from '../proxy/router/pattern.ts'
import { formatPath, type Path } from './fault.ts'
import { shown, valueAt } from './issue.ts'
import type { Report } from './report.ts'
import type { Resolved } from './resolve.ts'
import { routeRule } from './route-rules.ts'
import type { Route } from './schema.ts'

/** Names, paths and predicates of routes, and whether each can ever match. The routes that no router would take. */
export function checkRoutes({ config, places, left }: Resolved, report: Report): ReadonlySet<Route> {
  const broken = new Set<Route>()
  const names = new Map<string, Path>()
  const claims = new Map<string, Claim>()
  for (const route of config.routes) {
    const place = places.get(route) as Path
    const other = names.get(route.name)
    if (other === undefined) names.set(route.name, place)
    else report.fault([...place, 'name'], `route "${route.name}" is there twice, first as ${formatPath(other)}`)

    const faults = ruleFaults(routeRule(route, [], null))
    if (faults.length > 0) broken.add(route)
    for (const { path, message } of faults) {
      const whole = [...place, ...asWritten(path, place, report)]
      report.fault(whole, `${message} (got ${shown(valueAt(report.document.value, whole))})`)
    }
    if (faults.length === 0) checkStripPath(route, place, report)
    const isWhole = [...predicateKeys].every((key) => left.get(route)?.has(key) !== true)
    if (faults.length === 0 && isWhole) claim(route, place, claims, report)
  }
  if (config.routes.length === 0 && report.faults.length === 0)
    report.warn([], 'there are no routes: every request is answered 404')
  return broken
}

function checkStripPath({ paths, strip_path: prefix }: Route, place: Path, report: Report): void {
  const at = [...place, 'strip_path']
  if (typeof prefix === 'string' && !paths.some((path) => path.startsWith('~') || path.startsWith(prefix))) {
    report.warn(at, `no path of the route begins with "${prefix}": nothing is dropped`)
  } else if (prefix === true && paths.some((path) => path.startsWith('~'))) {
    report.warn(at, 'drops nothing from paths that match a regular expression: give the prefix instead of true')
  }
}

/** What a match depends on. */
const predicateKeys = [
  'hosts',
  'paths',
  'methods',
  'headers',
  'query',
  'cookies',
  'content_types',
  'client_ips',
] as const

interface Claim {
  readonly route: Route
  readonly path: string
}

/** Two routes that match the same requests: the later one never gets any. */
function claim(route: Route, place: Path, claims: Map<string, Claim>, report: Report): void {
  const rest = predicateKeys.slice(2).map((key) => canonical(route[key]))
  route.paths.forEach((path, i) => {
    const hosts = route.hosts.length === 0 ? [''] : route.hosts
    const form = pathForm(parsePath(path))
    const rivals = hosts.map((host) => {
      const key = JSON.stringify([host, form, ...rest])
      const rival = claims.get(key)
      if (rival === undefined) claims.set(key, { route, path })
      return rival
    })
    const [rival] = rivals
    if (rival === undefined || rivals.includes(undefined)) return
    const words =
      rival.route === route
        ? `"${path}" stands here twice`
        : `can never match: route "${rival.route.name}" takes "${rival.path}" with the same hosts, methods and predicates`
    report.fault(
      route.paths.length === 1 && valueAt(report.document.value, [...place, 'paths']) === undefined
        ? place
        : [...place, 'paths', i],
      words,
    )
  })
}

/** Equal for paths that match the same requests: what a parameter is called does not matter. */
function pathForm({ kind, segments, regex }: PathPattern): string {
  return JSON.stringify([kind, segments, regex?.source ?? null])
}

/** Order plays no part in what a predicate demands. */
function canonical(values: Route[(typeof predicateKeys)[number]]): string[] {
  return values
    .map((value) =>
      typeof value === 'string' ? value : JSON.stringify([value.name, [...value.values].sort(), value.pattern]),
    )
    .sort()
}

/** The path of a fault with names of header fields as the file writes them. */
function asWritten(path: Path, place: Path, report: Report): Path {
  const [key, name, ...rest] = path
  if (key !== 'headers' || typeof name !== 'string') return path
  const written = Object.keys((valueAt(report.document.value, [...place, key]) as object | undefined) ?? {})
  return [key, written.find((one) => one.toLowerCase() === name) ?? name, ...rest]
}

/** Names of the parameters that any path of a route captures. */
export function paramNamesOf({ paths }: Pick<Route, 'paths'>): string[] {
  return [...new Set(paths.flatMap((path) => parsePath(path).paramNames))]
}
