import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { NodeLink } from '../../test/support/node-link.ts'
import { startRedis, stopRedis } from '../../test/support/redis.ts'
import { createKey, hashKey } from '../core/api-key.ts'
import { ApiKeysFault, type KeyAnswer } from '../core/services/api-keys.ts'
import { noInstruments } from '../core/services/instruments.ts'
import { ApiKeyCache } from './api-key-cache.ts'
import { RedisClient } from './redis.ts'

const log = { info() {}, warn() {}, error() {} }
const closers: (() => void)[] = []

afterEach(async () => {
  for (const close of closers.splice(0)) close()
  await stopRedis()
})

async function start(staleness = 60_000) {
  const server = await startRedis()
  const settings = {
    mode: 'single' as const,
    addresses: [{ host: '127.0.0.1', port: server.port }],
    master: null,
    username: null,
    password: null,
    sentinel_username: null,
    sentinel_password: null,
    database: 0,
    tls: null,
    key_prefix: '',
    connect_timeout: 5000,
    command_timeout: 10_000,
    max_in_flight: 1000,
  }
  const redis = new RedisClient(settings, { role: 'worker', instruments: noInstruments, log })
  const host = { link: new NodeLink().join().link, instruments: noInstruments, log }
  const cache = new ApiKeyCache({ staleness, entries: 10 }, redis, host, { onUse() {}, onClose() {} })
  cache.setTracking(true)
  closers.push(() => redis.close())
  const put = (name: string, tier: string): Promise<unknown> =>
    server.command('HSET', `api-key:${name}`, 'hash', hashKey(createKey('sk', name)), 'consumer', 'acme', 'tier', tier)
  return { server, cache, put }
}

function tierOf(answer: KeyAnswer): string | null {
  if (answer === null || answer instanceof ApiKeysFault) throw new Error('no key')
  return answer.tier
}

test('who asks after a change never gets what was read before it', async () => {
  const { server, cache, put } = await start()
  await put('a', 'old')
  await cache.find('other')

  server.freeze()
  const early = cache.find('a')
  // By now it is on its way to Redis.
  await sleep(50)
  expect(cache.find('a')).toBe(early)
  cache.forget(['a'])
  const late = cache.find('a')
  expect(late).toBeInstanceOf(Promise)
  expect(late).not.toBe(early)
  server.thaw()
  expect(tierOf(await early)).toBe('old')
  expect(tierOf(await late)).toBe('old')
  expect(cache.find('a')).toBe(await late)
})

test('who asks after all may have changed, neither', async () => {
  const { server, cache, put } = await start()
  await put('a', 'old')
  await cache.find('other')
  server.freeze()
  const early = cache.find('a')
  await sleep(50)
  cache.forget(null)
  expect(cache.find('a')).not.toBe(early)
  server.thaw()
  await early
})

test('what was read before changes are told is read once more', async () => {
  const { cache, put } = await start()
  await put('a', 'old')
  const key = await cache.find('a')
  expect(cache.find('a')).toBe(key)
  cache.setTracking(true)
  const again = cache.find('a')
  expect(again).toBeInstanceOf(Promise)
  // Nothing has changed: it is the same object.
  expect(await again).toBe(key)
  expect(cache.find('a')).toBe(key)
  await put('a', 'new')
  cache.setTracking(true)
  expect(tierOf(await cache.find('a'))).toBe('new')
})

test('a key is read anew in good time, and nobody waits for that', async () => {
  const { cache, put } = await start(200)
  await put('a', 'old')
  const key = await cache.find('a')
  await put('a', 'new')
  // Nobody has told of the change: the key gets older than half of what it may.
  let answer: KeyAnswer | Promise<KeyAnswer> = key
  const end = Date.now() + 10_000
  while (answer === key && Date.now() < end) {
    await sleep(5)
    answer = cache.find('a')
    if (answer instanceof Promise) break
  }
  // A slow machine may have slept for longer than that.
  expect(tierOf(await answer)).toBe('new')
})

test('answers those who wait when it is closed', async () => {
  const { server, cache } = await start()
  await cache.find('other')
  server.freeze()
  const sent = cache.find('a')
  await sleep(50)
  const waiting = cache.find('b')
  cache.close()
  expect(await waiting).toMatchObject({ kind: 'unavailable' })
  expect(cache.find('c')).toMatchObject({ kind: 'unavailable' })
  server.thaw()
  expect(await sent).toBeNull()
})
