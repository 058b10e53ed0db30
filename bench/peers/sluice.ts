import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createFolder } from '../processes.ts'
import { fillConfig, type Proxy, root, startGateway } from '../servers.ts'
import { kept, type Setup } from './peer.ts'

/** The gateway, set up as its peers are: the full chain is told apart by who counts (workloads/fullchain.ts). */
export async function startSluice(setup: Setup, env: Readonly<Record<string, string>> = {}): Promise<Proxy> {
  const { origin, tls, prefixes } = setup
  const file = tls === undefined ? 'passthrough.yaml' : 'tls.yaml'
  const config = prefixes === undefined ? join(root, 'bench/configs', file) : writeRoutes(prefixes)
  const upstream = { BENCH_KEPT: String(setup.kept ?? kept), BENCH_UPSTREAM: String(Math.max(1024, setup.kept ?? 0)) }
  const certificate = tls === undefined ? {} : { BENCH_CERT: tls.cert, BENCH_KEY: tls.key }
  return startGateway(config, origin, { ...upstream, ...certificate, ...env }, null, [], { secure: tls !== undefined })
}

function writeRoutes(prefixes: readonly string[]): string {
  const file = join(createFolder(), 'sluice.yaml')
  const routes = prefixes.map((prefix, i) => `  - { name: route-${i}, paths: ["${prefix}*"], upstream: backend }\n`)
  writeFileSync(file, fillConfig('routes.yaml', { routes: routes.join('') }))
  return file
}
