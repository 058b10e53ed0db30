import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Generator } from './load.ts'
import { createFolder, largestResident } from './processes.ts'
import { measureInTurns, type Plan, type Row } from './rounds.ts'
import { type Proxy, startGateway, startOrigin } from './servers.ts'

export interface RoutesResult {
  readonly routes: number
  readonly rows: readonly Row[]
  /** Milliseconds from the start of the process until the worker serves. */
  readonly readyAfter: { readonly one: number; readonly many: number }
  /** Resident memory that each further route costs in the worker, in bytes. */
  readonly bytesPerRoute: number
}

/** The gateway with one route against the gateway with `count`: requests for many different paths, the same for both. */
export async function runRoutes(
  generators: readonly Generator[],
  count: number,
  plan: Plan,
  tell: (text: string) => void,
): Promise<RoutesResult> {
  const origin = await startOrigin()
  const proxies: Proxy[] = []
  try {
    const one = { ...(await startGateway(writeConfig(['/api/*']), origin.port)), name: '1 route' }
    proxies.push(one)
    const paths = Array.from({ length: count }, (_, i) => `/api/svc${i}/*`)
    const many = { ...(await startGateway(writeConfig(paths), origin.port)), name: `${count} routes` }
    proxies.push(many)
    const resident = proxies.map(({ started }) => largestResident(started.process.pid as number)) as [number, number]
    const asked = { ...plan, paths: Array.from({ length: 256 }, (_, i) => `/api/svc${(i * 997) % count}/users/${i}`) }
    const rows: Row[] = []
    for (const generator of generators) rows.push(...(await measureInTurns([many, one], generator, asked, tell)))
    return {
      routes: count,
      rows,
      readyAfter: { one: one.readyAfter, many: many.readyAfter },
      bytesPerRoute: (resident[1] - resident[0]) / (count - 1),
    }
  } finally {
    await Promise.all([...proxies.map(({ started }) => started.stop()), origin.stop()])
  }
}

function writeConfig(paths: readonly string[]): string {
  const file = join(createFolder(), 'sluice.yaml')
  writeFileSync(
    file,
    `version: 1
listeners:
  - address: 127.0.0.1:\${env:BENCH_PORT}
admin:
  address: 127.0.0.1:\${env:BENCH_ADMIN_PORT}
access_log: off
routes:
${paths.map((path, i) => `  - { name: route-${i}, paths: ["${path}"], upstream: backend }\n`).join('')}upstreams:
  - name: backend
    targets:
      - target: 127.0.0.1:\${env:BENCH_ORIGIN_PORT}
`,
  )
  return file
}
