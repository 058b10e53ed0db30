import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { besiege, flood, leastOf, mostOf, rates } from '../support/limit-load.ts'
import { startLoad } from '../support/load.ts'
import { startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'

/** A route for each path, which answers by itself unless it has an upstream. */
function configOf(rules: Readonly<Record<string, readonly object[]>>, upstream: string | null = null): object {
  return {
    access_log: 'off',
    routes: Object.entries(rules).map(([name, limits]) => {
      const limiting = { name: 'rate-limiting', config: { limits: limits.map((limit) => ({ by: 'route', ...limit })) } }
      const path = { name, paths: [`/${name}`] }
      if (upstream !== null) return { ...path, upstream, plugins: [limiting] }
      const termination = { name: 'request-termination', config: { status_code: 200, body: 'ok' } }
      return { ...path, plugins: [limiting, termination] }
    }),
  }
}

/** The value of a figure, all its series added up. */
async function figure(gateway: RunningGateway, name: string): Promise<number> {
  let sum = 0
  for (const line of (await gateway.metrics()).split('\n')) {
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}

const limit = 10_000

/** So long that nothing is given back while a test runs. */
const lasting = '1d'

const cases: Readonly<Record<string, readonly object[]>> = {
  'fixed-window': [{ limit, window: lasting, algorithm: 'fixed_window' }],
  'fixed-window-of-a-month': [{ limit, window: 'month', time_zone: 'Europe/Berlin' }],
  'sliding-window': [{ limit, window: lasting, algorithm: 'sliding_window' }],
  'sliding-log': [{ limit, window: lasting, algorithm: 'sliding_log' }],
  'token-bucket': [{ limit: 1, burst: limit, window: lasting, algorithm: 'token_bucket' }],
  'leaky-bucket': [{ limit: 1, burst: limit - 1, nodelay: true, window: lasting, algorithm: 'leaky_bucket' }],
  several: [
    { limit: 10 * limit, window: lasting, algorithm: 'sliding_window', name: 'wide' },
    { limit, window: lasting, algorithm: 'fixed_window', name: 'tight' },
    { limit: 1000, algorithm: 'concurrency', name: 'slots' },
  ],
  small: [{ limit: 7, window: lasting, algorithm: 'sliding_window' }],
}

const counted = [{ limit, window: lasting, algorithm: 'sliding_log' }]

describe('two workers, 64 connections at full speed, admit as many as there may be: not one more, not one less', () => {
  let gateway: RunningGateway

  beforeAll(async () => {
    const withRates = Object.entries(rates).map(([name, { entry }]) => [`rate-of-${name}`, [entry]] as const)
    gateway = await startGateway(configOf({ ...cases, counted, shown: counted, ...Object.fromEntries(withRates) }), {
      workers: 2,
    })
  })

  afterAll(stopGateways)

  test.each(Object.keys(cases))('%s', async (name) => {
    const most = name === 'small' ? 7 : limit
    const statuses = await flood([gateway], `/${name}`, most + 4000)
    expect(statuses[200]).toBe(most)
    expect(Object.keys(statuses)).toEqual(['200', '429'])
  })

  test('with few messages', async () => {
    const figures = (): Promise<number[]> =>
      Promise.all(['petitions', 'asks', 'units_lost'].map((what) => figure(gateway, `sluice_limit_${what}_total`)))
    const before = await figures()
    await flood([gateway], '/counted', limit + 4000)
    const [petitions, asks, lost] = (await figures()).map((value, i) => value - (before[i] as number))
    expect(petitions).toBeGreaterThan(0)
    // Some 14,000 requests were decided.
    expect(petitions).toBeLessThan(1400)
    expect(asks).toBeLessThan(4200)
    expect(lost).toBe(0)
  })

  test.each(Object.entries(rates))('at the rate of %s', async (name, { limit: rate }) => {
    const siege = await besiege([gateway], `/rate-of-${name}`, 2.6 * rate.window, rate.window)
    expect(siege.others).toBe(0)
    expect(siege.refused).toBeGreaterThan(0)
    expect(siege.admitted).toBeLessThanOrEqual(mostOf(rate, siege.within))
    expect(siege.admitted).toBeGreaterThanOrEqual(leastOf(rate, siege))
  })

  test('status shows whose limits are used up', async () => {
    await flood([gateway], '/shown', limit + 1000)
    const { limits } = (await gateway.status()) as unknown as { limits: { busiest: object[] } }
    expect(limits.busiest).toContainEqual(expect.objectContaining({ limit: 'route/shown/route-1d', saturation: 1 }))
  })
})

describe('two workers', () => {
  let upstream: TestUpstream
  let inFlight = 0
  let most = 0

  beforeAll(async () => {
    upstream = await startUpstream((_req, res) => {
      inFlight++
      most = Math.max(most, inFlight)
      setTimeout(() => {
        inFlight--
        res.end('ok')
      }, 3)
    })
  })

  afterEach(stopGateways)
  afterAll(stopUpstreams)

  test('never let more requests through at a time than there may be, also when one is killed', async () => {
    const gateway = await startGateway(configOf({ slots: [{ limit: 10, algorithm: 'concurrency' }] }, upstream.url), {
      workers: 2,
    })
    most = 0
    const load = startLoad({ port: gateway.port, path: '/slots', connections: 64 })
    await load.more(2000)
    expect(most).toBeLessThanOrEqual(10)
    expect(most).toBeGreaterThan(7)
    const [pid] = await gateway.workerPids()
    process.kill(pid as number, 'SIGKILL')
    await gateway.waitForLog('worker died')
    // What it had sent is answered within milliseconds; then all is as before.
    await load.more(500)
    await expect.poll(() => inFlight).toBeLessThanOrEqual(10)
    most = 0
    await load.more(3000)
    const { statuses } = await load.stop()
    expect(most).toBeLessThanOrEqual(10)
    expect(most).toBeGreaterThan(7)
    expect(statuses[200]).toBeGreaterThan(500)
  })

  test('admit what is left when one of them is killed, but for what it had in hand', async () => {
    const limits = [{ limit, window: lasting, algorithm: 'token_bucket' }]
    const gateway = await startGateway(configOf({ all: limits }), { workers: 2 })
    const load = startLoad({ port: gateway.port, path: '/all', connections: 64 })
    await load.more(limit / 4)
    const [pid] = await gateway.workerPids()
    process.kill(pid as number, 'SIGKILL')
    await gateway.waitForLog('worker died')
    await load.more(limit)
    await gateway.until('whole again', ({ workers }) => workers.every(({ state }) => state === 'active'))
    await load.more(limit / 2)
    const { statuses, reset, incomplete, refused } = await load.stop()
    const lost = await figure(gateway, 'sluice_limit_units_lost_total')
    expect(statuses[429]).toBeGreaterThan(0)
    // During the test a fraction of a unit comes back: a bucket of a day drains 0.1 units a second.
    expect(statuses[200]).toBeLessThanOrEqual(limit + 10)
    expect((statuses[200] ?? 0) + lost + reset + incomplete + refused).toBeGreaterThanOrEqual(limit)
    // It had no more in hand than what it needs for a moment.
    expect(lost).toBeLessThan(limit / 5)
  })

  test('take a changed limit up at once, with all that was counted', async () => {
    const rule = (most: number) => configOf({ all: [{ limit: most, window: lasting, algorithm: 'sliding_log' }] })
    const gateway = await startGateway(rule(limit), { workers: 2 })
    expect((await flood([gateway], '/all', limit / 2))[429]).toBeUndefined()
    const load = startLoad({ port: gateway.port, path: '/all', connections: 64 })
    expect(await gateway.reload(rule(2 * limit))).toMatchObject({ outcome: 'activated' })
    await load.more(2 * limit)
    const { statuses } = await load.stop()
    const before = limit / 2
    expect(statuses[200]).toBeGreaterThanOrEqual(2 * limit - before - 64)
    expect(statuses[200]).toBeLessThanOrEqual(2 * limit - before)
    expect(await gateway.reload(rule(limit))).toMatchObject({ outcome: 'activated' })
    expect((await flood([gateway], '/all', 500))[200]).toBeUndefined()
    expect(await gateway.reload(rule(2 * limit + 100))).toMatchObject({ outcome: 'activated' })
    expect((await flood([gateway], '/all', 1000))[200]).toBe(100)
  })

  test('admit as many in every window, and know when the next one begins', async () => {
    const gateway = await startGateway(configOf({ all: [{ limit: 2000, window: '1s', algorithm: 'fixed_window' }] }), {
      workers: 2,
    })
    const { windows } = await besiege([gateway], '/all', 3200, 1000)
    expect(windows.size).toBeGreaterThan(2)
    for (const { admitted, refused } of windows.values()) {
      expect(admitted).toBeLessThanOrEqual(2000)
      if (refused > 0) expect(admitted).toBe(2000)
    }
  })
})
