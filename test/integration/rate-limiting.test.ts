import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type ArrivedRequest, RawUpstream } from '../support/raw-upstream.ts'
import { type RedisServer, startRedis, stopRedis } from '../support/redis.ts'
import { call, Wire, type WireResponse } from '../support/wire.ts'

let upstream: RawUpstream
let redis: RedisServer

beforeAll(async () => {
  upstream = await RawUpstream.start()
  redis = await startRedis()
})

afterEach(async () => {
  await stopGateways()
  upstream.answers.clear()
})

afterAll(async () => {
  await stopRedis()
  await upstream.stop()
})

/** Believes what callers say of themselves. */
const who = `
export default {
  name: 'who', summary: 'Believes callers.', class: 'security', priority: 1000, authenticates: true,
  schema: { parse: (config) => config ?? {} },
  provides: () => ['consumer', 'claims'],
  create: () => ({
    access: (ctx) => {
      const said = (name) => ctx.headers[ctx.headers.indexOf(name) + 1]
      const [id, tenant, tier] = said('x-who').split(',')
      ctx.consumer = {
        id, tenant, tier, name: null, groups: [], roles: [], scopes: [], credential: null, anonymous: false,
      }
      ctx.claims = { sub: id }
    },
  }),
}
`

/** A limit that nothing is given back to while a test runs. */
const lasting = { window: '1h', algorithm: 'sliding_log' }

interface Options {
  /** Of the route's own entry; `null`: it has none. */
  readonly rule: object | null
  readonly global?: object
  readonly known?: boolean
  readonly workers?: number
}

function configOf({ rule, global, known }: Options): object {
  return {
    redis: redis.url,
    ...(global === undefined ? {} : { plugins: [{ name: 'rate-limiting', config: global }] }),
    routes: [
      {
        name: 'api',
        paths: ['/api/*'],
        upstream: 'service',
        plugins: [
          ...(known === true ? [{ use: './who.js', before: 'rate-limiting' }] : []),
          ...(rule === null ? [] : [{ name: 'rate-limiting', config: rule }]),
        ],
      },
      { name: 'open', paths: ['/open/*'], upstream: 'service' },
    ],
    upstreams: [{ name: 'service', targets: [{ target: upstream.target }] }],
  }
}

function start(options: Options): Promise<RunningGateway> {
  return startGateway(configOf(options), { workers: options.workers ?? 2, files: { 'who.js': who } })
}

/** So many requests one after the other, each on a connection of its own: any worker may get it. */
async function send(
  gateway: RunningGateway,
  count: number,
  path = '/api/a',
  fields: readonly string[] = [],
): Promise<WireResponse[]> {
  const answers: WireResponse[] = []
  for (let i = 0; i < count; i++) answers.push(await call(gateway.port, `GET ${path}`, fields))
  return answers
}

const statuses = (answers: readonly WireResponse[]): number[] => answers.map(({ status }) => status)
const passed = (answers: readonly WireResponse[]): number => answers.filter(({ status }) => status === 200).length

/** The line of the access log of each of the answers. */
function logged(gateway: RunningGateway, answer: WireResponse): Promise<Record<string, unknown>> {
  const id = answer.field('x-request-id')
  return gateway.waitFor(`the line of ${id}`, () => gateway.accessLog().find((line) => line['request_id'] === id))
}

describe.each(['node', 'redis', 'leased'])('counted by %s', (store) => {
  test('a limit holds over all workers, and says so', async () => {
    upstream.on('/api/a', (request) => request.reply('200 OK', ['X-RateLimit-Limit: 7', 'X-RateLimit-Other: 1']))
    // Counters of Redis outlive a gateway: each test has a scope of its own.
    const limits = [{ by: 'ip', limit: 10, ...lasting, name: 'address' }]
    const gateway = await start({ rule: { store, scope: `holds-${store}`, limits, timeout: '2s' } })
    const answers = await send(gateway, 14)
    expect(statuses(answers)).toEqual([...Array.from({ length: 10 }, () => 200), 429, 429, 429, 429])
    expect(answers.every((answer) => answer.field('x-ratelimit-limit') === '10')).toBe(true)
    expect(answers[0]?.field('x-ratelimit-other')).toBeUndefined()
    const [first, last] = [answers[0] as WireResponse, answers[13] as WireResponse]
    expect(Number(first.field('x-ratelimit-remaining'))).toBeLessThanOrEqual(9)
    expect(last.field('x-ratelimit-remaining')).toBe('0')
    const reset = Number(last.field('x-ratelimit-reset')) - Date.now() / 1000
    expect(reset).toBeGreaterThan(3500)
    expect(reset).toBeLessThan(3602)
    const seconds = last.field('retry-after')
    expect(Number(seconds)).toBeGreaterThan(3500)
    expect(JSON.parse(last.body)).toEqual({
      error: 'rate_limit_exceeded',
      message: `Too many requests. Please retry after ${seconds} seconds.`,
      request_id: last.field('x-request-id'),
    })
    expect(await logged(gateway, last)).toMatchObject({ status: 429, failure: 'rate_limit_exceeded', limit: 'address' })
    expect(await logged(gateway, first)).not.toHaveProperty('limit')
    const metrics = await gateway.metrics()
    expect(metrics).toContain('sluice_limit_checks_total{route="api",limit="address"} 14\n')
    expect(metrics).toContain('sluice_limit_refusals_total{route="api",limit="address"} 4\n')
    expect(metrics).toContain('sluice_limit_would_refuse_total{route="api",limit="address"} 0\n')
  })

  test('who waits as long as told is admitted', async () => {
    const algorithms = ['fixed_window', 'sliding_window', 'sliding_log', 'token_bucket', 'leaky_bucket']
    const routes = algorithms.map((algorithm) => {
      const rate = algorithm === 'leaky_bucket' ? { limit: 1, burst: 1, nodelay: true } : { limit: 2 }
      const limits = [{ by: 'ip', window: '1500ms', algorithm, ...rate }]
      const config = { store, scope: `wait-${store}-${algorithm}`, limits, timeout: '2s' }
      const plugins = [{ name: 'rate-limiting', config }]
      return { name: algorithm, paths: [`/${algorithm}`], upstream: 'service', plugins }
    })
    const gateway = await startGateway({ ...configOf({ rule: null }), routes }, { workers: 1 })
    const waited = algorithms.map(async (algorithm) => {
      let refusal: WireResponse | undefined
      for (let tries = 0; refusal === undefined && tries < 20; tries++) {
        refusal = (await send(gateway, 3, `/${algorithm}`)).find(({ status }) => status === 429)
      }
      const seconds = Number(refusal?.field('retry-after'))
      expect(seconds, algorithm).toBeGreaterThanOrEqual(1)
      expect(seconds, algorithm).toBeLessThanOrEqual(3)
      await sleep(seconds * 1000)
      expect(statuses(await send(gateway, 1, `/${algorithm}`)), algorithm).toEqual([200])
    })
    await Promise.all(waited)
  })

  test("a tenant's flood uses up nothing of what others are owed", async () => {
    const limits = [
      { by: 'global', limit: 12, ...lasting, name: 'all' },
      { by: 'tenant', limit: 6, ...lasting, name: 'tenant' },
      { by: 'consumer', limit: 4, ...lasting, name: 'own' },
    ]
    const rule = { store, scope: `flood-${store}`, limits, timeout: '2s' }
    const gateway = await start({ rule, known: true })
    const as = (name: string): Promise<WireResponse[]> => send(gateway, 20, '/api/a', [`X-Who: ${name}`])
    expect(passed(await as('ann,acme,free'))).toBe(4)
    expect(passed(await as('bob,acme,free'))).toBe(2)
    const last = (await as('cid,acme,free')).at(-1) as WireResponse
    expect(await logged(gateway, last)).toMatchObject({ limit: 'tenant', consumer: 'cid' })
    expect(passed(await as('dan,other,free'))).toBe(4)
    expect(passed(await as('eve,third,free'))).toBe(2)
  })

  test('a slot is free again however its request ends', async () => {
    const held: ArrivedRequest[] = []
    upstream.on('/api/held', (request) => void held.push(request))
    const limits = [{ by: 'ip', limit: 2, algorithm: 'concurrency', name: 'slots' }]
    const gateway = await start({ rule: { store, scope: `slots-${store}`, limits, timeout: '2s' } })
    const begin = async (): Promise<Wire> => {
      const count = held.length
      const wire = await Wire.open(gateway.port)
      wire.request('GET /api/held')
      await upstream.until(() => held.length > count)
      return wire
    }
    const untilFree = async (): Promise<void> => {
      for (;;) if ((await call(gateway.port, 'GET /api/a')).status === 200) return
    }
    const first = await begin()
    const second = await begin()
    const refused = await call(gateway.port, 'GET /api/a')
    expect([refused.status, refused.field('retry-after')]).toEqual([429, '1'])
    // The client goes away.
    first.reset()
    await untilFree()
    // The upstream breaks off.
    held[1]?.socket.destroy()
    expect((await second.response())?.status).toBe(502)
    await untilFree()
    // Answered as usual: both slots are free.
    const wires = [await begin(), await begin()]
    expect((await call(gateway.port, 'GET /api/a')).status).toBe(429)
    for (const request of held.slice(-2)) request.reply()
    for (const wire of wires) {
      expect((await wire.response())?.status).toBe(200)
      wire.close()
    }
    await untilFree()
  })
})

describe('before a route is matched', () => {
  test('addresses and everybody together count, also where nothing matches', async () => {
    const global = { limits: [{ by: 'ip', limit: 6, ...lasting, name: 'address' }] }
    const gateway = await start({ rule: null, global })
    const answers = [
      ...(await send(gateway, 2, '/none')),
      ...(await send(gateway, 2)),
      ...(await send(gateway, 4, '/x')),
    ]
    expect(statuses(answers)).toEqual([404, 404, 200, 200, 404, 404, 429, 429])
    expect(answers[0]?.field('x-ratelimit-limit')).toBe('6')
    expect(answers.at(-1)?.field('x-ratelimit-remaining')).toBe('0')
    expect(await logged(gateway, answers.at(-1) as WireResponse)).toMatchObject({ limit: 'address' })
    expect(await gateway.metrics()).toContain('sluice_limit_refusals_total{route="_all",limit="address"} 2\n')
  })

  test('answers tell of both checks, and slots of both are given back', async () => {
    const slots = { algorithm: 'concurrency', limit: 1 }
    const global = {
      headers: 'per-limit',
      limits: [
        { by: 'ip', limit: 6, ...lasting, name: 'address' },
        { by: 'ip', ...slots, name: 'slots' },
      ],
    }
    const rule = {
      headers: ['x-ratelimit', 'per-limit'],
      limits: [
        { by: 'header:x-org', limit: 3, ...lasting, name: 'org' },
        { by: 'route', ...slots, name: 'busy' },
      ],
    }
    const gateway = await start({ rule, global })
    const answers = await send(gateway, 4, '/api/a', ['X-Org: a'])
    expect(statuses(answers)).toEqual([200, 200, 200, 429])
    const [first] = answers
    const field = (name: string): string | undefined => first?.field(`x-ratelimit-${name}`)
    expect(['limit', 'limit-org', 'limit-address', 'limit-slots', 'limit-busy'].map(field)).toEqual([
      '3',
      '3',
      '6',
      '1',
      '1',
    ])
    expect(statuses(await send(gateway, 3, '/api/a', ['X-Org: b']))).toEqual([200, 200, 429])
  })

  test('limits of the top level that need a consumer wait for it', async () => {
    const global = {
      limits: [
        { by: 'ip', limit: 9, ...lasting, name: 'address' },
        { by: 'consumer', limit: 2, ...lasting, name: 'own' },
      ],
    }
    const config = configOf({ rule: null, global, known: true }) as { routes: object[] }
    const gateway = await startGateway(
      { ...config, routes: config.routes.slice(0, 1) },
      { workers: 1, files: { 'who.js': who } },
    )
    expect(statuses(await send(gateway, 3, '/api/a', ['X-Who: ann,acme,free']))).toEqual([200, 200, 429])
    expect(statuses(await send(gateway, 7, '/none'))).toEqual([404, 404, 404, 404, 404, 404, 429])
  })
})

describe('a rule', () => {
  test('of tiers gives each consumer the limits of its own', async () => {
    const tier = (limit: number): object => ({ limits: [{ by: 'consumer', limit, ...lasting, name: 'tier' }] })
    const rule = { tiers: { free: tier(2), enterprise: tier(5) }, default_tier: 'free' }
    const gateway = await start({ rule, known: true })
    const as = (name: string): Promise<WireResponse[]> => send(gateway, 6, '/api/a', [`X-Who: ${name}`])
    expect(passed(await as('ann,acme,free'))).toBe(2)
    expect(passed(await as('bob,acme,enterprise'))).toBe(5)
    expect(passed(await as('cid,acme,unknown'))).toBe(2)
  })

  test("in Kong's form", async () => {
    const rule = { minute: 1000, hour: 1001, limit_by: 'ip', policy: 'redis', error_message: 'API rate limit exceeded' }
    const gateway = await start({ rule: { ...rule, scope: 'kong', timeout: '2s' } })
    const [answer] = await send(gateway, 1)
    expect(answer?.field('x-ratelimit-limit-minute')).toBe('1000')
    expect(answer?.field('x-ratelimit-remaining-hour')).toBe('1000')
  })

  test('that observes refuses nothing, and logs what it would have', async () => {
    const gateway = await start({
      rule: { mode: 'observe', limits: [{ by: 'ip', limit: 1, ...lasting, name: 'tight' }] },
    })
    const answers = await send(gateway, 3)
    expect(statuses(answers)).toEqual([200, 200, 200])
    expect(answers[2]?.field('x-ratelimit-limit')).toBeUndefined()
    expect(await logged(gateway, answers[2] as WireResponse)).toMatchObject({ would_refuse: ['tight'] })
    expect(await gateway.metrics()).toContain('sluice_limit_would_refuse_total{route="api",limit="tight"} 2\n')
  })

  test('that changes applies to the counters that exist', async () => {
    const rule = (limit: number): Options => ({ rule: { limits: [{ by: 'ip', limit, ...lasting, name: 'address' }] } })
    const gateway = await start(rule(5))
    expect(passed(await send(gateway, 4))).toBe(4)
    expect((await gateway.reload(configOf(rule(6)))).outcome).toBe('activated')
    expect(passed(await send(gateway, 4))).toBe(2)
    await gateway.reload(configOf(rule(3)))
    expect(passed(await send(gateway, 2))).toBe(0)
    await gateway.reload(configOf(rule(8)))
    expect(passed(await send(gateway, 4))).toBe(2)
  })

  test('with a leaky bucket lets requests through at its pace', async () => {
    const limits = [{ by: 'ip', limit: 10, window: '1s', algorithm: 'leaky_bucket', burst: 4 }]
    const gateway = await start({ rule: { limits } })
    const begin = performance.now()
    const answers = await Promise.all(Array.from({ length: 8 }, () => call(gateway.port, 'GET /api/a')))
    // One at once, four that wait their turn; the rest finds no room, unless the first of them have gone by then.
    expect(passed(answers)).toBeGreaterThanOrEqual(5)
    expect(performance.now() - begin).toBeGreaterThan((passed(answers) - 1) * 100 - 20)
  })

  test('refuses with what it is told to say', async () => {
    const body = { message: 'API rate limit exceeded', retry_after: '{retry_after}' }
    const gateway = await start({ rule: { status: 503, body, limits: [{ by: 'ip', limit: 1, ...lasting }] } })
    const last = (await send(gateway, 2))[1] as WireResponse
    expect(last.status).toBe(503)
    expect(JSON.parse(last.body)).toEqual({
      message: 'API rate limit exceeded',
      retry_after: Number(last.field('retry-after')),
      request_id: last.field('x-request-id'),
    })
    const problem = await call(gateway.port, 'GET /api/a', ['Accept: application/problem+json'])
    expect(JSON.parse(problem.body)).toMatchObject({ status: 503, code: 'rate_limit_exceeded' })
  })
})

test('two gateways on one Redis share the counters', async () => {
  const rule = { store: 'redis', scope: 'shared', timeout: '2s', limits: [{ by: 'ip', limit: 50, ...lasting }] }
  const gateways = [await start({ rule }), await start({ rule })]
  const answers = await Promise.all(gateways.flatMap((gateway) => [send(gateway, 20), send(gateway, 20)]))
  expect(passed(answers.flat())).toBe(50)
})
