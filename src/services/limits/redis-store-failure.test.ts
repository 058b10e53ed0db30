import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { closeStores, connected, limitOf, openClient, openStore } from '../../../test/support/limit-store.ts'
import { type RedisServer, startRedis, startSentinel, stopRedis } from '../../../test/support/redis.ts'
import { type Instruments, noInstruments } from '../../core/services/instruments.ts'
import type { Admission, LimitStore } from '../../core/services/limits.ts'
import type { RedisClient } from '../redis.ts'
import type { RedisLimitStore } from './redis-store.ts'

let server: RedisServer
let client: RedisClient

beforeEach(async () => {
  server = await startRedis()
  client = openClient([`:${server.port}`])
  await connected(client)
})

afterEach(async () => {
  closeStores()
  await stopRedis()
})

/** The bound that is tested. Nobody may wait longer, but for what this machine does besides. */
const timeout = 50
const leeway = 400

const limits = [limitOf({ limit: 1_000_000 })]

/** What was said, and how long that took. */
async function timed(store: LimitStore): Promise<Admission & { readonly took: number }> {
  const from = performance.now()
  const said = await store.admit(limits, ['a'], [1])
  return Object.assign(said, { took: performance.now() - from })
}

/** Asks all the time, for so many milliseconds, as 8 requests at once do. */
async function load(store: LimitStore, time: number): Promise<readonly Awaited<ReturnType<typeof timed>>[]> {
  const end = performance.now() + time
  const said: Awaited<ReturnType<typeof timed>>[] = []
  const one = async (): Promise<void> => {
    while (performance.now() < end) {
      said.push(await timed(store))
      await sleep(1)
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
  return said
}

async function expectWorking(store: LimitStore): Promise<void> {
  await expect.poll(async () => (await timed(store)).decidedBy, { timeout: 10_000 }).toBe('store')
}

/** Breaks the store under load, and has it work again. */
async function breakAndMend(store: RedisLimitStore, breaks: () => unknown, mend: () => unknown): Promise<void> {
  await expectWorking(store)
  const loaded = load(store, 1500)
  await sleep(100)
  await breaks()
  const said = await loaded
  for (const { decidedBy, admitted, took } of said) {
    expect(took).toBeLessThan(timeout + leeway)
    if (decidedBy !== 'store') expect({ decidedBy, admitted }).toEqual({ decidedBy: 'allow', admitted: true })
  }
  const undecided = said.filter(({ decidedBy }) => decidedBy !== 'store')
  expect(undecided.length).toBeGreaterThan(0)
  // Left alone, it makes nobody wait.
  const waits = undecided.map(({ took }) => took).sort((a, b) => a - b)
  expect(waits[Math.floor(waits.length / 2)]).toBeLessThan(timeout)
  await mend()
  await expectWorking(store)
}

describe('nobody waits longer than the bound, and it works again by itself, when Redis', () => {
  const open = (): RedisLimitStore => openStore(client, { timeout, onError: 'allow' })

  test('is frozen', () =>
    breakAndMend(
      open(),
      () => server.freeze(),
      () => server.thaw(),
    ))

  test('is killed and comes back with an empty memory', () =>
    breakAndMend(
      open(),
      () => server.kill(),
      () => server.start(),
    ))

  test('is stopped', () =>
    breakAndMend(
      open(),
      () => server.stop(),
      () => server.start(),
    ))

  test('answers with errors', () =>
    breakAndMend(
      open(),
      () => server.command('CONFIG', 'SET', 'maxmemory', '1'),
      () => server.command('CONFIG', 'SET', 'maxmemory', '0'),
    ))
})

test('a short stop goes by without being noticed', async () => {
  const store = openStore(client, { timeout: 2000 })
  await expectWorking(store)
  server.freeze()
  const waiting = Promise.all(Array.from({ length: 100 }, () => timed(store)))
  await sleep(50)
  server.thaw()
  for (const { decidedBy } of await waiting) expect(decidedBy).toBe('store')
})

test('a process that was busy longer than the bound still believes the reply that came meanwhile', async () => {
  const store = openStore(client, { timeout: 150 })
  await expectWorking(store)
  for (let i = 0; i < 3; i++) {
    const said = timed(store)
    // Sent at the end of this turn; then this thread does something else.
    setImmediate(() => setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)))
    expect((await said).decidedBy).toBe('store')
  }
})

describe('what decides in its place', () => {
  test.each([
    ['allow', { admitted: true, retryAfter: 0, decidedBy: 'allow' }],
    ['deny', { admitted: false, retryAfter: 1000, refusedBy: -1, decidedBy: 'deny' }],
  ] as const)('%s', async (onError, expected) => {
    const store = openStore(client, { timeout, onError })
    await server.kill()
    await expect.poll(() => client.state).toBe('broken')
    for (let i = 0; i < 20; i++) expect(await timed(store)).toMatchObject(expected)
  })

  test('node: what the counters of the node say, and they get back what they gave', async () => {
    const released: Admission[] = []
    const node: LimitStore = {
      admit: (asked, keys) => ({
        admitted: true,
        refusedBy: -1,
        remaining: [7],
        resetAt: [1],
        retryAfter: 0,
        delay: 3,
        wouldRefuse: 0,
        decidedBy: 'store',
        limits: asked,
        keys,
        previous: null,
      }),
      release: (admission) => released.push(admission),
    }
    const store = openStore(client, { timeout, onError: 'node' }, { node })
    await server.kill()
    const said = await timed(store)
    expect(said).toMatchObject({ admitted: true, remaining: [7], delay: 3, decidedBy: 'node', limits, keys: ['a'] })
    store.release(said)
    expect(released).toMatchObject([{ remaining: [7], decidedBy: 'store' }])
  })
})

test('gives back the slots that Redis gave too late', async () => {
  const store = openStore(client, { timeout, onError: 'allow' })
  const slots = [limitOf({ algorithm: 'concurrency', limit: 2, window: 60_000 })]
  const held = await store.admit(slots, ['a'], [1])
  server.freeze()
  const said = await store.admit(slots, ['a'], [1])
  expect(said.decidedBy).toBe('allow')
  store.release(said)
  server.thaw()
  await expect.poll(() => server.command('ZCARD', 'sluice:limit:concurrency:test:a'), { timeout: 10_000 }).toBe(1)
  // What ends while Redis is away is told when it is back.
  server.freeze()
  store.release(held)
  for (let i = 0; i < 6; i++) await timed(store)
  server.thaw()
  await expect.poll(() => server.command('ZCARD', 'sluice:limit:concurrency:test:a'), { timeout: 10_000 }).toBe(0)
})

test('gives back what ended while there was no connection', async () => {
  const store = openStore(client, { timeout, onError: 'allow' })
  const slots = [limitOf({ algorithm: 'concurrency', limit: 2, window: 60_000 })]
  const held = await store.admit(slots, ['a'], [1])
  expect(await server.command('ZCARD', 'sluice:limit:concurrency:test:a')).toBe(1)
  client.onState((state) => {
    if (state === 'broken') store.release(held)
  })
  await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await expect.poll(() => server.command('ZCARD', 'sluice:limit:concurrency:test:a'), { timeout: 10_000 }).toBe(0)
})

test('follows the master that sentinels name', async () => {
  const sentinel = await startSentinel()
  const followed = openClient(sentinel.addresses, { mode: 'sentinel', master: sentinel.name })
  await connected(followed)
  const store = openStore(followed, { timeout, onError: 'allow' })
  await expectWorking(store)
  const before = Number((await timed(store)).remaining[0])
  await expect.poll(() => sentinel.replica.command('EXISTS', 'sluice:limit:fixed_window:test:a')).toBe(1)
  await sentinel.master.kill()
  for (const { took } of await load(store, 300)) expect(took).toBeLessThan(timeout + leeway)
  await expect.poll(async () => (await timed(store)).decidedBy, { timeout: 20_000 }).toBe('store')
  expect(Number((await timed(store)).remaining[0])).toBeLessThan(before)
})

test('says how it goes', async () => {
  const figures = new Map<string, number>()
  const add = (name: string, value: number): void => void figures.set(name, (figures.get(name) ?? 0) + value)
  const gauges = new Map<string, () => number>()
  const instruments: Instruments = {
    ...noInstruments,
    counter: (name, _help, labels = []) => ({ add: (count) => add([name, ...labels].join(' '), count) }),
    gauge: (name, _help, _labels, _over, read) => void gauges.set(name, read),
    distribution: (name) => ({ record: (value) => add(name, value) }),
  }
  const store = openStore(client, { timeout, onError: 'allow' }, { instruments })
  await Promise.all(Array.from({ length: 30 }, () => timed(store)))
  expect(figures.get('sluice_limit_decisions_total decided_by store')).toBe(30)
  expect(figures.get('sluice_limit_batch_size')).toBe(30)
  expect(figures.get('sluice_limit_store_duration_seconds')).toBeGreaterThan(0)
  expect(gauges.get('sluice_limit_store_breakers_open')?.()).toBe(0)
  server.freeze()
  for (let i = 0; i < 8; i++) await timed(store)
  expect(figures.get('sluice_limit_store_errors_total kind timeout')).toBe(5)
  expect(figures.get('sluice_limit_decisions_total decided_by allow')).toBe(8)
  expect(gauges.get('sluice_limit_store_breakers_open')?.()).toBe(1)
})
