import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { flood } from '../support/limit-load.ts'
import { type Course, outages, untilAsked, weather } from '../support/limit-outage.ts'
import { type RedisServer, startRedis, stopRedis } from '../support/redis.ts'

let redis: RedisServer
let gateway: RunningGateway

beforeAll(async () => {
  redis = await startRedis()
  const route = (name: string, on_store_error: string, limits: readonly object[]): object => ({
    name,
    paths: [`/${name}`],
    plugins: [
      { name: 'rate-limiting', config: { store: 'redis', on_store_error, limits } },
      { name: 'request-termination', config: { status_code: 200, body: 'ok' } },
    ],
  })
  const wide = { by: 'route', limit: 100_000_000, window: '1d' }
  const slots = { by: 'route', limit: 10_000, algorithm: 'concurrency' }
  const config = {
    redis: redis.url,
    access_log: 'off',
    routes: [
      route('allow', 'allow', [wide, slots]),
      route('deny', 'deny', [wide, slots]),
      route('node', 'node', [wide, slots]),
      route('tight', 'node', [{ by: 'route', limit: 300, window: '1d' }]),
    ],
  }
  gateway = await startGateway(config, { workers: 2 })
})

afterAll(async () => {
  await stopGateways()
  await stopRedis()
})

/**
 * A request may wait for 20 ms, and for what a busy machine adds. Who waited for Redis itself, or until the connection
 * counts as dead, would wait for a second; of those there would be as many as connections.
 */
const bearable = 500

describe('whatever becomes of Redis under load, nobody waits for it, and all is well again by itself', () => {
  test.each(Object.keys(outages))('%s', async (name) => {
    const paths = ['/allow', '/deny', '/node']
    const loads = paths.map((path) => ({ path, connections: 21, time: 1200 }))
    const courses = await weather(gateway, redis, name, loads)
    const [allow, deny, node] = courses as [Course, Course, Course]
    for (const { before, during, after } of courses) {
      expect(Object.keys(before.statuses)).toEqual(['200'])
      expect(during.tenth).toBeLessThan(bearable)
      expect(after.tenth).toBeLessThan(bearable)
    }
    for (const { during, after } of [allow, node]) {
      expect(Object.keys(during.statuses)).toEqual(['200'])
      expect(Object.keys(after.statuses)).toEqual(['200'])
    }
    expect(deny.during.statuses[503]).toBeGreaterThan(0)
    expect(statusesOf(deny)).toEqual(['200', '503'])
    expect(deny.after.statuses[200]).toBeGreaterThan(0)
    // Also of requests whose answer came too late, or never.
    await expect.poll(() => redis.command('KEYS', '*concurrency*'), { timeout: 10_000 }).toEqual([])
  })

  test('the node counts in its place, exactly', async () => {
    redis.freeze()
    const statuses = await flood([gateway], '/tight', 3000)
    redis.thaw()
    expect(statuses[200]).toBe(300)
    expect(Object.keys(statuses)).toEqual(['200', '429'])
    await untilAsked(gateway, '/tight')
  })
})

function statusesOf({ during, after }: Course): string[] {
  return [...new Set([...Object.keys(during.statuses), ...Object.keys(after.statuses)])].sort()
}
