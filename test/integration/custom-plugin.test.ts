import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire } from '../support/wire.ts'

let upstream: RawUpstream
let gateway: RunningGateway

/** As an operator would write it: with the package's own exports. */
const tenant = `
import { definePlugin, getHeader, reject, setHeader, z } from 'sluice'

const unknown = reject('route_not_found', { message: 'No such tenant.', headers: ['x-tenant', 'none'] })

export default definePlugin({
  name: 'tenant',
  summary: 'Finds the tenant by the host.',
  class: 'traffic',
  priority: 950,
  schema: z.object({ tenants: z.record(z.string(), z.string()) }),
  injects: () => ['X-Tenant-Name'],
  create({ tenants }, { route, log }) {
    log.info('compiled', { of: route.name })
    return {
      access(ctx) {
        const tenant = tenants[ctx.hostname]
        if (tenant === undefined) return unknown
        setHeader(ctx.headers, 'x-tenant-name', tenant)
        ctx.upstreamPath = '/' + tenant + ctx.path
        ctx.query = 'tenant=' + tenant
        ctx.addResponseHeader('x-served-for', tenant)
        return undefined
      },
      response(ctx) {
        ctx.status = ctx.status === 200 ? 203 : ctx.status
        ctx.responseHeaders.push('x-seen', getHeader(ctx.headers, 'x-tenant-name') ?? 'nobody')
      },
      log(ctx) {
        log.info('over', { status: ctx.status, bytes: ctx.bytesOut })
      },
    }
  },
})
`

/** Waits until a request to /release comes, then does what its configuration says. */
const waiting = `
const held = []
export default {
  name: 'waiting', summary: 'Waits.', class: 'traffic', priority: 100,
  schema: { parse: (config) => config ?? {} },
  create: ({ ending = 'go', releases = false }) => ({
    access(ctx) {
      if (releases) { for (const go of held.splice(0)) go(); return undefined }
      return new Promise((resolve, reject) => held.push(() => {
        if (ending === 'throw') reject(new Error('secret: 127.0.0.1 token'))
        else if (ending === 'refuse') resolve({ status: 402, headers: [], body: 'pay' })
        else { ctx.headers.push('x-waited', 'yes'); resolve(undefined) }
      }))
    },
  }),
}
`

const plugin = (name: string, kind: string, steps: string): string => `
export default {
  name: '${name}', summary: 'Misbehaves.', class: '${kind}', priority: 100,
  schema: { parse: (config) => config },
  create: () => (${steps}),
}
`

const modules = {
  'tenant.js': tenant,
  'waiting.js': waiting,
  'throws.js': plugin('throws', 'traffic', "{ access() { throw new Error('secret: 127.0.0.1 token') } }"),
  'rejects.js': plugin('rejects', 'traffic', "{ async access() { throw new Error('secret: 127.0.0.1 token') } }"),
  'nonsense.js': plugin('nonsense', 'traffic', "{ access: () => 'yes' }"),
  'throws-later.js': plugin('throws-later', 'traffic', "{ response() { throw new Error('secret') } }"),
  'guards-later.js': plugin('guards-later', 'security', "{ response() { throw new Error('secret') } }"),
  'throws-log.js': plugin('throws-log', 'traffic', "{ log() { throw new Error('secret') } }"),
  'never.js': plugin('never', 'traffic', '{ access: () => new Promise(() => {}) }'),
  'guards-never.js': plugin('guards-never', 'security', '{ access: () => new Promise(() => {}) }'),
  'splits.js': plugin('splits', 'traffic', "{ access(ctx) { ctx.headers.push('x-a', 'b\\r\\nX-Smuggled: yes') } }"),
  'empties.js': plugin('empties', 'traffic', '{ response(ctx) { ctx.status = 204 } }'),
  'misnumbers.js': plugin('misnumbers', 'traffic', '{ response(ctx) { ctx.status = 42 } }'),
  'splits-reply.js': plugin(
    'splits-reply',
    'traffic',
    "{ access: () => ({ status: 200, headers: ['x-a', 'b\\r\\n\\r\\nhostile'], body: 'own' }) }",
  ),
  'splits-answer.js': plugin(
    'splits-answer',
    'traffic',
    "{ response(ctx) { ctx.responseHeaders.push('x-a', 'b\\r\\nX-Smuggled: yes') } }",
  ),
}

beforeAll(async () => {
  upstream = await RawUpstream.start()
  const to = `http://${upstream.target}`
  const route = (name: string, entry: object): object => ({
    name,
    paths: [`/${name}`, `/${name}/*`],
    upstream: to,
    plugins: [entry],
  })
  gateway = await startGateway(
    {
      timeouts: { plugins: '20s' },
      routes: [
        route('tenant', { use: './tenant.js', config: { tenants: { 'a.test': 'alpha' } } }),
        route('go', { use: './waiting.js' }),
        route('refuse', { use: './waiting.js', config: { ending: 'refuse' } }),
        route('throw', { use: './waiting.js', config: { ending: 'throw' } }),
        route('release', { use: './waiting.js', config: { releases: true } }),
        ...[
          'throws',
          'rejects',
          'nonsense',
          'throws-later',
          'guards-later',
          'throws-log',
          'splits',
          'splits-answer',
          'splits-reply',
          'empties',
          'misnumbers',
        ].map((name) => route(name, { use: `./${name}.js` })),
        route('late-fail', { use: './never.js', timeout: '100ms' }),
        route('late-skip', { use: './never.js', timeout: '100ms', on_timeout: 'skip' }),
        route('late-guard', { use: './guards-never.js', timeout: '100ms' }),
        route('plain', { name: 'security-headers', config: {} }),
      ],
    },
    { workers: 1, files: modules },
  )
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

function logged(path: string): Promise<Record<string, unknown>> {
  return gateway.waitFor(`the access log line of ${path}`, () =>
    gateway.accessLog().find((line) => line['path'] === path),
  )
}

describe('a plugin of the operator', () => {
  test('changes request and answer, and logs', async () => {
    const response = await call(gateway.port, 'GET /tenant/x?secret=1', ['Host: A.test:80', 'X-Tenant-Name: forged'])
    const arrived = upstream.to('/alpha/tenant/x')[0]
    expect(arrived?.target).toBe('/alpha/tenant/x?tenant=alpha')
    expect(arrived?.all('x-tenant-name')).toEqual(['alpha'])
    expect(response.status).toBe(203)
    expect(response.field('x-served-for')).toBe('alpha')
    expect(response.field('x-seen')).toBe('alpha')
    await gateway.waitForLog('over', { plugin: 'tenant', route: 'tenant', status: 203 })
    await gateway.waitForLog('compiled', { plugin: 'tenant', of: 'tenant' })
  })

  test('refuses with an entry of the catalogue in its own words', async () => {
    const response = await call(gateway.port, 'GET /tenant/x', ['Host: b.test'])
    expect(response.status).toBe(404)
    expect(response.field('x-tenant')).toBe('none')
    expect(JSON.parse(response.body)).toMatchObject({ error: 'route_not_found', message: 'No such tenant.' })
  })

  test('what it injects is removed on routes that it does not run on', async () => {
    await call(gateway.port, 'GET /plain/injected', ['X-Tenant-Name: forged'])
    expect(upstream.to('/plain/injected')[0]?.all('x-tenant-name')).toEqual([])
  })
})

describe('an access step that waits', () => {
  /** Sends a request, makes sure that it waits, and releases it. */
  async function released(path: string, fields: string[] = [], body = ''): Promise<ReturnType<Wire['response']>> {
    const wire = await Wire.open(gateway.port)
    wire.request(`POST ${path}`, [`Content-Length: ${body.length}`, ...fields], body)
    await call(gateway.port, 'GET /plain/between')
    expect(upstream.to(path)).toEqual([])
    await call(gateway.port, 'GET /release')
    const response = await wire.response()
    wire.close()
    return response
  }

  test('holds the request back; then it goes on, its body included', async () => {
    expect((await released('/go/1', [], 'the body'))?.status).toBe(200)
    expect(upstream.to('/go/1')[0]).toMatchObject({ body: 'the body', ending: 'complete' })
    expect(upstream.to('/go/1')[0]?.field('x-waited')).toBe('yes')
  })

  test('a large body waits with it without being read', async () => {
    const body = 'x'.repeat(5_000_000)
    expect((await released('/go/2', [], body))?.status).toBe(200)
    expect(upstream.to('/go/2')[0]).toMatchObject({ bytes: body.length, ending: 'complete' })
  })

  test('a chunked body that came whole in the meantime goes on whole', async () => {
    const wire = await Wire.open(gateway.port)
    wire.request('POST /go/3', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n')
    await call(gateway.port, 'GET /plain/between')
    await call(gateway.port, 'GET /release')
    expect((await wire.response())?.status).toBe(200)
    wire.close()
    expect(upstream.to('/go/3')[0]).toMatchObject({ body: 'hello world', ending: 'complete' })
  })

  test('may refuse in the end', async () => {
    expect(await released('/refuse/1', [], 'body')).toMatchObject({ status: 402, body: 'pay' })
    expect(upstream.to('/refuse/1')).toEqual([])
  })

  test('that rejects is 500', async () => {
    const response = await released('/throw/1', [], 'body')
    expect(response?.status).toBe(500)
    expect(JSON.parse(response?.body ?? '')).toMatchObject({ error: 'plugin_failed' })
    expect(upstream.to('/throw/1')).toEqual([])
  })
})

describe('a step that fails', () => {
  test.each(['throws', 'rejects', 'nonsense'])(
    'in the access phase (%s): 500 without a word of why, the log has it',
    async (name) => {
      const response = await call(gateway.port, `GET /${name}`)
      expect(response.status).toBe(500)
      expect(JSON.parse(response.body)).toMatchObject({ error: 'plugin_failed' })
      expect(response.body).not.toMatch(/secret|token|127\.0\.0\.1|\.js/)
      expect(upstream.to(`/${name}`)).toEqual([])
      expect(await logged(`/${name}`)).toMatchObject({ status: 500, failure: 'plugin_failed', failure_detail: name })
      await gateway.waitFor('its line in the log', () =>
        gateway.logs().find((line) => line['plugin'] === name && line.level === 'error'),
      )
    },
  )

  test('in the response phase: the answer goes out as it is', async () => {
    expect((await call(gateway.port, 'GET /throws-later')).status).toBe(200)
  })

  test('in the response phase of a security plugin: 500', async () => {
    upstream.on('/guards-later', (request) => request.reply('200 OK', ['X-Secret: yes'], 'confidential'))
    const response = await call(gateway.port, 'GET /guards-later')
    expect(response.status).toBe(500)
    expect(response.field('x-secret')).toBeUndefined()
    expect(response.body).not.toContain('confidential')
    expect(await logged('/guards-later')).toMatchObject({ status: 500, failure: 'plugin_failed' })
    // The connection to the upstream, and the worker, are none the worse.
    expect((await call(gateway.port, 'GET /plain/after')).status).toBe(200)
  })

  test('in the log phase: nobody notices', async () => {
    expect((await call(gateway.port, 'GET /throws-log')).status).toBe(200)
    await logged('/throws-log')
  })

  test('line breaks in a request field never reach the upstream', async () => {
    const response = await call(gateway.port, 'GET /splits')
    expect(response.status).toBeGreaterThanOrEqual(500)
    expect(upstream.requests.flatMap((request) => request.all('x-smuggled'))).toEqual([])
  })

  test.each(['splits-answer', 'splits-reply', 'misnumbers'])(
    'an answer that %s never reaches the client',
    async (name) => {
      upstream.on(`/${name}`, (request) => request.reply('200 OK', [], 'confidential'))
      const wire = await Wire.open(gateway.port)
      wire.request(`GET /${name}`)
      const response = await wire.response()
      expect(response?.status).toBe(500)
      expect(response?.field('x-smuggled')).toBeUndefined()
      expect(JSON.parse(response?.body ?? '')).toMatchObject({ error: 'internal_error' })
      wire.request('GET /plain/behind')
      expect((await wire.response())?.status).toBe(200)
      wire.close()
    },
  )

  test('an answer that a step makes one without a body has none, however large it was', async () => {
    const pieces = ['some', 'x'.repeat(1_000_000)]
    upstream.on('/empties', (request) => {
      request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${pieces.join('').length}\r\n\r\n`)
      for (const piece of pieces) request.send(piece)
    })
    const wire = await Wire.open(gateway.port)
    for (let i = 0; i < 3; i++) {
      wire.request('GET /empties')
      expect(await wire.response()).toMatchObject({ status: 204, body: '' })
    }
    wire.close()
  })
})

describe('a time limit of its own', () => {
  test('on_timeout: fail is 504', async () => {
    const response = await call(gateway.port, 'GET /late-fail')
    expect(response.status).toBe(504)
    expect(JSON.parse(response.body)).toMatchObject({ error: 'plugin_timeout' })
    expect(await logged('/late-fail')).toMatchObject({ failure: 'plugin_timeout', failure_detail: 'never' })
    expect(upstream.to('/late-fail')).toEqual([])
  })

  test('on_timeout: skip goes on without it', async () => {
    expect((await call(gateway.port, 'GET /late-skip')).status).toBe(200)
    expect(upstream.to('/late-skip')).toHaveLength(1)
  })

  test('a security plugin fails closed', async () => {
    const response = await call(gateway.port, 'GET /late-guard')
    expect(response.status).toBe(504)
    expect(upstream.to('/late-guard')).toEqual([])
  })

  test('skip is refused for a security plugin', async () => {
    const answer = await gateway.reload({
      timeouts: { plugins: '20s' },
      routes: [
        {
          name: 'guard',
          upstream: `http://${upstream.target}`,
          plugins: [{ use: './guards-never.js', timeout: '100ms', on_timeout: 'skip' }],
        },
      ],
    })
    if (answer.status !== 200) return expect(answer.faults.join()).toContain('on_timeout')
    // Where it is taken, it has no effect.
    expect((await call(gateway.port, 'GET /x')).status).toBe(504)
    expect(upstream.to('/x')).toEqual([])
  })
})
