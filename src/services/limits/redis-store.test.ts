import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { closeStores, connected, limitOf, openClient, openStore } from '../../../test/support/limit-store.ts'
import { type RedisServer, startRedis, stopRedis } from '../../../test/support/redis.ts'
import type { Admission, Limit, LimitAlgorithm } from '../../core/services/limits.ts'
import type { RedisLimitStore } from './redis-store.ts'

let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})
beforeEach(() => server.command('FLUSHALL'))
afterEach(closeStores)
afterAll(stopRedis)

async function open(): Promise<RedisLimitStore> {
  const client = openClient([`:${server.port}`])
  await connected(client)
  return openStore(client)
}

/** Many at once: `keyOf` gives the key of each. */
function admitMany(
  store: RedisLimitStore,
  count: number,
  limits: readonly Limit[],
  keyOf: (i: number) => string,
): Promise<Admission[]> {
  return Promise.all(Array.from({ length: count }, async (_, i) => store.admit(limits, [keyOf(i)], [1])))
}

/** Calls of a command since Redis began to count. */
async function callsOf(command: string): Promise<number> {
  const stats = String(await server.command('INFO', 'commandstats'))
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

const windows: readonly LimitAlgorithm[] = ['fixed_window', 'sliding_window', 'sliding_log', 'token_bucket']

test('asks everything of a tick in one call, in as many as it takes beyond 200', async () => {
  const store = await open()
  const [few, many] = [[limitOf({ name: 'few' })], [limitOf({ name: 'many', limit: 1000 }), limitOf({ name: 'other' })]]
  await server.command('CONFIG', 'RESETSTAT')
  const said = await Promise.all([
    ...Array.from({ length: 12 }, () => store.admit(few, ['a'], [1])),
    ...Array.from({ length: 30 }, (_, i) => store.admit(many, ['a', `${i}`], [2, 1])),
  ])
  expect(await callsOf('evalsha')).toBe(1)
  expect(said.filter(({ admitted }) => admitted).length).toBe(40)
  expect(said.slice(0, 12).map(({ remaining }) => remaining)).toEqual([
    ...Array.from({ length: 10 }, (_, i) => [9 - i]),
    [0],
    [0],
  ])
  expect(said[41]).toMatchObject({ remaining: [1000 - 60, 9], decidedBy: 'store', limits: many, keys: ['a', '29'] })
  await admitMany(store, 500, few, String)
  expect(await callsOf('evalsha')).toBe(4)
})

test.each(windows)('admits who waits exactly as long as it is told: %s', async (algorithm) => {
  const store = await open()
  const limits = [limitOf({ algorithm, limit: 4, window: 240 })]
  let refusals = 0
  for (const end = Date.now() + 1500; Date.now() < end; ) {
    const first = await store.admit(limits, ['a'], [1])
    if (first.admitted) continue
    refusals++
    expect(first.retryAfter).toBeGreaterThan(0)
    const until = performance.now() + first.retryAfter
    await sleep(first.retryAfter)
    while (performance.now() < until) await sleep(1)
    expect(await store.admit(limits, ['a'], [1])).toMatchObject({ admitted: true })
  }
  expect(refusals).toBeGreaterThan(2)
})

test('counts on where a store of another process counts, and after its scripts were flushed', async () => {
  const stores = await Promise.all([open(), open(), open()])
  const limits = [limitOf({ limit: 500, window: 3_600_000, algorithm: 'sliding_window' })]
  let admitted = 0
  for (let round = 0; round < 20; round++) {
    if (round === 7 || round === 13) await server.flushScripts()
    const said = (await Promise.all(stores.map((store) => admitMany(store, 15, limits, () => 'a')))).flat()
    admitted += said.filter((one) => one.admitted).length
    for (const { decidedBy } of said) expect(decidedBy).toBe('store')
  }
  expect(admitted).toBe(500)
})

test('a changed limit applies to what was counted before', async () => {
  const store = await open()
  for (const algorithm of windows) {
    const admit = (limit: number) => store.admit([limitOf({ algorithm, limit, window: 3_600_000 })], ['a'], [1])
    for (let i = 0; i < 5; i++) await admit(10)
    expect((await admit(5)).admitted, algorithm).toBe(false)
    expect(await admit(7)).toMatchObject({ admitted: true, remaining: [1] })
  }
})

test('refuses for good what costs more than there ever is', async () => {
  const store = await open()
  expect(await store.admit([limitOf({ limit: 3 })], ['a'], [4])).toMatchObject({
    admitted: false,
    retryAfter: Number.POSITIVE_INFINITY,
    remaining: [3],
  })
})

describe('names', () => {
  test('are bounded, keep keys apart, and go after the prefix', async () => {
    const store = await open()
    const long = 'x'.repeat(10_000)
    const keys = ['a', 'a:b', 'ключ', '#', long, `${long}y`, '\r\n\0', '']
    for (const key of keys) expect((await store.admit([limitOf({ limit: 1 })], [key], [1])).admitted).toBe(true)
    for (const key of keys) expect((await store.admit([limitOf({ limit: 1 })], [key], [1])).admitted).toBe(false)
    const [one, other] = [limitOf({ name: 'x', limit: 1 }), limitOf({ name: 'x:a', limit: 1 })]
    expect((await store.admit([one], ['a:k'], [1])).admitted).toBe(true)
    expect((await store.admit([other], ['k'], [1])).admitted).toBe(true)
    const names = (await server.command('KEYS', '*')) as string[]
    expect(names.length).toBe(keys.length + 2)
    for (const name of names) {
      expect(name).toMatch(/^sluice:limit:fixed_window:/)
      expect(name.length).toBeLessThan(110)
      expect(await server.command('PTTL', name)).toBeGreaterThan(0)
    }
  })
})

describe('concurrency', () => {
  const limits = [limitOf({ algorithm: 'concurrency', limit: 2, window: 400 }), limitOf({ name: 'all', limit: 100 })]
  const admit = async (store: RedisLimitStore): Promise<Admission> => store.admit(limits, ['a', 'a'], [1, 1])

  test('counts requests in flight, in one call with the checks of the tick', async () => {
    const store = await open()
    const [first, second, third] = await Promise.all([admit(store), admit(store), admit(store)])
    expect([first, second, third].map(({ admitted }) => admitted)).toEqual([true, true, false])
    expect(third).toMatchObject({ refusedBy: 0, retryAfter: 1000, remaining: [0, 98] })
    await server.command('CONFIG', 'RESETSTAT')
    store.release(first)
    store.release(first)
    store.release(third)
    const [fourth, fifth] = await Promise.all([admit(store), admit(store)])
    expect([fourth.admitted, fifth.admitted]).toEqual([true, false])
    expect(await callsOf('evalsha')).toBe(1)
    store.release(second)
    store.release(fourth)
    await expect.poll(() => server.command('ZCARD', 'sluice:limit:concurrency:test:a')).toBe(0)
  })

  test('keeps a slot however long its request takes, and gives back those of a process that died', async () => {
    const [dying, other] = [await open(), await open()]
    await Promise.all([admit(dying), admit(dying)])
    // Longer than a window: slots of which nothing is heard are free by then.
    const end = Date.now() + 1000
    while (Date.now() < end) {
      expect((await admit(other)).admitted).toBe(false)
      await sleep(20)
    }
    dying.close()
    await expect.poll(async () => (await admit(other)).admitted, { timeout: 5000 }).toBe(true)
  })

  test('a Redis that lost its memory hears of what is in flight again', async () => {
    const store = await open()
    await Promise.all([admit(store), admit(store)])
    await server.command('FLUSHALL')
    await expect.poll(() => server.command('ZCARD', 'sluice:limit:concurrency:test:a'), { timeout: 5000 }).toBe(2)
    expect((await admit(store)).admitted).toBe(false)
  })

  test('a request that costs several holds as many', async () => {
    const store = await open()
    const only = [limitOf({ algorithm: 'concurrency', limit: 5 })]
    const first = await store.admit(only, ['a'], [3])
    expect((await store.admit(only, ['a'], [3])).admitted).toBe(false)
    store.release(first)
    const said = await store.admit(only, ['a'], [5])
    expect(said.admitted).toBe(true)
  })
})
