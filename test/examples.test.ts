import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { request } from 'undici'
import { afterEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { formatFault } from '../src/config/fault.ts'
import { loadConfig } from '../src/config/load.ts'
import { startGateway, stopGateways } from './support/gateway.ts'
import { startUpstream, stopUpstreams } from './support/upstream.ts'

const root = join(import.meta.dirname, '..')
const examples = [
  ...foldersOf('src/plugins').map((name) => `src/plugins/${name}/example.yaml`),
  ...foldersOf('examples').map((name) => `examples/${name}/sluice.yaml`),
]

/** As much of a configuration as is looked at here. */
interface Example {
  listeners: { address: string }[]
  admin?: unknown
  workers?: unknown
  routes: { name: string; paths?: string[]; hosts?: string[]; methods?: string[]; upstream?: unknown }[]
}

afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

test('every plugin and every folder of examples/ has one', () => {
  expect(examples.length).toBeGreaterThan(5)
  expect(examples.filter((file) => !existsSync(join(root, file)))).toEqual([])
})

describe.each(examples)('%s', (file) => {
  test('is valid', async () => {
    const result = await loadConfig(join(root, file))
    expect('faults' in result ? result.faults.map(formatFault) : result.warnings.map(formatFault)).toEqual([])
  })

  test('serves its first route', async () => {
    const upstream = await startUpstream()
    const text = readFileSync(join(root, file), 'utf8')
    const example = parse(
      text.replaceAll(/127\.0\.0\.1:(91\d\d|\$\{env:(USERS|ORDERS)_PORT[^}]*\})/g, upstream.address),
    ) as Example
    const gateway = await startGateway(
      {
        ...example,
        listeners: [{ address: '127.0.0.1:0' }],
        admin: '127.0.0.1:0',
        workers: 1,
      },
      { files: modulesBeside(file) },
    )

    const [route] = example.routes
    const { statusCode, headers, body } = await request(gateway.url + pathFor(route?.paths?.[0] ?? '/'), {
      method: (route?.methods?.[0] ?? 'GET') as 'GET',
      headers: { host: route?.hosts?.[0] ?? 'localhost' },
    })
    await body.dump()

    expect(statusCode).toBe(200)
    expect(headers['x-request-id']).toBeTruthy()
    expect(upstream.requests).toBe(route?.upstream === undefined ? 0 : 1)
  })
})

/** Modules in the folder of an example, by relative path: the gateway runs in a folder of its own. */
function modulesBeside(file: string): Record<string, string> {
  const folder = dirname(join(root, file))
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'))
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]))
}

/** A path that the route takes: `/api/*` → `/api/1`, `/users/{id}` → `/users/1`. */
function pathFor(pattern: string): string {
  return pattern.replace('*', '1').replaceAll(/\{[^}]+\}/g, '1')
}

function foldersOf(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
}
