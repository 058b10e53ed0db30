import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { LimitModel } from '../../../test/support/limit-model.ts'
import { closeStores, connected, limitOf, openClient, openStore } from '../../../test/support/limit-store.ts'
import { type RedisCluster, startRedisCluster, stopRedis } from '../../../test/support/redis.ts'
import type { Admission, Limit, LimitAlgorithm } from '../../core/services/limits.ts'
import type { RedisLimitStore } from './redis-store.ts'
import { slotOf } from './redis-store-key.ts'
import { limitScript, skills } from './scripts.ts'

let cluster: RedisCluster

beforeAll(async () => {
  cluster = await startRedisCluster()
  // A node that does not know a script yet is told it first: what is given back would be overtaken by the next check.
  const most = Object.values(skills).reduce((bits, bit) => bits | bit)
  for (const node of cluster.nodes)
    for (let bits = 1; bits <= most; bits++) await node.command('SCRIPT', 'LOAD', limitScript(bits))
})
beforeEach(async () => {
  for (const node of cluster.nodes) await node.command('FLUSHALL')
})
afterEach(closeStores)
afterAll(stopRedis)

async function open(
  change: Parameters<typeof openStore>[1] = {},
  { addresses }: RedisCluster = cluster,
): Promise<RedisLimitStore> {
  const client = openClient(addresses, { mode: 'cluster' })
  await connected(client)
  return openStore(client, change)
}

const day = 86_400_000

test('knows the slots of keys', async () => {
  for (const key of ['', 'a', 'foo{bar}baz', 'foo{}{bar}', '{a', 'a}{b}', 'ключ', 'x'.repeat(300)])
    expect(slotOf(key), key).toBe(await cluster.nodes[0]?.command('CLUSTER', 'KEYSLOT', key))
})

test('decides as the model does over keys of several slots: all or none', async () => {
  const store = await open()
  const names = fc.constantFrom<LimitAlgorithm>(
    'fixed_window',
    'sliding_window',
    'sliding_log',
    'token_bucket',
    'concurrency',
  )
  const limits = fc.array(
    fc.record({ algorithm: names, limit: fc.integer({ min: 1, max: 8 }), observe: fc.boolean() }),
    {
      minLength: 2,
      maxLength: 4,
    },
  )
  const requests = fc.array(
    fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      costs: fc.array(fc.nat({ max: 3 }), { minLength: 4, maxLength: 4 }),
      ends: fc.boolean(),
    }),
    { minLength: 1, maxLength: 20 },
  )
  let run = 0
  const property = fc.asyncProperty(limits, requests, async (given, asked) => {
    run++
    const model = new LimitModel()
    // So long that nothing comes back meanwhile.
    const rule = given.map((one, i) => limitOf({ ...one, name: `run${run}-${i}`, window: 300 * day }))
    for (const { key, costs, ends } of asked) {
      const [keys, own] = [rule.map((_, i) => (i === 0 ? 'all' : key)), costs.slice(0, rule.length)]
      const said = await store.admit(rule, keys, own)
      const { admitted, refusedBy, remaining, wouldRefuse } = model.admit(Date.now(), rule, keys, own)
      const close = (index: number): boolean => rule[index]?.algorithm === 'concurrency'
      expect(said).toMatchObject({ admitted, remaining, wouldRefuse, decidedBy: 'store' })
      // Who takes longest is a matter of milliseconds between the clocks of a test.
      if (!admitted) expect(close(said.refusedBy)).toBe(close(refusedBy))
      if (!ends || !admitted) continue
      store.release(said)
      for (const [i, limit] of rule.entries()) {
        const isTaken = limit.algorithm === 'concurrency' && (wouldRefuse & (1 << i)) === 0
        if (isTaken) model.release([limit], [keys[i] as string], [own[i] as number])
      }
    }
  })
  await fc.assert(property, { numRuns: 40 })
})

test('admits nobody too many, and loses nothing, where many ask at the same time', async () => {
  const stores = [await open(), await open()]
  const rule = [
    limitOf({ name: 'all', limit: 600, window: 300 * day, algorithm: 'sliding_window' }),
    limitOf({ name: 'tenant', limit: 250, window: 300 * day, algorithm: 'token_bucket' }),
    limitOf({ name: 'consumer', limit: 40, window: 300 * day, algorithm: 'sliding_log' }),
  ]
  const admitted = new Map<string, number>()
  for (let round = 0; round < 15; round++) {
    const said = await Promise.all(
      Array.from({ length: 120 }, async (_, i): Promise<Admission> => {
        const tenant = `t${i % 3}`
        const store = stores[i % 2] as RedisLimitStore
        return store.admit(rule, ['all', tenant, `${tenant}-c${i % 24}`], [1, 1, 1])
      }),
    )
    for (const { keys } of said.filter((one) => one.admitted))
      for (const key of keys) admitted.set(key, (admitted.get(key) ?? 0) + 1)
  }
  // What is refused at the same time may keep another out; alone, each gets what is left.
  const look = async (limit: Limit | undefined, key: string): Promise<number> =>
    (await stores[0]?.admit([limit as Limit], [key], [0]))?.remaining[0] as number
  for (const [key, count] of admitted) {
    const limit = rule[key === 'all' ? 0 : key.length === 2 ? 1 : 2]
    expect(count).toBeLessThanOrEqual(limit?.limit ?? 0)
    await expect.poll(() => look(limit, key), { message: key }).toBe((limit?.limit ?? 0) - count)
  }
  expect(admitted.get('all')).toBe(600)
})

test('goes on with the other nodes when one is gone', async () => {
  const shrinking = await startRedisCluster()
  const [, , last] = shrinking.nodes
  const store = await open({ timeout: 50, onError: 'allow' }, shrinking)
  const limits = [limitOf({ limit: 1000 })]
  const ask = async (key: string): Promise<string> => (await store.admit(limits, [key], [1])).decidedBy
  const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
  const isGone = (key: string): boolean =>
    slotOf(`sluice:limit:fixed_window:test:${key}`) >= Math.floor((16_384 * 2) / 3)
  for (const key of keys) expect(await ask(key)).toBe('store')
  await last?.kill()
  for (let round = 0; round < 3; round++)
    for (const key of keys) {
      const by = await ask(key)
      if (isGone(key)) expect(by).toBe('allow')
    }
  for (const key of keys) await expect.poll(() => ask(key), { timeout: 10_000 }).toBe(isGone(key) ? 'allow' : 'store')
})
