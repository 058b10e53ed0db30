import { createSecretKey } from 'node:crypto'
import { get } from 'node:http'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createKey, hashKey, indexOfDigest, keyedDigest, keyedHashOfKey } from '../../src/core/api-key.ts'
import { type GatewayOptions, type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type RedisServer, startRedis, stopRedis } from '../support/redis.ts'
import { type Echo, startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'

let upstream: TestUpstream
let redis: RedisServer
beforeAll(async () => {
  upstream = await startUpstream()
})
afterEach(async () => {
  await stopGateways()
  await stopRedis()
})
afterAll(stopUpstreams)

function configured(keyAuth: object, more: object = {}): object {
  return {
    routes: [{ name: 'all', upstream: upstream.url, plugins: [{ name: 'key-auth', config: keyAuth }] }],
    ...more,
  }
}

async function start(keyAuth: object, more: object = {}, options: GatewayOptions = {}): Promise<RunningGateway> {
  return startGateway(configured(keyAuth, more), { workers: 2, ...options })
}

/** On a Redis of its own. */
async function startOnRedis(keyAuth: object = {}, more: object = {}): Promise<RunningGateway> {
  redis = await startRedis()
  return start({ redis: true, ...keyAuth }, { redis: { url: redis.url, command_timeout: '300ms' }, ...more })
}

async function put(name: string, key: string, fields: Record<string, string> = {}): Promise<void> {
  const all = { hash: hashKey(key), consumer: 'acme', ...fields }
  await redis.command('HSET', `sluice:api-key:${name}`, ...Object.entries(all).flat())
}

/** A request on a connection of its own: the kernel gives it to any of the workers. */
function statusOf(gateway: RunningGateway, key: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get(`${gateway.url}/`, { agent: false, headers: { 'x-api-key': key } }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    }).once('error', reject)
  })
}

/** The statuses of so many requests that no worker is left out. */
async function statuses(gateway: RunningGateway, key: string): Promise<number[]> {
  const all = await Promise.all(Array.from({ length: 24 }, () => statusOf(gateway, key)))
  return [...new Set(all)]
}

/** Milliseconds until all workers answer so. */
async function untilAll(status: number, gateway: RunningGateway, key: string, timeout = 15_000): Promise<number> {
  const start = performance.now()
  for (;;) {
    const seen = await statuses(gateway, key)
    if (seen.length === 1 && seen[0] === status) return performance.now() - start
    if (performance.now() - start > timeout)
      throw new Error(`not all ${status} but ${seen.join()}\n${gateway.output()}`)
  }
}

/** A slow machine may take longer; without all this a key would live for a minute. */
const soon = 5000

test('a key is checked, its owner told to the upstream, and the key kept from it', async () => {
  const key = createKey('sk_live', 'k1')
  const entry = { id: 'k1', hash: hashKey(key), consumer: 'acme', scopes: ['orders:read'] }
  const consumers = [{ id: 'acme', tier: 'gold', tenant: 't1' }]
  const gateway = await start({ keys: [entry], from: [{ header: 'x-api-key' }, { query: 'key' }] }, { consumers })

  const forged = { 'x-consumer-id': 'root', 'x-api-key-id': 'forged', 'x-user-scopes': 'admin', 'x-tenant-id': 't9' }
  const { statusCode, body } = await request(`${gateway.url}/a?b=c&key=${key}`, { headers: forged })
  expect(statusCode).toBe(200)
  const { url, headers } = (await body.json()) as Echo
  expect(url).toBe('/a?b=c')
  expect(headers).toMatchObject({
    'x-consumer-id': 'acme',
    'x-api-key-id': 'k1',
    'x-user-scopes': 'orders:read',
    'x-tenant-id': 't1',
  })
  expect(JSON.stringify(headers)).not.toContain(key)

  const none = await request(`${gateway.url}/`, { headers: forged })
  expect(none.statusCode).toBe(401)
  expect(none.headers['www-authenticate']).toBe('Key realm="api"')
  expect(await none.body.json()).toMatchObject({ error: 'credentials_missing' })
  const wrong = await request(`${gateway.url}/wrong`, { headers: { 'x-api-key': createKey('sk_live', 'k1') } })
  expect(await wrong.body.json()).toMatchObject({ error: 'credentials_invalid' })

  const line = await gateway.waitFor('its line', () => gateway.accessLog().find(({ path }) => path === '/wrong'))
  expect(line).toMatchObject({ status: 401, failure: 'credentials_invalid', failure_detail: 'key_wrong' })
  expect(gateway.accessLog().find(({ path }) => path === '/a')).toMatchObject({ consumer: 'acme' })
  expect(gateway.output()).not.toContain(key)
})

describe('a key that is killed is dead in every worker', () => {
  const key = createKey('sk_live', 'k1')

  test('however somebody at Redis does it', async () => {
    const ways: Record<string, () => Promise<unknown>> = {
      deleted: () => redis.command('DEL', 'sluice:api-key:deleted'),
      disabled: () => redis.command('HSET', 'sluice:api-key:disabled', 'status', 'disabled'),
      expired: () => redis.command('HSET', 'sluice:api-key:expired', 'expires', '2020-01-01T00:00:00Z'),
      replaced: () => put('replaced', createKey('sk_live', 'replaced')),
      forgotten: () => redis.command('FLUSHALL'),
    }
    const gateway = await startOnRedis()
    for (const [id, kill] of Object.entries(ways)) {
      const own = createKey('sk_live', id)
      await put(id, own)
      await untilAll(200, gateway, own)
      await kill()
      expect(await untilAll(401, gateway, own), id).toBeLessThan(soon)
    }
  })

  test('of two gateways on one Redis', async () => {
    const first = await startOnRedis()
    const second = await start({ redis: true }, { redis: redis.url })
    await put('k1', key)
    await untilAll(200, first, key)
    await untilAll(200, second, key)
    await redis.command('DEL', 'sluice:api-key:k1')
    const took = await Promise.all([untilAll(401, first, key), untilAll(401, second, key)])
    expect(Math.max(...took)).toBeLessThan(soon)
  })

  test.each([
    [{ key: 'k1' }, 'key_revoked'],
    [{ consumer: 'acme' }, 'key_revoked'],
  ])('when %j is revoked at the admin port', async (body, detail) => {
    const entry = { id: 'k1', hash: hashKey(key), consumer: 'acme' }
    const gateway = await start({ keys: [entry] })
    await untilAll(200, gateway, key)
    const answer = await request(`${gateway.adminUrl}/revocations`, { method: 'POST', body: JSON.stringify(body) })
    expect(answer.statusCode).toBe(200)
    await answer.body.dump()
    // All workers have acknowledged it.
    expect(await statuses(gateway, key)).toEqual([401])
    await gateway.waitFor('its line', () => gateway.accessLog().find((line) => line['failure_detail'] === detail))
  })

  test('when it leaves the file of keys', async () => {
    const other = createKey('sk_live', 'k2')
    const lines = [
      JSON.stringify({ id: 'k1', hash: hashKey(key), consumer: 'acme' }),
      JSON.stringify({ id: 'k2', hash: hashKey(other), consumer: 'acme' }),
    ]
    const gateway = await start({ file: 'keys.jsonl' }, {}, { files: { 'keys.jsonl': lines.join('\n') } })
    expect(await statuses(gateway, key)).toEqual([200])
    gateway.write('keys.jsonl', lines[1] ?? '')
    expect(await untilAll(401, gateway, key)).toBeLessThan(soon)
    expect(await statuses(gateway, other)).toEqual([200])
    // A file that can't be read changes nothing.
    gateway.write('keys.jsonl', '{')
    expect(await gateway.postReload()).toMatchObject({ outcome: 'invalid' })
    expect(await statuses(gateway, other)).toEqual([200])
  })

  test('when the configuration disables it, while the next one is good already', async () => {
    const next = createKey('sk_live', 'k2')
    const entry = { id: 'k1', hash: hashKey(key), consumer: 'acme' }
    const both = [entry, { id: 'k2', hash: hashKey(next), consumer: 'acme' }]
    const gateway = await start({ keys: both })
    expect(await statuses(gateway, key)).toEqual([200])
    expect(await statuses(gateway, next)).toEqual([200])
    await gateway.reload(configured({ keys: [{ ...entry, status: 'disabled' }, both[1]] }))
    expect(await statuses(gateway, key)).toEqual([401])
    expect(await statuses(gateway, next)).toEqual([200])
  })

  test('when its time is over', async () => {
    const expires = new Date(Date.now() + 1500).toISOString()
    const gateway = await startOnRedis()
    await put('k1', key, { expires })
    expect(await untilAll(401, gateway, key)).toBeLessThan(soon)
  })
})

describe('a key of Redis', () => {
  test('that comes later opens all workers', async () => {
    const key = createKey('sk_live', 'k1')
    const gateway = await startOnRedis()
    expect(await statuses(gateway, key)).toEqual([401])
    await put('k1', key)
    expect(await untilAll(200, gateway, key)).toBeLessThan(soon)
  })

  test('that others have made is found under the salt of a file', async () => {
    const salt = 'a salt that nobody else knows'
    redis = await startRedis()
    const gateway = await start(
      { redis: true, salt: '${file:salt}' },
      { redis: redis.url },
      { files: { salt: `${salt}\n` } },
    )
    const secret = createSecretKey(Buffer.from(salt))
    const fields = { id: 'partner-7', hash: keyedHashOfKey('sk_live_abc123', secret) }
    await put(indexOfDigest(keyedDigest('sk_live_abc123', secret)), '', fields)
    const { statusCode, body } = await request(gateway.url, { headers: { 'x-api-key': 'sk_live_abc123' } })
    expect(statusCode).toBe(200)
    expect(((await body.json()) as Echo).headers['x-api-key-id']).toBe('partner-7')
    expect(await statuses(gateway, 'sk_live_abc124')).toEqual([401])
    expect(gateway.output()).not.toContain(salt)
  })

  test('is good in a worker that has taken the place of another', async () => {
    const key = createKey('sk_live', 'k1')
    const gateway = await startOnRedis()
    await put('k1', key)
    await untilAll(200, gateway, key)
    const before = await gateway.workerPids()
    for (const pid of before) process.kill(pid, 'SIGKILL')
    await gateway.until(
      'two new workers',
      ({ workers }) =>
        workers.length === 2 && workers.every(({ pid, state }) => !before.includes(pid) && state === 'active'),
    )
    await untilAll(200, gateway, key)
    await redis.command('DEL', 'sluice:api-key:k1')
    expect(await untilAll(401, gateway, key)).toBeLessThan(soon)
  })
})

describe('while Redis', () => {
  const key = createKey('sk_live', 'k1')

  test('hangs, known keys are good for a while, and all others can not be checked', async () => {
    const gateway = await startOnRedis({ staleness: '4s' })
    await put('k1', key)
    await untilAll(200, gateway, key)
    redis.freeze()
    expect(await statuses(gateway, createKey('sk_live', 'k2'))).toEqual([503])
    expect(await statuses(gateway, key)).toEqual([200])
    await untilAll(503, gateway, key)
    const { body } = await request(gateway.url, { headers: { 'x-api-key': key } })
    expect(await body.json()).toMatchObject({ error: 'auth_unavailable' })
    redis.thaw()
    await untilAll(200, gateway, key)
    expect(await statuses(gateway, createKey('sk_live', 'k2'))).toEqual([401])
  })

  test('comes back with nothing in its memory, keys are gone', async () => {
    const gateway = await startOnRedis()
    await put('k1', key)
    await untilAll(200, gateway, key)
    await redis.restart()
    await untilAll(401, gateway, key)
    await put('k1', key)
    await untilAll(200, gateway, key)
  })

  test('is not there at the start, the gateway starts all the same', async () => {
    redis = await startRedis()
    await redis.stop()
    const gateway = await start({ redis: true }, { redis: redis.url })
    expect(await statuses(gateway, key)).toEqual([503])
    await redis.restart()
    await put('k1', key)
    await untilAll(200, gateway, key)
  })
})

test('a flood of keys that are none leaves those that are known alone', async () => {
  const key = createKey('sk_live', 'k1')
  const gateway = await startOnRedis()
  await put('k1', key)
  await untilAll(200, gateway, key)
  const flood = Array.from({ length: 2000 }, (_, i) =>
    request(gateway.url, { headers: { 'x-api-key': createKey('sk_live', `x${i}`) } }).then(
      async ({ statusCode, body }) => {
        await body.dump()
        return statusCode
      },
    ),
  )
  expect(await statuses(gateway, key)).toEqual([200])
  expect([...new Set(await Promise.all(flood))].every((status) => status === 401 || status === 503)).toBe(true)
  expect(await statuses(gateway, key)).toEqual([200])
})
