import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { besiege, flood, leastOf, mostOf, rates } from '../support/limit-load.ts'
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

afterAll(async () => {
  await stopUpstreams()
  await stopRedis()
})

interface Rules {
  readonly [path: string]: readonly object[]
}

/** One route for each path, which answers by itself where no upstream is asked for. Nothing passes beside the store. */
function configOf(rules: Rules, asks: 'upstream' | 'nobody' = 'nobody'): object {
  const answers = { name: 'request-termination', config: { status_code: 200, body: 'ok' } }
  return {
    redis: redis.url,
    access_log: 'off',
    routes: Object.entries(rules).map(([name, entries]) => {
      const limits = entries.map((entry) => ({ by: 'route', ...entry }))
      const config = { store: 'redis', timeout: '5s', on_store_error: 'deny', limits }
      const limiting = { name: 'rate-limiting', config }
      const route = { name, paths: [`/${name}`] }
      return asks === 'nobody'
        ? { ...route, plugins: [limiting, answers] }
        : { ...route, upstream: upstream.url, plugins: [limiting] }
    }),
  }
}

/** Two nodes of two workers each. `env`: of the second one. */
async function startNodes(config: object, env: Readonly<Record<string, string>> = {}): Promise<RunningGateway[]> {
  return Promise.all([startGateway(config, { workers: 2 }), startGateway(config, { workers: 2, env })])
}

const limit = 3000

/** So long that nothing is given back while a test runs. */
const lasting = '1d'

const cases: Rules = {
  'fixed-window': [{ limit, window: lasting, algorithm: 'fixed_window' }],
  'fixed-window-of-a-month': [{ limit, window: 'month', algorithm: 'fixed_window', time_zone: 'Europe/Berlin' }],
  'sliding-window': [{ limit, window: lasting, algorithm: 'sliding_window' }],
  'sliding-log': [{ limit, window: lasting, algorithm: 'sliding_log' }],
  'token-bucket': [{ limit: 1, burst: limit, window: lasting, algorithm: 'token_bucket' }],
  'leaky-bucket': [{ limit: 1, burst: limit - 1, nodelay: true, window: lasting, algorithm: 'leaky_bucket' }],
  several: [
    { limit: 10 * limit, window: lasting, algorithm: 'sliding_window', name: 'wide' },
    { limit, window: lasting, algorithm: 'fixed_window', name: 'tight' },
    { limit: 1000, algorithm: 'concurrency', name: 'slots' },
  ],
}

describe('two nodes of two workers, 64 connections each, admit as many as there may be: not one more, not one less', () => {
  let nodes: readonly RunningGateway[]

  beforeAll(async () => {
    nodes = await startNodes(configOf({ ...cases, batched: [{ limit, window: lasting }] }))
  })

  afterAll(stopGateways)

  test.each(Object.keys(cases))('%s', async (name) => {
    const statuses = await flood(nodes, `/${name}`, 2 * limit)
    expect(statuses[200]).toBe(limit)
    expect(Object.keys(statuses)).toEqual(['200', '429'])
  })

  test('all checks of a tick are one call', async () => {
    // Now all workers have told Redis their scripts.
    await flood(nodes, '/batched', 1000)
    await redis.command('CONFIG', 'RESETSTAT')
    const before = await figure(nodes, 'sluice_limit_batch_size_count')
    const statuses = await flood(nodes, '/batched', 10_000)
    const requests = Object.values(statuses).reduce((sum, count) => sum + count)
    const stats = String(await redis.command('INFO', 'commandstats'))
    const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])
    expect(calls).toBe((await figure(nodes, 'sluice_limit_batch_size_count')) - before)
    expect(requests / calls).toBeGreaterThan(3)
    expect(stats).not.toContain('cmdstat_eval:')
  })
})

describe('two nodes, one with a clock that is an hour ahead,', () => {
  let nodes: readonly RunningGateway[]

  beforeAll(async () => {
    const ahead = 'const now = Date.now; Date.now = () => now() + 3_600_000'
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(ahead)}` }
    const withRates = Object.entries(rates).map(([name, { entry }]) => [name, [entry]] as const)
    const quota = [
      { limit, window: 'day', algorithm: 'fixed_window', name: 'today' },
      { limit: 2 * limit, window: '1m', name: 'minute' },
    ]
    const seconds = [{ limit: 300, window: '1s', algorithm: 'fixed_window' }]
    nodes = await startNodes(configOf({ quota, seconds, ...Object.fromEntries(withRates) }), env)
  })

  afterAll(stopGateways)

  test('are of one mind about today', async () => {
    expect((await flood(nodes, '/quota', 2 * limit))[200]).toBe(limit)
  })

  test('and about the windows that follow each other', async () => {
    const { windows } = await besiege(nodes, '/seconds', 2500, 1000)
    expect(windows.size).toBeGreaterThan(1)
    for (const { admitted, refused } of windows.values()) {
      expect(admitted).toBeLessThanOrEqual(300)
      if (refused > 0) expect(admitted).toBe(300)
    }
  })

  test.each(Object.entries(rates))('admit at the rate of %s', async (name, { limit: rate }) => {
    const siege = await besiege(nodes, `/${name}`, 2.6 * rate.window, rate.window)
    expect(siege.others).toBe(0)
    expect(siege.refused).toBeGreaterThan(0)
    expect(siege.admitted).toBeLessThanOrEqual(mostOf(rate, siege.within))
    expect(siege.admitted).toBeGreaterThanOrEqual(leastOf(rate, siege))
  })

  test('tell clients truly how long to wait', async () => {
    const names = Object.keys(rates)
    const waits = names.map(async (name) => {
      let head = ''
      await flood(nodes, `/${name}`, 2000, (answer) => {
        if (answer.status === 429) head = answer.head
      })
      const seconds = Number(/\r\nretry-after: *(\d+)/.exec(head)?.[1])
      expect(seconds, name).toBeGreaterThan(0)
      expect(seconds, name).toBeLessThan(3)
      await sleep(1000 * seconds)
      for (const { url } of nodes) {
        const { statusCode, body } = await request(`${url}/${name}`)
        await body.dump()
        expect(statusCode, name).toBe(200)
      }
    })
    await Promise.all(waits)
  })

  test('leave nothing behind: every counter ends by itself, soon after it means nothing any more', async () => {
    await Promise.all(Object.keys(rates).map((name) => flood(nodes, `/${name}`, 200)))
    const keys = (await redis.command('KEYS', '*800ms*')) as string[]
    expect(keys.length).toBeGreaterThan(0)
    for (const key of keys) {
      const left = Number(await redis.command('PTTL', key))
      // -2: it has ended meanwhile. -1: it never would.
      expect(left, key).not.toBe(-1)
      expect(left, key).toBeLessThan(4000)
    }
    await expect.poll(() => redis.command('KEYS', '*800ms*'), { timeout: 10_000 }).toEqual([])
  })
})

describe('requests at the same time', () => {
  afterEach(stopGateways)

  test('are never more than there may be, over two nodes', async () => {
    const nodes = await startNodes(configOf({ slots: [{ limit: 20, algorithm: 'concurrency' }] }, 'upstream'))
    mostInFlight = 0
    const statuses = await flood(nodes, '/slots', 4000)
    expect(statuses[200]).toBeGreaterThan(100)
    expect(mostInFlight).toBeLessThanOrEqual(20)
    expect(mostInFlight).toBeGreaterThan(15)
    // However they ended, all slots are free again.
    await expect.poll(() => redis.command('KEYS', '*concurrency*'), { timeout: 10_000 }).toEqual([])
  })

  test('also when a worker is killed meanwhile, whose slots become free by themselves', async () => {
    const limits = [
      { limit, window: lasting, algorithm: 'sliding_window' },
      { limit: 100, window: '2s', algorithm: 'concurrency' },
    ]
    const nodes = await startNodes(configOf({ both: limits }, 'upstream'))
    const before = upstream.requests
    const [pid = 0] = (await nodes[0]?.workerPids()) ?? []
    const flooding = flood(nodes, '/both', 3 * limit)
    await expect.poll(() => upstream.requests, { interval: 5 }).toBeGreaterThan(before + 300)
    process.kill(pid, 'SIGKILL')
    const statuses = await flooding
    // Those whose answers died with it were counted.
    expect(statuses[200]).toBeLessThanOrEqual(limit)
    expect(statuses[200]).toBeGreaterThan(limit - 100)
    await expect.poll(() => redis.command('KEYS', '*concurrency*'), { timeout: 10_000 }).toEqual([])
  })
})

/** The value of a figure, of all nodes together. */
async function figure(nodes: readonly RunningGateway[], name: string): Promise<number> {
  const texts = await Promise.all(nodes.map((node) => node.metrics()))
  return texts.reduce((sum, text) => sum + Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1]), 0)
}
