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

beforeEach(async () => {
  await redis.command('FLUSHALL')
  mostInFlight = 0
})

afterEach(stopGateways)

afterAll(async () => {
  await stopUpstreams()
  await stopRedis()
})

/** `rule`: of rate-limiting. The bound on the store is generous and nothing passes beside it, unless the rule says so. */
function configOf(rule: object): object {
  return {
    redis: redis.url,
    access_log: 'off',
    routes: [
      {
        name: 'all',
        paths: ['/*'],
        upstream: upstream.url,
        plugins: [
          { name: 'rate-limiting', config: { store: 'redis', timeout: '5s', on_store_error: 'deny', ...rule } },
        ],
      },
    ],
  }
}

/** Two nodes of two workers each. `env`: of the second one. */
async function startNodes(rule: object, env: Readonly<Record<string, string>> = {}): Promise<RunningGateway[]> {
  const config = configOf(rule)
  return Promise.all([startGateway(config, { workers: 2 }), startGateway(config, { workers: 2, env })])
}

/** Asks all nodes over 64 connections each until so many were answered; gives answers by status. */
async function flood(nodes: readonly RunningGateway[], answers: number): Promise<Readonly<Record<number, number>>> {
  const loads = nodes.map(({ port }) => startLoad({ port, connections: 64 }))
  await Promise.all(loads.map((load) => load.more(answers / loads.length)))
  const results = await Promise.all(loads.map((load) => load.stop()))
  const statuses: Record<number, number> = {}
  for (const result of results)
    for (const [status, count] of Object.entries(result.statuses))
      statuses[Number(status)] = (statuses[Number(status)] ?? 0) + count
  return statuses
}

/** So long that nothing is given back while a test runs. */
const lasting = '1d'

describe('two nodes of two workers, 64 connections each, admit as many as there may be: not one more, not one less', () => {
  const limit = 3000
  test.each([
    ['fixed_window', { limit, window: lasting }],
    ['fixed_window over a month', { limit, window: 'month', time_zone: 'Europe/Berlin' }],
    ['sliding_window', { limit, window: lasting, algorithm: 'sliding_window' }],
    ['sliding_log', { limit, window: lasting, algorithm: 'sliding_log' }],
    ['token_bucket', { limit: 1, burst: limit, window: lasting, algorithm: 'token_bucket' }],
    ['leaky_bucket', { limit: 1, burst: limit - 1, nodelay: true, window: lasting, algorithm: 'leaky_bucket' }],
  ])('%s', async (_name, entry) => {
    const nodes = await startNodes({ limits: [{ by: 'global', ...entry }] })
    const statuses = await flood(nodes, 2 * limit)
    expect(statuses[200]).toBe(limit)
    expect(Object.keys(statuses)).toEqual(['200', '429'])
  })

  test('concurrency', async () => {
    const nodes = await startNodes({ limits: [{ by: 'global', limit: 20, algorithm: 'concurrency' }] })
    const statuses = await flood(nodes, 4000)
    expect(statuses[200]).toBeGreaterThan(100)
    expect(mostInFlight).toBeLessThanOrEqual(20)
    expect(mostInFlight).toBeGreaterThan(15)
    // However they ended, all slots are free again.
    await expect.poll(() => redis.command('KEYS', '*concurrency*'), { timeout: 10_000 }).toEqual([])
  })

  test('windows that follow each other', async () => {
    const nodes = await startNodes({ limits: [{ by: 'global', limit: 300, window: '1s' }] })
    const admitted = new Map<string, number>()
    const refused = new Set<string>()
    const others: number[] = []
    const end = Date.now() + 3500
    const ask = async (url: string): Promise<void> => {
      while (Date.now() < end) {
        const { statusCode, headers, body } = await request(url)
        await body.dump()
        const window = String(headers['x-ratelimit-reset'])
        if (statusCode === 200) admitted.set(window, (admitted.get(window) ?? 0) + 1)
        else if (statusCode === 429) refused.add(window)
        else others.push(statusCode)
      }
    }
    await Promise.all(nodes.flatMap(({ url }) => Array.from({ length: 32 }, () => ask(url))))
    expect(others).toEqual([])
    expect(admitted.size).toBeGreaterThan(2)
    for (const [window, count] of admitted) {
      expect(count).toBeLessThanOrEqual(300)
      if (refused.has(window)) expect(count).toBe(300)
    }
    expect(refused.size).toBeGreaterThan(0)
  })

  test('a node whose clock is an hour ahead, and a limit of today', async () => {
    const ahead = 'const now = Date.now; Date.now = () => now() + 3_600_000'
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(ahead)}` }
    const limits = [
      { by: 'global', limit, window: 'day', name: 'today' },
      { by: 'global', limit: 2 * limit, window: '1m', name: 'minute' },
    ]
    const nodes = await startNodes({ limits }, env)
    const statuses = await flood(nodes, 2 * limit)
    expect(statuses[200]).toBe(limit)
  })

  test('a worker that is killed meanwhile', async () => {
    const nodes = await startNodes({
      limits: [
        { by: 'global', limit, window: lasting, algorithm: 'sliding_window' },
        { by: 'global', limit: 100, window: '2s', algorithm: 'concurrency' },
      ],
    })
    const [pid = 0] = (await nodes[0]?.workerPids()) ?? []
    const flooding = flood(nodes, 3 * limit)
    await expect.poll(() => upstream.requests, { interval: 5 }).toBeGreaterThan(300)
    const before = upstream.requests
    process.kill(pid, 'SIGKILL')
    const statuses = await flooding
    expect(before).toBeGreaterThan(0)
    // Those whose answers died with it were counted.
    expect(statuses[200]).toBeLessThanOrEqual(limit)
    expect(statuses[200]).toBeGreaterThan(limit - 100)
    // Its slots become free by themselves.
    await expect.poll(() => redis.command('KEYS', '*concurrency*'), { timeout: 10_000 }).toEqual([])
  })
})

test('all checks of a tick are one call', async () => {
  const [node] = await startNodes({
    limits: [
      { by: 'ip', limit: 1_000_000, window: '1m', algorithm: 'sliding_window' },
      { by: 'global', limit: 1_000_000, window: '1s', algorithm: 'token_bucket' },
    ],
  })
  await redis.command('CONFIG', 'RESETSTAT')
  const statuses = await flood([node as RunningGateway], 4000)
  const stats = String(await redis.command('INFO', 'commandstats'))
  const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])
  expect(statuses[200]).toBeGreaterThanOrEqual(4000)
  expect(calls).toBeLessThan(2500)
  const metrics = await (node as RunningGateway).metrics()
  const sent = /sluice_limit_batch_size_count (\d+)/.exec(metrics)?.[1]
  expect(Number(sent)).toBe(calls)
})

describe('under load nobody waits for a store that does not answer', () => {
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
    await (await request(node.url)).body.dump()
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
    const node = await startGateway(configOf({ limits, timeout: '20ms', on_store_error: 'allow' }), { workers: 2 })
    await expect.poll(() => decider(node)).toBe('store')
    const measured = measure(node.url, 2000)
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
