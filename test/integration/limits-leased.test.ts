import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { besiege, flood, leastOf, mostOf, rates } from '../support/limit-load.ts'
import { type RedisServer, startRedis, stopRedis } from '../support/redis.ts'

let redis: RedisServer

beforeAll(async () => {
  redis = await startRedis()
})

afterAll(stopRedis)

/** Two nodes of two workers each, with a route for each limit, `strict` and not, that answers by itself. */
function startNodes(entries: Readonly<Record<string, object>>): Promise<RunningGateway[]> {
  const answers = { name: 'request-termination', config: { status_code: 200, body: 'ok' } }
  const route = (name: string, strict: boolean, entry: object): object => {
    const config = {
      store: 'leased',
      strict,
      timeout: '5s',
      on_store_error: 'deny',
      limits: [{ by: 'route', ...entry }],
    }
    return { name, paths: [`/${name}`], plugins: [{ name: 'rate-limiting', config }, answers] }
  }
  const routes = Object.entries(entries).flatMap(([name, entry]) => [
    route(`strict-${name}`, true, entry),
    route(name, false, entry),
  ])
  const config = { redis: redis.url, access_log: 'off', routes }
  return Promise.all([startGateway(config, { workers: 2 }), startGateway(config, { workers: 2 })])
}

const limit = 6000

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

describe('two nodes of two workers, 64 connections each', () => {
  let nodes: readonly RunningGateway[]

  beforeAll(async () => {
    const withRates = Object.entries(rates).map(([name, { entry }]) => [`rate-of-${name}`, entry] as const)
    const wide = { limit: 100_000_000, window: lasting, algorithm: 'sliding_window' }
    nodes = await startNodes({ ...cases, ...Object.fromEntries(withRates), wide })
  })

  afterAll(stopGateways)

  test.each(Object.keys(cases).flatMap((name) => [name, `strict-${name}`]))('%s', async (name) => {
    const statuses = await flood(nodes, `/${name}`, limit + 4000)
    expect(statuses[200]).toBe(limit)
    expect(Object.keys(statuses)).toEqual(['200', '429'])
  })

  test.each(Object.keys(rates).flatMap((name) => [`rate-of-${name}`, `strict-rate-of-${name}`]))(
    'at the %s',
    async (name) => {
      const { limit: rate } = rates[name.replace(/^.*rate-of-/, '')] as (typeof rates)[string]
      const siege = await besiege(nodes, `/${name}`, 2.6 * rate.window, rate.window)
      expect(siege.others).toBe(0)
      expect(siege.refused).toBeGreaterThan(0)
      expect(siege.admitted).toBeLessThanOrEqual(mostOf(rate, siege.within))
      expect(siege.admitted).toBeGreaterThanOrEqual(leastOf(rate, siege))
    },
  )

  test('with few calls to Redis', async () => {
    await redis.command('CONFIG', 'RESETSTAT')
    await flood(nodes, '/wide', 20_000)
    const stats = String(await redis.command('INFO', 'commandstats'))
    expect(Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(1000)
  })
})

describe('a worker that is killed', () => {
  afterEach(stopGateways)

  test.each(['all', 'strict-all'])('costs no more than what it had in hand: %s', async (name) => {
    const nodes = await startNodes({ all: { limit, window: lasting, algorithm: 'token_bucket' } })
    const [pid = 0] = (await nodes[0]?.workerPids()) ?? []
    let answers = 0
    const flooding = flood(nodes, `/${name}`, 2 * limit, () => {
      answers++
      if (answers === limit / 4) process.kill(pid, 'SIGKILL')
    })
    await nodes[0]?.waitForLog('worker died')
    await flooding
    await nodes[0]?.until('whole again', ({ workers }) => workers.every(({ state }) => state === 'active'))
    const rest = await flood(nodes, `/${name}`, 2000)
    const admitted = ((await flooding)[200] ?? 0) + (rest[200] ?? 0)
    // During the test a fraction of a unit comes back: a bucket of a day drains 0.07 units a second.
    expect(admitted).toBeLessThanOrEqual(limit + 3)
    // What it had in hand, and the answers that died with it.
    const lost = (await figure(nodes, 'sluice_limit_units_lost_total')) + 64
    expect(admitted + lost).toBeGreaterThanOrEqual(limit)
    expect(lost).toBeLessThan(limit / 3)
  })
})

test('a node that is stopped gives back what it has borrowed', async () => {
  const nodes = (await startNodes({ all: { limit, window: lasting, algorithm: 'sliding_window' } })) as [
    RunningGateway,
    RunningGateway,
  ]
  const first = (await flood([nodes[0]], '/all', limit / 4))[200] ?? 0
  // What is lent while it stops is lost.
  let [messages, before] = [await figure([nodes[0]], 'sluice_limit_petitions_total'), -1]
  while (messages !== before) [messages, before] = [await figure([nodes[0]], 'sluice_limit_petitions_total'), messages]
  await nodes[0].stop()
  const second = (await flood([nodes[1]], '/all', limit))[200] ?? 0
  await stopGateways()
  expect(first + second).toBe(limit)
})

/** The value of a figure, of all nodes and all its series together. */
async function figure(nodes: readonly RunningGateway[], name: string): Promise<number> {
  const texts = await Promise.all(nodes.map((node) => node.metrics()))
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line.startsWith(name))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
