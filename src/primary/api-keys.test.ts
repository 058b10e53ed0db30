import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { NodeLink } from '../../test/support/node-link.ts'
import { type RedisServer, startRedis, startRedisCluster, stopRedis } from '../../test/support/redis.ts'
import { createKey, hashKey, matchesHash } from '../core/api-key.ts'
import type { Kept, PluginLog } from '../core/plugin.ts'
import {
  type ApiKeySettings,
  type ApiKeys,
  ApiKeysFault,
  type KeyAnswer,
  type StoredKey,
} from '../core/services/api-keys.ts'
import { noInstruments } from '../core/services/instruments.ts'
import type { RedisSettings } from '../core/services/redis.ts'
import { ApiKeyStore } from '../services/api-keys.ts'
import { RedisClient } from '../services/redis.ts'
import { ApiKeyTracker } from './api-keys.ts'

const hash = hashKey(createKey('sk', 'a'))
const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) close()
  await stopRedis()
})

interface Worker extends ApiKeys {
  close(): void
  leave(): void
}

/** A primary and as many workers as are asked for, on a Redis. */
function node(server: Pick<RedisServer, 'port'>, more: Partial<RedisSettings> = {}) {
  const link = new NodeLink()
  const warnings: Record<string, unknown>[] = []
  const warn = (message: string, fields?: object): void => void warnings.push({ message, ...fields })
  const log: PluginLog = { info() {}, warn, error() {} }
  const settings = settingsFor(server, more)
  const tracker = new ApiKeyTracker(link.primary, log, noInstruments)
  tracker.configure({ redis: settings })
  closers.push(() => tracker.close())
  return {
    tracker,
    warnings,
    worker: (bounds: Partial<ApiKeySettings> = {}): Worker => {
      const end = link.join()
      const host = { link: end.link, instruments: noInstruments, log }
      const redis = new RedisClient(settings, { role: 'worker', instruments: noInstruments, log })
      const kept: Kept[] = []
      const keys = new ApiKeyStore(host).open({ staleness: 60_000, entries: 1000, ...bounds }, redis, (_key, make) => {
        const thing = make()
        kept.push(thing)
        return thing
      })
      const close = (): void => {
        for (const thing of kept.splice(0)) thing.close?.()
        redis.close()
      }
      closers.push(close)
      return { find: (name) => keys.find(name), close, leave: () => end.leave() }
    },
    tracking: async () => {
      await until('tracking', () => JSON.stringify(tracker.status()) === '{"tracking":true}')
      // The primary may just have found out: the workers hear of it in the next turn of the event loop.
      await turn()
    },
  }
}

function settingsFor(server: Pick<RedisServer, 'port'>, more: Partial<RedisSettings>): RedisSettings {
  return {
    mode: 'single',
    addresses: [{ host: '127.0.0.1', port: server.port }],
    master: null,
    username: null,
    password: null,
    sentinel_username: null,
    sentinel_password: null,
    database: 0,
    tls: null,
    key_prefix: 'test:',
    connect_timeout: 1000,
    command_timeout: 300,
    max_in_flight: 10_000,
    ...more,
  }
}

/** Looks again and again; what is awaited has no other sign. */
async function until(what: string, isSo: () => boolean | Promise<boolean>, timeout = 15_000): Promise<number> {
  const start = performance.now()
  while (!(await isSo())) {
    if (performance.now() - start > timeout) throw new Error(`not ${what} within ${timeout} ms`)
    await sleep(5)
  }
  return performance.now() - start
}

async function put(server: RedisServer, name: string, fields: Record<string, string> = {}): Promise<void> {
  const all = { hash, consumer: 'acme', ...fields }
  await server.command('HSET', `test:api-key:${name}`, ...Object.entries(all).flat())
}

async function found(keys: ApiKeys, name: string): Promise<StoredKey> {
  const answer = await keys.find(name)
  if (answer === null || answer instanceof ApiKeysFault) throw new Error(`no key: ${answer?.detail}`)
  return answer
}

/** Some of them may be there at once. */
function allOf(answers: readonly (KeyAnswer | Promise<KeyAnswer>)[]): Promise<KeyAnswer[]> {
  return Promise.all(answers.map((answer) => Promise.resolve(answer)))
}

async function calls(server: RedisServer, command: string): Promise<number> {
  const stats = String(await server.command('INFO', 'commandstats'))
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

async function trackers(server: RedisServer): Promise<number> {
  const list = String(await server.command('CLIENT', 'LIST'))
  return list.split('name=sluice-primary-tracker').length - 1
}

describe('a key of Redis', () => {
  test('is read once, with all that it says', async () => {
    const server = await startRedis()
    const times = { expires: '2999-01-01', tier: 'gold', tenant: 't1' }
    await put(server, 'a', { ...times, scopes: 'orders:read  orders:write', status: 'active' })
    const { worker, tracking } = node(server)
    const keys = worker()
    await found(keys, 'a')
    await tracking()

    const key = await found(keys, 'a')
    expect(key).toMatchObject({ id: 'a', consumer: 'acme', tier: 'gold', tenant: 't1', status: 'active' })
    expect(key.scopes).toEqual(['orders:read', 'orders:write'])
    expect(key.expiresAt).toBe(Date.UTC(2999, 0, 1))
    expect(matchesHash('other', key.hash)).toBe(false)
    // What was read before changes are told is read once more.
    await until('kept', () => keys.find('a') === key)
    const before = await calls(server, 'hmget')
    for (let i = 0; i < 100; i++) expect(keys.find('a')).toBe(key)
    expect(await calls(server, 'hmget')).toBe(before)
  })

  test('has what its consumer has where it says nothing, and another id where it says so', async () => {
    const server = await startRedis()
    await put(server, 'h.00', { id: 'partner', tier: '', scopes: '', expires: '', status: '' })
    const key = await found(node(server).worker(), 'h.00')
    expect(key).toMatchObject({ id: 'partner', tier: null, tenant: null, scopes: null, expiresAt: 0, status: 'active' })
  })

  test('that many ask for at once is read once, and others along with it', async () => {
    const server = await startRedis()
    for (const name of ['a', 'b', 'c']) await put(server, name)
    const keys = node(server).worker()
    const names = ['a', 'b', 'c', 'none', 'a', 'a', 'b']
    const answers = await allOf(names.map((name) => keys.find(name)))
    expect(answers.map((answer) => (answer as StoredKey | null)?.id ?? null)).toEqual([
      'a',
      'b',
      'c',
      null,
      'a',
      'a',
      'b',
    ])
    expect(await calls(server, 'hmget')).toBe(4)
  })

  test.each([
    ['hash', 'sk_live_abc123', '"hash" is none'],
    ['consumer', '', 'no "consumer"'],
    ['status', 'revoked', '"status"'],
    ['expires', 'soon', '"expires"'],
  ])('with %s %j opens nothing, and the log says so once', async (field, value, words) => {
    const server = await startRedis()
    await put(server, 'a', { [field]: value })
    const { worker, warnings } = node(server)
    const keys = worker({ staleness: 10 })
    for (let i = 0; i < 3; i++) {
      expect(await keys.find('a')).toBeNull()
      await sleep(15)
    }
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatchObject({ key: 'a', reason: expect.stringContaining(words) as string })
    expect(JSON.stringify(warnings)).not.toContain('sk_live_abc123')
  })

  test('that is something else than a hash opens nothing, and others beside it do', async () => {
    const server = await startRedis()
    await server.command('SET', 'test:api-key:a', 'text')
    await put(server, 'b')
    const keys = node(server).worker()
    const [a, b] = await Promise.all([keys.find('a'), keys.find('b')])
    expect(a).toBeNull()
    expect(b).toMatchObject({ id: 'b' })
  })
})

describe('a change', () => {
  const changes: [string, (server: RedisServer) => Promise<unknown>][] = [
    ['a field', (server) => server.command('HSET', 'test:api-key:a', 'status', 'disabled')],
    ['deletion', (server) => server.command('DEL', 'test:api-key:a')],
    ['another name', (server) => server.command('RENAME', 'test:api-key:a', 'test:api-key:b')],
    ['running out', (server) => server.command('PEXPIRE', 'test:api-key:a', 1)],
    ['emptying all', (server) => server.command('FLUSHALL')],
    ['a script', (server) => server.command('EVAL', "redis.call('DEL', KEYS[1])", 1, 'test:api-key:a')],
  ]

  test.each(changes)('(%s) is known to every worker', async (_name, change) => {
    const server = await startRedis()
    await put(server, 'a')
    const { worker, tracking } = node(server)
    const workers = [worker(), worker()]
    for (const keys of workers) await found(keys, 'a')
    await tracking()
    for (const keys of workers) await until('kept', () => !(keys.find('a') instanceof Promise))

    await change(server)
    const took = await until('known', async () => {
      const answers = await allOf(workers.map((keys) => keys.find('a')))
      return answers.every((answer) => !(answer instanceof ApiKeysFault) && answer?.status !== 'active')
    })
    expect(took).toBeLessThan(5000)
  })

  test('brings a key that was not there', async () => {
    const server = await startRedis()
    const { worker, tracking } = node(server)
    const keys = worker()
    expect(await keys.find('a')).toBeNull()
    await tracking()
    await until('kept', () => keys.find('a') === null)
    await put(server, 'a')
    await until('there', async () => (await keys.find('a')) !== null, 5000)
  })

  test('is known within about a second also where Redis does not tell of it', async () => {
    const server = await startRedis()
    await server.command('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all', '-client|tracking')
    await put(server, 'a')
    const { worker, warnings, tracker } = node(server, { username: 'limited', password: 'secret' })
    const keys = worker()
    await found(keys, 'a')
    await until('refused', () => warnings.length > 0)
    expect(warnings[0]).toMatchObject({ message: expect.stringContaining('does not tell of changes') as string })
    expect(tracker.status()).toEqual({ tracking: false })
    await server.command('DEL', 'test:api-key:a')
    const took = await until('gone', async () => (await keys.find('a')) === null)
    expect(took).toBeLessThan(5000)
    expect(warnings).toHaveLength(1)
  })

  test('that was missed is known when Redis is heard again', async () => {
    const server = await startRedis()
    await put(server, 'a')
    const { worker, tracking } = node(server)
    const keys = worker()
    await found(keys, 'a')
    await tracking()
    await until('kept', () => !(keys.find('a') instanceof Promise))
    await Promise.all([server.command('CLIENT', 'KILL', 'TYPE', 'pubsub'), server.command('DEL', 'test:api-key:a')])
    await until('gone', async () => (await keys.find('a')) === null)
    await tracking()
  })
})

test('a cluster, whose nodes tell of their own keys only, is asked every second', async () => {
  const { nodes } = await startRedisCluster()
  const { worker, tracker } = node(nodes[0] as RedisServer, { mode: 'cluster' })
  const keys = worker()
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  // Whose slot lies elsewhere, that node refuses.
  const onAll = (...command: [string, string, ...string[]]): Promise<unknown> =>
    Promise.any(nodes.map((server) => server.command(...command)))
  for (const name of names) await onAll('HSET', `test:api-key:${name}`, 'hash', hash, 'consumer', 'acme')
  await until('there', async () => (await keys.find('a')) !== null && !((await keys.find('a')) instanceof ApiKeysFault))
  for (const name of names) expect(await found(keys, name)).toMatchObject({ id: name })
  for (const name of names) await onAll('DEL', `test:api-key:${name}`)
  const took = await until('gone', async () =>
    (await allOf(names.map((name) => keys.find(name)))).every((answer) => answer === null),
  )
  expect(took).toBeLessThan(5000)
  expect(tracker.status()).toEqual({ tracking: false })
})

describe('when Redis is gone', () => {
  test('keys are believed for a while, then nothing is', async () => {
    const server = await startRedis()
    await put(server, 'a')
    const { worker } = node(server)
    const keys = worker({ staleness: 3000 })
    const key = await found(keys, 'a')
    const start = performance.now()
    server.freeze()
    const stranger = await keys.find('b')
    expect(stranger).toMatchObject({ kind: 'unavailable' })
    let answer = await keys.find('a')
    let believed = 0
    while (answer === key) {
      believed++
      await sleep(10)
      answer = await keys.find('a')
    }
    expect(answer).toMatchObject({ kind: 'unavailable' })
    expect(performance.now() - start).toBeGreaterThan(2000)
    expect(believed).toBeGreaterThan(3)

    server.thaw()
    await until(
      'back',
      async () => (await keys.find('a')) !== null && !((await keys.find('a')) instanceof ApiKeysFault),
    )
  })

  test('nobody waits longer than for one command, and most not at all', async () => {
    const server = await startRedis()
    await put(server, 'a')
    const { worker } = node(server)
    const keys = worker()
    const key = await found(keys, 'a')
    server.freeze()
    let waits = 0
    const end = performance.now() + 3000
    while (performance.now() < end) {
      const answer = keys.find('a')
      if (answer instanceof Promise) waits++
      expect(await answer).toBe(key)
      await sleep(5)
    }
    expect(waits).toBeLessThan(5)
    server.thaw()
  })

  test('a restart with empty memory takes the keys away', async () => {
    const server = await startRedis()
    await put(server, 'a')
    const { worker, tracking } = node(server)
    const keys = worker()
    await found(keys, 'a')
    await tracking()
    await server.restart()
    await until('gone', async () => (await keys.find('a')) === null)
    await put(server, 'a')
    await until('there', async () => (await keys.find('a')) !== null)
  })
})

test('a flood of strangers neither pushes keys out nor waits without end', async () => {
  const server = await startRedis()
  await put(server, 'a')
  const { worker, tracking } = node(server)
  const keys = worker({ entries: 2 })
  await found(keys, 'a')
  await tracking()
  await until('kept', () => !(keys.find('a') instanceof Promise))
  const key = keys.find('a')

  const answers = await allOf(Array.from({ length: 30_000 }, (_, i) => keys.find(`stranger-${i}`)))
  const refused = answers.filter((answer) => answer instanceof ApiKeysFault)
  expect(refused.length).toBeGreaterThan(20_000)
  expect(refused[0]).toMatchObject({ kind: 'overloaded' })
  expect(answers.filter((answer) => answer === null).length).toBeGreaterThan(1000)
  expect(keys.find('a')).toBe(key)
})

test('more keys than fit are read again', async () => {
  const server = await startRedis()
  for (const name of ['a', 'b', 'c']) await put(server, name)
  const keys = node(server).worker({ entries: 2 })
  for (const name of ['a', 'b', 'c', 'a', 'b', 'c']) expect(await found(keys, name)).toMatchObject({ id: name })
  expect(await calls(server, 'hmget')).toBe(6)
})

describe('the primary', () => {
  test('asks nothing of Redis before a worker uses keys, and nothing more afterwards', async () => {
    const server = await startRedis()
    const { worker } = node(server)
    const [one, two] = [worker(), worker()]
    expect(await trackers(server)).toBe(0)
    await one.find('a')
    await two.find('a')
    await until('one listener', async () => (await trackers(server)) === 1)
    one.close()
    two.leave()
    await until('no listener', async () => (await trackers(server)) === 0)
  })

  test('goes with the configuration to another Redis', async () => {
    const [first, second] = [await startRedis(), await startRedis()]
    const { worker, tracker, tracking } = node(first)
    await worker().find('a')
    await tracking()
    tracker.configure({ redis: settingsFor(second, {}) })
    await until('there', async () => (await trackers(second)) === 1)
    await until('away', async () => (await trackers(first)) === 0)
    await tracking()
    tracker.configure({ redis: null })
    await until('away', async () => (await trackers(second)) === 0)
    expect(tracker.status()).toEqual({ tracking: false })
  })
})
