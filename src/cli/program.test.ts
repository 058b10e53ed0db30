import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { depsOf } from '../../test/support/plugin.ts'
import { paramNamesOf } from '../config/check-routes.ts'
import { effectivePlugins } from '../config/effective-plugins.ts'
import { type Loaded, loadConfig } from '../config/load.ts'
import { loadRegistry } from '../config/registry.ts'
import { plugins } from '../plugins/index.ts'
import type { Explained } from './explain.ts'
import { runCommand } from './program.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-cli-'))
const file = join(dir, 'sluice.yaml')
const own = join(import.meta.dirname, '../../test/config-cases/files/tenant.mjs')

beforeAll(() => {
  writeFileSync(join(dir, 'secret'), 'hunter2-from-file')
  writeFileSync(
    file,
    `
listeners: [{ address: "127.0.0.1:8080" }]
plugins:
  - cors
  - { use: ${own}, before: cors }
routes:
  - name: users
    hosts: [api.example.com]
    paths: ["/api/users/{id}/*"]
    methods: [GET]
    headers: { X-Version: v2 }
    strip_path: true
    upstream: users
    plugins:
      - { name: request-transformer, config: { add: { headers: ["x-key: \${file:secret}"] } } }
  - name: rest
    paths: ["/api/*"]
    upstream: http://rest.internal:3000/base
  - name: health
    paths: [/healthz]
    methods: [GET]
    plugins: [{ name: request-termination, config: { status_code: 200, body: OK } }]
upstreams:
  - name: users
    targets: [{ target: "users-v1:3000", weight: 95 }, { target: "users-v2:3000", weight: 5 }]
`,
  )
})
afterAll(() => rmSync(dir, { recursive: true }))

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = ''
  let err = ''
  const code = await runCommand(args, {
    out: (text) => (out += text),
    err: (text) => (err += text),
    color: false,
    terminal: false,
  })
  return { code, out: out.replaceAll(`${dir}/`, ''), err: err.replaceAll(`${dir}/`, '') }
}

describe('usage', () => {
  test.each([
    [['chekc'], 'Did you mean check?'],
    [['check', '--confg', 'x'], 'Did you mean --config?'],
    [['check', 'extra'], 'too many arguments'],
    [['explain', '-c', 'x'], "missing required argument 'url'"],
    [['start', '--workers', 'many'], 'It must be a number from 1 to 1024.'],
    [['start', '--workers', '0'], 'It must be a number from 1 to 1024.'],
    [['explain', '-H', 'nonsense', '/'], 'is no header field'],
    [['explain', '-X', 'G T', '/'], 'is no method'],
    [['explain', '--client-ip', 'here', '/'], 'is no IP address'],
    [['explain', 'ftp://a/'], 'is neither a URL nor a path'],
    [['explain', 'http://a b/'], 'is no host'],
    [[], 'Usage: sluice'],
  ])('%j is bad usage', async (args, expected) => {
    const { code, out, err } = await run(...args)
    expect(code).toBe(2)
    expect(out).toBe('')
    expect(err).toContain(expected)
  })

  test('help and version are no errors', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
    expect(await run('check', '--help')).toMatchObject({ code: 0, out: expect.stringContaining('--config <file>') })
  })
})

describe('check', () => {
  test('a good file: one line', async () => {
    expect(await run('check', '-c', file)).toEqual({
      code: 0,
      out: 'sluice.yaml: ok (1 listener, 3 routes, 2 upstreams)\n',
      err: '',
    })
  })
  test('a bad one: every fault, on stderr', async () => {
    const bad = join(dir, 'bad.yaml')
    writeFileSync(bad, 'workers: 0\nroutes:\n  - { name: a, upstrem: b }\n')
    expect(await run('check', '-c', bad)).toEqual({
      code: 1,
      out: '',
      err: [
        'bad.yaml:1:1 workers: must be an integer from 1 to 1024 (got 0)',
        'bad.yaml:3:16 routes[0]: unknown key "upstrem" (did you mean "upstream"?)',
        'bad.yaml: 2 faults\n',
      ].join('\n'),
    })
  })
  test('warnings are told, and are no faults', async () => {
    const odd = join(dir, 'odd.yaml')
    writeFileSync(odd, 'workers: 1\n')
    expect(await run('check', '-c', odd)).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^warning: odd\.yaml:1:1: there are no routes/),
    })
  })
  test('without a file: ./sluice.yaml', async () => {
    expect(await run('check')).toMatchObject({
      code: 1,
      err: expect.stringContaining("sluice.yaml: can't be read: no such file"),
    })
  })
})

describe('routes', () => {
  test('in match order', async () => {
    const { out } = await run('routes', '-c', file)
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['HOST', 'PATH', 'METHODS', 'ROUTE', 'UPSTREAM', 'AND'],
      ['api.example.com', '/api/users/{id}/*', 'GET,OPTIONS', 'users', 'users', 'header x-version: "v2"'],
      ['*', '/healthz', 'GET,OPTIONS', 'health', '-'],
      ['*', '/api/*', '*', 'rest', 'http://rest.internal:3000/base'],
      [''],
    ])
  })
  test('for machines', async () => {
    expect(JSON.parse((await run('routes', '-c', file, '--json')).out)[2]).toEqual({
      host: null,
      path: '/api/*',
      methods: [],
      predicates: [],
      route: 'rest',
      upstream: 'http://rest.internal:3000/base',
    })
  })
})

describe('plugins', () => {
  test('in their order', async () => {
    const lines = JSON.parse((await run('plugins', '--json')).out) as { name: string; order: number }[]
    expect(lines.map(({ name }) => name)).toEqual(plugins.map(({ name }) => name))
    expect(lines.map(({ order }) => order)).toEqual(lines.map((_, i) => i + 1))
  })
  test("with an operator's own in their places", async () => {
    const { out } = await run('plugins', '-c', file)
    const names = out.split('\n').map((line) => line.split(/ {2,}/).slice(1, 4))
    const place = names.findIndex(([name]) => name === 'tenant')
    expect(names[place]).toEqual(['tenant', 'transformation', 'access'])
    expect(names[place + 1]?.[0]).toBe('cors')
  })
  test.each(plugins.map(({ name }) => name))('%s has the phases that are told', async (name) => {
    const example = (await loadConfig(join(import.meta.dirname, `../plugins/${name}/example.yaml`))) as Loaded
    const { config } = example
    const registry = await loadRegistry(config)
    const used = config.routes
      .flatMap((route) => {
        const deps = { ...depsOf({ ...route, paramNames: paramNamesOf(route) }), configDir: config.dir }
        const own = effectivePlugins(config, route, registry).filter(({ plugin }) => plugin.name === name)
        return own.flatMap(({ plugin, entry }) => Object.entries(plugin.create(entry.config, deps)))
      })
      // What holds credentials back belongs to the access phase.
      .filter(([phase, step]) => step !== undefined && phase !== 'withhold')
      .map(([phase]) => phase)
    expect(used).not.toEqual([])
    expect(plugins.find((plugin) => plugin.name === name)?.phases).toEqual(expect.arrayContaining(used))
  })
})

test('schema is JSON', async () => {
  expect(JSON.parse((await run('schema')).out)).toMatchObject({
    type: 'object',
    properties: { routes: { type: 'array' } },
  })
})

describe('explain', () => {
  const explained = async (...args: string[]): Promise<Explained> =>
    JSON.parse((await run('explain', '-c', file, '--json', ...args)).out) as Explained

  test('a match: route, parameters, path sent, plugins, targets', async () => {
    expect(await explained('-H', 'X-Version: v2', 'http://api.example.com:8080/api/users/42/items?x=1')).toMatchObject({
      route: 'users',
      pattern: '/api/users/{id}/*',
      params: { id: '42' },
      answer: null,
      plugins: [
        { name: 'tenant', origin: 'global' },
        { name: 'cors', origin: 'global' },
        { name: 'request-transformer', origin: 'route' },
      ],
      upstream: {
        name: 'users',
        target: '/users/42/items?x=1',
        targets: [
          { target: 'users-v1:3000', weight: 95 },
          { target: 'users-v2:3000', weight: 5 },
        ],
      },
    })
  })

  test('the first predicate that failed', async () => {
    const { route, candidates, upstream } = await explained('-H', 'Host: api.example.com', '/api/users/42/items')
    expect(route).toBe('rest')
    expect(upstream?.target).toBe('/base/api/users/42/items')
    expect(candidates.map(({ route: name, failed }) => [name, failed])).toEqual([
      ['users', 'header x-version: absent'],
      ['health', 'path: /api/users/42/items does not match /healthz'],
      ['rest', null],
    ])
  })

  test('secrets are hidden', async () => {
    const { out } = await run('explain', '-c', file, '-H', 'X-Version: v2', 'http://api.example.com/api/users/42/')
    expect(out).toContain('***')
    expect(out).not.toContain('hunter2')
  })

  test('what clients may not send is no reason for a match', async () => {
    expect((await explained('-H', 'X-Tenant: evil', '-H', 'x-user-id: 1', '-H', 'x-a: b', '/api/')).dropped).toEqual([
      'x-tenant',
      'x-user-id',
    ])
  })

  test.each([
    [['/nowhere'], { status: 404, code: 'route_not_found', allow: [] }],
    [['-X', 'POST', '/healthz'], { status: 405, code: 'method_not_allowed', allow: ['GET', 'OPTIONS', 'HEAD'] }],
    [['/api/../../x'], { status: 400, code: 'ambiguous_path', allow: [] }],
    [['/api/%00'], { status: 400, code: 'bad_path', allow: [] }],
    [['/api/?a b'], { status: 400, code: 'bad_path', allow: [] }],
  ])('%j: the answer of the gateway', async (args, answer) => {
    expect(await explained(...args)).toMatchObject({ route: null, answer, upstream: null })
  })

  test('for people', async () => {
    const { code, out } = await run('explain', '-c', file, '/healthz')
    expect(code).toBe(0)
    expect(out).toMatch(/route +health \(by \/healthz\)/)
    expect(out).toMatch(/callers +anybody/)
    expect(out).toMatch(/✓ {2}health +\/healthz +takes it/)
    expect(out).toContain('none: a plugin answers')
  })

  test('of a large table only what is near is listed', async () => {
    const large = join(dir, 'large.yaml')
    const routes = Array.from(
      { length: 100 },
      (_, i) => `  - { name: r${i}, paths: ["/r${i}/*"], upstream: "http://a" }`,
    )
    writeFileSync(large, `routes:\n${routes.join('\n')}\n`)
    const { out } = await run('explain', '-c', large, '/r7/x')
    expect(out).toMatch(/✓ {2}r7 .*\n {2}and 99 more/)
  })
})
