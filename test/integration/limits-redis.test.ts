import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { startLoad } from '../support/load.ts'
import { type RedisServer, startRedis, stopRedis } from '../support/redis.ts'
import { startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'

let redis: RedisServer
let upstream: TestUpstream
/** Requests that the upstream has now, and the most that it ever had. */
let inFlight = 0
let mostInFlight = 0

beforeAll(async () => {
  redis = await startRedis()
  upstream = await startUpstream((_req, res) => {
    inFlight++
    mostInFlight = Math.max(mostInFlight, inFlight)
    setTimeout(() => {
      inFlight--
      res.end('ok')
    }, 2)
  })
})

beforeEach(() => redis.command('FLUSHALL'))

afterAll(async () => {
  await stopUpstreams()
  await stopRedis()
})

/** One route for each path. The bound on the store is generous and nothing passes beside it, unless the rule says so. */
function configOf(rules: Readonly<Record<string, object>>): object {
  return {
    redis: redis.url,
    access_log: 'off',
    routes: Object.entries(rules).map(([name, rule]) => ({
      name,
      paths: [`/${name}`],
      upstream: upstream.url,
      plugins: [{ name: 'rate-limiting', config: { store: 'redis', timeout: '5s', on_store_error: 'deny', ...rule } }],
    })),
  }
}

/** Two nodes of two workers each. `env`: of the second one. */
async function startNodes(
  rules: Readonly<Record<string, object>>,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningGateway[]> {
  const config = configOf(rules)
  return Promise.all([startGateway(config, { workers: 2 }), startGateway(config, { workers: 2, env })])
}

/** Asks all nodes over 64 connections each until so many were answered; gives answers by status. */
async function flood(
  nodes: readonly RunningGateway[],
  path: string,
  answers: number,
): Promise<Readonly<Record<number, number>>> {
  const loads = nodes.map(({ port }) => startLoad({ port, path, connections: 64 }))
  await Promise.all(loads.map((load) => load.more(answers / loads.length)))
  const results = await Promise.all(loads.map((load) => load.stop()))
  const statuses: Record<number, number> = {}
  for (const result of results)
    for (const [status, count] of Object.entries(result.statuses))
      statuses[Number(status)] = (statuses[Number(status)] ?? 0) + count
  return statuses
}

const limit = 3000

/** So long that nothing is given back while a test runs. */
const lasting = '1d'

const cases = {
  'fixed-window': { limit, window: lasting, algorithm: 'fixed_window' },
  'fixed-window-of-a-month': { limit, window: 'month', algorithm: 'fixed_window', time_zone: 'Europe/Berlin' },
  'sliding-window': { limit, window: lasting, algorithm: 'sliding_window' },
  'sliding-log': { limit, window: lasting, algorithm: 'sliding_log' },
  'token-bucket': { limit: 1, burst: limit, window: lasting, algorithm: 'token_bucket' },
  'leaky-bucket': { limit: 1, burst: limit - 1, nodelay: true, window: lasting, algorithm: 'leaky_bucket' },
}

const others = {
  concurrency: { limit: 20, algorithm: 'concurrency' },
  seconds: { limit: 300, window: '1s', algorithm: 'fixed_window' },
}

describe('two nodes of two workers, 64 connections each, admit as many as there may be: not one more, not one less', () => {
  let nodes: readonly RunningGateway[]

  beforeAll(async () => {
    const rules = Object.entries({ ...cases, ...others }).map(
      ([name, entry]) => [name, { limits: [{ by: 'route', ...entry }] }] as const,
    )
    nodes = await startNodes(Object.fromEntries(rules))
  })

  afterAll(stopGateways)

  test.each(Object.keys(cases))('%s', async (name) => {
    const statuses = await flood(nodes, `/${name}`, 2 * limit)
    expect(statuses[200]).toBe(limit)
    expect(Object.keys(statuses)).toEqual(['200', '429'])
  })

  test('concurrency', async () => {
    mostInFlight = 0
    const statuses = await flood(nodes, '/concurrency', 4000)
    expect(statuses[200]).toBeGreaterThan(100)
    expect(mostInFlight).toBeLessThanOrEqual(20)
    expect(mostInFlight).toBeGreaterThan(15)
    // However they ended, all slots are free again.
    await expect.poll(() => redis.command('KEYS', '*concurrency*'), { timeout: 10_000 }).toEqual([])
  })

  test('windows that follow each other', async () => {
    const admitted = new Map<string, number>()
    const refused = new Set<string>()
    const end = Date.now() + 3500
    const ask = async (url: string): Promise<void> => {
      while (Date.now() < end) {
        const { statusCode, headers, body } = await request(`${url}/seconds`)
        await body.dump()
        const window = String(headers['x-ratelimit-reset'])
        expect([200, 429]).toContain(statusCode)
        if (statusCode === 200) admitted.set(window, (admitted.get(window) ?? 0) + 1)
        else refused.add(window)
      }
    }
    await Promise.all(nodes.flatMap(({ url }) => Array.from({ length: 32 }, () => ask(url))))
    expect(admitted.size).toBeGreaterThan(2)
    for (const [window, count] of admitted) {
      expect(count).toBeLessThanOrEqual(300)
      if (refused.has(window)) expect(count).toBe(300)
    }
    expect(refused.size).toBeGreaterThan(0)
  })
})

describe('is exact with', () => {
  afterEach(stopGateways)

  test('a node whose clock is an hour ahead, and a limit of today', async () => {
    const ahead = 'const now = Date.now; Date.now = () => now() + 3_600_000'
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(ahead)}` }
    const limits = [
      { by: 'global', limit, window: 'day', algorithm: 'fixed_window', name: 'today' },
      { by: 'global', limit: 2 * limit, window: '1m', name: 'minute' },
    ]
    const nodes = await startNodes({ quota: { limits } }, env)
    const statuses = await flood(nodes, '/quota', 2 * limit)
    expect(statuses[200]).toBe(limit)
  })

  test('a worker that is killed meanwhile', async () => {
    const limits = [
      { by: 'global', limit, window: lasting, algorithm: 'sliding_window' },
      { by: 'global', limit: 100, window: '2s', algorithm: 'concurrency' },
    ]
    const nodes = await startNodes({ both: { limits } })
    const before = upstream.requests
    const [pid = 0] = (await nodes[0]?.workerPids()) ?? []
    const flooding = flood(nodes, '/both', 3 * limit)
    await expect.poll(() => upstream.requests, { interval: 5 }).toBeGreaterThan(before + 300)
    process.kill(pid, 'SIGKILL')
    const statuses = await flooding
    // Those whose answers died with it were counted.
    expect(statuses[200]).toBeLessThanOrEqual(limit)
    expect(statuses[200]).toBeGreaterThan(limit - 100)
    // Its slots become free by themselves.
    await expect.poll(() => redis.command('KEYS', '*concurrency*'), { timeout: 10_000 }).toEqual([])
  })
})

test('all checks of a tick are one call', async () => {
  const limits = [
    { by: 'ip', limit: 1_000_000, window: '1m', algorithm: 'sliding_window' },
    { by: 'global', limit: 1_000_000, window: '1s', algorithm: 'token_bucket' },
  ]
  const node = await startGateway(configOf({ both: { limits } }), { workers: 2 })
  await redis.command('CONFIG', 'RESETSTAT')
  const statuses = await flood([node], '/both', 4000)
  const stats = String(await redis.command('INFO', 'commandstats'))
  const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])
  expect(statuses[200]).toBeGreaterThanOrEqual(4000)
  expect(calls).toBeLessThan(2500)
  const sent = /sluice_limit_batch_size_count (\d+)/.exec(await node.metrics())?.[1]
  expect(Number(sent)).toBe(calls)
})

describe('under load nobody waits for a store that does not answer', () => {
  afterEach(stopGateways)

  /** Milliseconds that each answer took, and how many were not 200. */
  async function measure(url: string, time: number): Promise<{ p99: number; refused: number }> {
    const took: number[] = []
    let refused = 0
    const end = performance.now() + time
    const ask = async (): Promise<void> => {
      while (performance.now() < end) {
        const start = performance.now()
        const { statusCode, body } = await request(url)
        await body.dump()
        took.push(performance.now() - start)
        if (statusCode !== 200) refused++
      }
    }
    await Promise.all(Array.from({ length: 16 }, ask))
    took.sort((a, b) => a - b)
    return { p99: took[Math.floor(took.length * 0.99)] ?? 0, refused }
  }

  /** Asks once; says who decided. */
  async function decider(node: RunningGateway): Promise<string> {
    const before = await node.metrics()
    await (await request(`${node.url}/all`)).body.dump()
    const after = await node.metrics()
    const count = (text: string, by: string): number =>
      Number(new RegExp(`sluice_limit_decisions_total\\{decided_by="${by}"\\} (\\d+)`).exec(text)?.[1] ?? 0)
    return ['store', 'allow', 'deny', 'node'].find((by) => count(after, by) > count(before, by)) ?? 'nobody'
  }

  const limits = [{ by: 'ip', limit: 1_000_000, window: '1m', algorithm: 'sliding_window' }]

  test.each([
    ['frozen', () => redis.freeze(), () => redis.thaw()],
    ['killed, and back with an empty memory', () => redis.kill(), () => redis.start()],
    ['stopped', () => redis.stop(), () => redis.start()],
  ] as const)('%s', async (_name, breaks, mend) => {
    const config = configOf({ all: { limits, timeout: '20ms', on_store_error: 'allow' } })
    const node = await startGateway(config, { workers: 2 })
    await expect.poll(() => decider(node)).toBe('store')
    const measured = measure(`${node.url}/all`, 2000)
    await sleep(300)
    await breaks()
    const { p99, refused } = await measured
    expect(refused).toBe(0)
    // 20 ms, and what a busy machine adds.
    expect(p99).toBeLessThan(400)
    expect(await decider(node)).toBe('allow')
    await mend()
    await expect.poll(() => decider(node), { timeout: 15_000 }).toBe('store')
  })
})
