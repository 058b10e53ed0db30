import { effectivePlugins } from '../config/effective-plugins.ts'
import { loadRegistry } from '../config/registry.ts'
import { routeRule } from '../config/route-rules.ts'
import { tableOf } from '../proxy/router/explain.ts'
import { loadOrTell } from './load.ts'
import { columns, type Output, styled } from './output.ts'

/** The compiled route table, in the order in which routes are tried. */
export async function routes(file: string, json: boolean, output: Output): Promise<number> {
  const loaded = await loadOrTell(file, output)
  if (loaded === null) return 1
  const { config } = loaded
  const registry = await loadRegistry(config)
  const rules = config.routes.map((route) => routeRule(route, effectivePlugins(config, route, registry), null))
  const upstreamOf = new Map(config.routes.map((route) => [route.name, route.upstream]))
  const lines = tableOf(rules).map((line) => ({
    ...line,
    upstream: upstreamOf.get(line.route) ?? null,
  }))
  if (json) {
    output.out(`${JSON.stringify(lines, null, 2)}\n`)
    return 0
  }
  const rows = lines.map(({ host, path, methods, predicates, route, upstream }) => [
    host ?? '*',
    path,
    methods.length === 0 ? '*' : methods.join(','),
    route,
    upstream ?? '-',
    predicates.join('; '),
  ])
  const [head = '', ...rest] = columns([['HOST', 'PATH', 'METHODS', 'ROUTE', 'UPSTREAM', 'AND'], ...rows]).split('\n')
  output.out(`${styled(output, 'bold', head)}\n${rest.join('\n')}`)
  return 0
}
