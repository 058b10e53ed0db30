import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
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

/** The bound that is tested. Nobody may wait longer, but for what this process does besides. */
const timeout = 50
const leeway = 100
/** Where Redis has to answer, however busy the machine is. */
const patient = 500

const limits = [limitOf({ limit: 1_000_000 })]

type Timed = Admission & { readonly isLate: boolean; readonly waited: boolean }

/** What was said, and whether that came behind a timer that began with it: who is kept from its work sees both come late. */
async function timed(store: LimitStore): Promise<Timed> {
  let isLate = false
  const timer = setTimeout(() => {
    // The store, too, looks at its sockets before it decides.
    void turn()
      .then(turn)
      .then(() => (isLate = true))
  }, timeout + leeway)
  const saying = store.admit(limits, ['a'], [1])
  const said = await saying
  clearTimeout(timer)
  return Object.assign(said, { isLate, waited: saying instanceof Promise })
}

/** Asks all the time, for so many milliseconds, as 8 requests at once do. */
async function load(store: LimitStore, time: number): Promise<readonly Timed[]> {
  const end = performance.now() + time
  const said: Timed[] = []
  const one = async (): Promise<void> => {
    while (performance.now() < end) {
      said.push(await timed(store))
      await sleep(1)
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
  return said
}

/** What the store says as soon as it says something. */
function expectWorking(store: LimitStore): Promise<Admission> {
  const look = async (): Promise<Admission | false> => {
    const said = await timed(store)
    return said.decidedBy === 'store' && said
  }
  return vi.waitUntil(look, { timeout: 20_000, interval: 20 })
}

/** Breaks the store under load, and has it work again. */
async function breakAndMend(store: RedisLimitStore, breaks: () => unknown, mend: () => unknown): Promise<void> {
  await expectWorking(store)
  const loaded = load(store, 1500)
  await sleep(100)
  await breaks()
  const said = await loaded
  for (const { decidedBy, admitted, isLate } of said) {
    expect(isLate).toBe(false)
    if (decidedBy !== 'store') expect({ decidedBy, admitted }).toEqual({ decidedBy: 'allow', admitted: true })
  }
  const undecided = said.filter(({ decidedBy }) => decidedBy !== 'store')
  expect(undecided.length).toBeGreaterThan(0)
  // Left alone, it makes nobody wait.
  expect(undecided.filter(({ waited }) => !waited).length).toBeGreaterThan(undecided.length / 2)
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
  const store = openStore(client, { timeout: patient, onError: 'allow' })
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
  const store = openStore(client, { timeout: patient, onError: 'allow' })
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
  const before = await expectWorking(store)
  const exists = (): Promise<unknown> => sentinel.replica.command('EXISTS', 'sluice:limit:fixed_window:test:a')
  await expect.poll(exists, { timeout: 10_000 }).toBe(1)
  await sentinel.master.kill()
  for (const { isLate } of await load(store, 300)) expect(isLate).toBe(false)
  const after = await expectWorking(store)
  expect(after.remaining[0]).toBeLessThan(before.remaining[0] as number)
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
  const openBreakers = (): number | undefined => gauges.get('sluice_limit_store_breakers_open')?.()
  const patientStore = openStore(client, { timeout: patient, onError: 'allow' }, { instruments })
  await Promise.all(Array.from({ length: 30 }, () => timed(patientStore)))
  expect(figures.get('sluice_limit_decisions_total decided_by store')).toBe(30)
  expect(figures.get('sluice_limit_batch_size')).toBe(30)
  expect(figures.get('sluice_limit_store_duration_seconds')).toBeGreaterThan(0)
  const store = openStore(client, { timeout, onError: 'allow' }, { instruments })
  expect(openBreakers()).toBe(0)
  server.freeze()
  for (let i = 0; i < 8; i++) await timed(store)
  expect(figures.get('sluice_limit_store_errors_total kind timeout')).toBe(5)
  expect(figures.get('sluice_limit_decisions_total decided_by allow')).toBe(8)
  expect(openBreakers()).toBe(1)
})
