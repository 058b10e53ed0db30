import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { type Loaded, loadConfig } from './load.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-load-'))
afterAll(() => {
  rmSync(dir, { recursive: true })
  vi.unstubAllEnvs()
})

const cases = join(import.meta.dirname, '../../test/config-cases')

async function loadText(text: string): Promise<Loaded> {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, text)
  const result = await loadConfig(file)
  if ('faults' in result) throw new Error(result.faults.map(({ message }) => message).join('\n'))
  return result
}

describe('loadConfig', () => {
  test('resolves everything, and gives back every file', async () => {
    vi.stubEnv('REDIS_URL', 'redis://:hunter2@127.0.0.1:6379/0')
    vi.stubEnv('WORKERS', '2')
    const result = (await loadConfig(join(cases, 'ok-everything.yaml'))) as Loaded
    const { config, files, secrets } = result
    expect(config).toMatchObject({
      dir: cases,
      workers: 2,
      admin: { address: '0.0.0.0:9080', host: '0.0.0.0', port: 9080, token: 'hunter2-from-file' },
      shutdown_timeout: 60_000,
      shutdown_delay: 0,
      trusted_proxies: ['10.0.0.0/8', '192.0.2.1/32', '2001:db8::/32'],
      timeouts: { connect: 500, response: 500, body_idle: 3_600_000, plugins: 2000, total: 60_000 },
      limits: { header_size: 8192, body_size: 0, connections: 0 },
      access_log: { path: join(cases, 'access.log'), sample: 0.5, request_headers: ['user-agent'], query: true },
      server_header: 'sluice',
    })
    expect(config.listeners[1]).toMatchObject({
      address: '[::1]:8443',
      host: '::1',
      body_size: 0,
      tls: {
        min_version: '1.3',
        certificates: [
          { cert: join(cases, 'files/api.crt'), hosts: ['api.example.com', '*.example.org'] },
          { hosts: [] },
        ],
      },
    })
    expect(
      config.plugins.map(({ name, use, timeout, on_timeout, before }) => ({ name, use, timeout, on_timeout, before })),
    ).toEqual([
      { name: 'cors', use: null, timeout: null, on_timeout: 'fail', before: null },
      { name: 'correlation-id', use: null, timeout: 50, on_timeout: 'skip', before: null },
      { name: 'tenant', use: join(cases, 'files/tenant.mjs'), timeout: null, on_timeout: 'fail', before: 'cors' },
    ])
    expect(config.routes[0]).toMatchObject({
      name: 'users',
      hosts: ['api.example.com'],
      headers: [{ name: 'x-version', values: [], pattern: '^v[0-9]+$' }],
      upstream: 'users',
      timeouts: { connect: 500, response: 5000, body_idle: 3_600_000, plugins: 2000, total: 0 },
      body_size: 1_048_576,
      access_log: null,
    })
    expect(config.routes[0]?.plugins).toMatchObject([
      { name: 'cors', enabled: false, config: null },
      // A name that stands for a module used elsewhere.
      { name: 'tenant', use: join(cases, 'files/tenant.mjs'), config: { header: 'x-team' } },
    ])
    expect(config.upstreams[0]).toMatchObject({
      name: 'users',
      targets: [{ target: 'users.internal:443', host: 'users.internal', port: 443, weight: 100 }],
      protocol: 'https',
      path: '/base',
      client: 'undici',
      http2: true,
      tls: { server_name: 'users.internal', verify: true, ca: join(cases, 'files/api.crt') },
      keepalive: { idle_timeout: 10_000, max_idle: 10, max_requests: 1000 },
    })
    expect(files.map((file) => file.slice(cases.length + 1)).sort()).toEqual(
      [
        'ok-everything.yaml',
        'files/api.crt',
        'files/api.key',
        'files/other.crt',
        'files/other.key',
        'files/secret.txt',
        'files/tenant.mjs',
      ].sort(),
    )
    expect([...secrets].sort()).toEqual(['2', 'hunter2-from-file', 'redis://:hunter2@127.0.0.1:6379/0'])
  })

  test('seed style: upstreams of all kinds, names of their own', async () => {
    const { config } = (await loadConfig(join(cases, 'ok-seed-style.yaml'))) as Loaded
    expect(config.routes.map(({ name, upstream }) => [name, upstream])).toEqual([
      ['/api/users/*', 'users-service'],
      ['/api/products/*', 'products-service'],
      ['api.example.com/*', 'http://api-gateway-cluster'],
      ['/api/*', 'http://v2-stack'],
      ['/api/*#2', 'http://canary-stack'],
      ['/api/*#3', 'http://stable-stack'],
      ['/orders/{id}/items', 'weighted'],
    ])
    expect(config.routes[0]?.methods).toEqual(['GET', 'POST', 'PUT', 'DELETE'])
    expect(config.routes[6]).toMatchObject({
      query: [
        { name: 'version', values: ['2'], pattern: null },
        { name: 'trace', values: [], pattern: null },
      ],
      cookies: [{ name: 'canary', values: ['1', 'yes'], pattern: null }],
    })
    expect(config.upstreams.map(({ name }) => name)).toEqual([
      'weighted',
      'users-service',
      'products-service',
      'http://api-gateway-cluster',
      'http://v2-stack',
      'http://canary-stack',
      'http://stable-stack',
    ])
    expect(config.upstreams[0]?.targets.map(({ target, weight }) => [target, weight])).toEqual([
      ['users-v1:3000', 95],
      ['users-v2:3000', 5],
    ])
  })

  test('a route inherits the timeouts that it does not have itself, each for itself', async () => {
    const above = { connect: 1, response: 2, body_idle: 3, plugins: 4, total: 5 }
    for (const key of Object.keys(above)) {
      const { config } = await loadText(
        JSON.stringify({ timeouts: above, routes: [{ upstream: 'http://a', timeouts: { [key]: 9 } }] }),
      )
      const expected = Object.entries({ ...above, [key]: 9 }).map(([name, seconds]) => [name, seconds * 1000])
      expect(config.routes[0]?.timeouts).toEqual(Object.fromEntries(expected))
    }
  })

  test('routes with one URL share an upstream', async () => {
    const { config } = await loadText(
      'routes: [{ paths: [/a], upstream: "http://a:1" }, { paths: [/b], upstream: "http://a:1" }]',
    )
    expect(config.upstreams).toHaveLength(1)
  })

  test('has a default for everything', async () => {
    const { config } = await loadText('routes: [{ upstream: "http://a" }]')
    expect(config.listeners.map(({ address }) => address)).toEqual(['0.0.0.0:8080'])
    expect(config.admin).toEqual({ address: '127.0.0.1:9080', host: '127.0.0.1', port: 9080, token: null })
    expect(config.access_log).toEqual({
      path: 'stdout',
      sample: 1,
      request_headers: [],
      response_headers: [],
      query: false,
    })
    expect(config.routes[0]?.access_log).toEqual({ sample: 1 })
  })

  test.each([
    ['admin: off', { admin: null }],
    ['admin: false', { admin: null }],
    ['admin: "127.0.0.1:1"', { admin: { port: 1, token: null } }],
    ['admin: {}', { admin: { port: 9080 } }],
    ['access_log: off', { access_log: null }],
    ['access_log: false', { access_log: null }],
    ['access_log: stderr', { access_log: { path: 'stderr', sample: 1 } }],
    ['access_log: logs/a', { access_log: { path: join(dir, 'logs/a') } }],
    ['server_header: false', { server_header: 'off' }],
    ['redis: "rediss://r"', { redis: { addresses: [{ host: 'r', port: 6379 }], tls: { verify: true } } }],
    ['redis: "redis://u:p%20w@[::1]:7000/2"', { redis: { username: 'u', password: 'p w', database: 2 } }],
  ])('short forms: %s', async (line, expected) => {
    expect((await loadText(`${line}\nroutes: []`)).config).toMatchObject(expected)
  })

  test('a file that is not there is a fault', async () => {
    expect(await loadConfig(join(dir, 'nope.yaml'))).toMatchObject({
      faults: [{ line: 0, path: '', message: "can't be read: no such file" }],
      files: [join(dir, 'nope.yaml')],
    })
    expect(await loadConfig(dir)).toMatchObject({ faults: [{ message: "can't be read: it is a folder" }] })
  })

  test('what is refused still names the files on which it hangs', async () => {
    expect((await loadConfig(join(cases, 'tls-missing-file.yaml'))).files).toContain(join(cases, 'files/nope.crt'))
  })
})

describe('hash', () => {
  const text = 'plugins: [{ use: ./own.mjs }]\nredis: "${file:url}"\nroutes: [{ upstream: "http://a" }]\n'
  const write = (url: string, summary: string): void => {
    writeFileSync(join(dir, 'url'), url)
    writeFileSync(
      join(dir, 'own.mjs'),
      `export default { name: 'own', summary: '${summary}', class: 'traffic', priority: 1, schema: { parse: (x) => x }, create: () => ({}) }`,
    )
  }

  test('changes with what is said, not with how it is written', async () => {
    write('redis://a', 'one')
    const { hash } = await loadText(text)
    expect((await loadText(`# a comment\n${text}workers:   "auto"\n`)).hash).toBe(hash)
    expect((await loadText(`${text}workers: 1\n`)).hash).not.toBe(hash)
  })

  test('changes with files that it refers to', async () => {
    write('redis://a', 'one')
    const { hash } = await loadText(text)
    write('redis://b', 'one')
    const other = (await loadText(text)).hash
    write('redis://a', 'two')
    expect(new Set([hash, other, (await loadText(text)).hash]).size).toBe(3)
    write('redis://a', 'one')
    expect((await loadText(text)).hash).toBe(hash)
  })
})
