import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { PluginLog } from '../../src/core/plugin.ts'
import { noInstruments } from '../../src/core/services/instruments.ts'
import type { RedisSettings } from '../../src/core/services/redis.ts'
import { RedisClient, RedisFault, type RedisState } from '../../src/services/redis.ts'
import { certificateFor } from '../support/certificate.ts'
import { type RedisServer, startRedis, startRedisCluster, startSentinel, stopRedis } from '../support/redis.ts'

interface Line {
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

let lines: Line[] = []
const write = (level: string) => (message: string, fields?: object) => void lines.push({ level, message, ...fields })
const log: PluginLog = { info: write('info'), warn: write('warn'), error: write('error') }

const clients: RedisClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await stopRedis()
  lines = []
})

function settingsFor(addresses: readonly string[], more: Partial<RedisSettings> = {}): RedisSettings {
  return {
    mode: 'single',
    addresses: addresses.map((address) => ({ host: '127.0.0.1', port: Number(address.split(':').at(-1)) })),
    master: null,
    username: null,
    password: null,
    sentinel_username: null,
    sentinel_password: null,
    database: 0,
    tls: null,
    key_prefix: 'sluice:',
    connect_timeout: 1000,
    command_timeout: 300,
    max_in_flight: 1000,
    ...more,
  }
}

function clientFor(server: Pick<RedisServer, 'port'>, more: Partial<RedisSettings> = {}): RedisClient {
  return open(settingsFor([`127.0.0.1:${server.port}`], more))
}

function open(settings: RedisSettings): RedisClient {
  const client = new RedisClient(settings, { role: 'worker', instruments: noInstruments, log })
  clients.push(client)
  return client
}

function reached(client: RedisClient, wanted: RedisState): Promise<void> {
  if (client.state === wanted) return Promise.resolve()
  return new Promise((resolve) => {
    const end = client.onState((state) => {
      if (state !== wanted) return
      end()
      resolve()
    })
  })
}

function kindOf(reply: unknown): string {
  return reply instanceof RedisFault ? reply.kind : `no fault: ${String(reply)}`
}

describe('commands', () => {
  test('connects with the first one', async () => {
    const client = clientFor(await startRedis())
    expect(client.state).toBe('idle')
    expect(await client.run('SET', [client.key('a'), 'é'])).toBe('OK')
    expect(client.state).toBe('ready')
    expect(await client.run('GET', ['sluice:a'])).toBe('é')
  })

  test('of one round trip: a refused one leaves the others', async () => {
    const client = clientFor(await startRedis())
    const replies = await client.runAll([
      ['SET', 'a', 1],
      ['INCR', 'a'],
      ['LPUSH', 'a', 'x'],
      ['GET', 'a'],
    ])
    expect(replies.map((reply) => (reply instanceof RedisFault ? reply.detail.slice(0, 9) : reply))).toEqual([
      'OK',
      2,
      'WRONGTYPE',
      '2',
    ])
  })

  test('scripts: again after Redis has forgotten them', async () => {
    const server = await startRedis()
    const client = clientFor(server)
    const script = client.script("return { redis.call('INCRBY', KEYS[1], ARGV[1]), 'x' }")
    expect(await script.run(['n'], [2])).toEqual([2, 'x'])
    expect(await script.run(['n'], [2])).toEqual([4, 'x'])
    await server.flushScripts()
    expect(await script.run(['n'], [2])).toEqual([6, 'x'])
    expect(kindOf(await client.script('return redis.call("NONSENSE")').run([], []))).toBe('refused')
  })

  test('not more at once than allowed', async () => {
    const client = clientFor(await startRedis(), { max_in_flight: 2 })
    const replies = await Promise.all([1, 2, 3].map(() => client.run('PING', [])))
    expect(replies.map((reply) => (reply === 'PONG' ? reply : kindOf(reply)))).toEqual(['PONG', 'PONG', 'overloaded'])
    expect(await client.run('PING', [])).toBe('PONG')
  })

  test('fail after close', async () => {
    const client = clientFor(await startRedis())
    await client.run('PING', [])
    client.close()
    expect(kindOf(await client.run('PING', []))).toBe('disconnected')
    expect(client.state).toBe('closed')
  })
})

describe('a Redis that', () => {
  test('is not there, then is: at once no, later yes, two lines of log', async () => {
    const server = await startRedis()
    await server.stop()
    const client = clientFor(server)
    expect(kindOf(await client.run('PING', []))).toBe('disconnected')
    expect(client.state).toBe('broken')
    const back = reached(client, 'ready')
    await server.restart()
    await back
    expect(await client.run('PING', [])).toBe('PONG')
    expect(lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'error Redis is not reachable',
      'info Redis is reachable again',
    ])
    expect(lines[0]?.['reason']).toContain('ECONNREFUSED')
    expect(lines[0]?.['redis']).toBe(`127.0.0.1:${server.port}`)
  })

  test('is killed fails what is in flight at once, and is used again when it is back', async () => {
    const server = await startRedis()
    const client = clientFor(server, { command_timeout: 60_000 })
    await client.run('SET', ['a', '1'])
    server.freeze()
    const waiting = client.run('GET', ['a'])
    await server.kill()
    expect(kindOf(await waiting)).toBe('disconnected')
    expect(client.ready).toBe(false)
    const back = reached(client, 'ready')
    await server.restart()
    await back
    expect(await client.run('GET', ['a'])).toBe(null)
  })

  test('hangs is given up after a while, and used again when it goes on', async () => {
    const server = await startRedis()
    const client = clientFor(server, { command_timeout: 100 })
    await client.run('PING', [])
    const broken = reached(client, 'broken')
    server.freeze()
    const faults = await Promise.all([client.run('PING', []), client.run('PING', [])])
    expect(faults.map(kindOf)).toEqual(['timeout', 'timeout'])
    await broken
    expect(kindOf(await client.run('PING', []))).toBe('disconnected')
    const back = reached(client, 'ready')
    server.thaw()
    await back
    expect(await client.run('PING', [])).toBe('PONG')
    expect(lines.filter(({ message }) => message === 'Redis is reachable again').length).toBe(1)
  })

  test('hangs from the start does not hold a command up for longer than its bound', async () => {
    const server = await startRedis()
    server.freeze()
    const client = clientFor(server, { command_timeout: 100 })
    expect(kindOf(await client.run('PING', []))).toBe('timeout')
  })

  test('wants another password is told of without it', async () => {
    const server = await startRedis({ password: 'right-one' })
    const client = clientFor(server, { password: 'wrong-one' })
    expect(kindOf(await client.run('PING', []))).toBe('disconnected')
    expect(lines[0]?.['reason']).toContain('WRONGPASS')
    expect(JSON.stringify(lines)).not.toContain('wrong-one')

    const knowing = clientFor(server, { password: 'right-one', username: 'default', database: 3 })
    expect(await knowing.run('PING', [])).toBe('PONG')
    expect(await server.command('CLIENT', 'LIST')).toMatch(/db=3 .*/)
    expect(await server.command('CLIENT', 'LIST')).toContain('name=sluice-worker ')
  })
})

test('speaks TLS, verifies the server, shows its own certificate', async () => {
  const { cert, key } = await certificateFor(['localhost'])
  const server = await startRedis({ tls: { cert, key, ca: cert, verifyClients: true } })
  const paths = { ca: '', cert: '', key: '' }
  for (const [name, pem] of Object.entries({ ca: cert, cert, key })) {
    paths[name as keyof typeof paths] = join(server.folder, `client-${name}.pem`)
    writeFileSync(paths[name as keyof typeof paths], pem)
  }
  const tls = { verify: true, server_name: 'localhost', ...paths }
  expect(await clientFor(server, { tls }).run('PING', [])).toBe('PONG')
  for (const bad of [{ ca: null }, { server_name: 'other.example' }, { cert: null, key: null }]) {
    expect(kindOf(await clientFor(server, { tls: { ...tls, ...bad } }).run('PING', []))).not.toContain('PONG')
  }
  expect(await clientFor(server, { tls: { ...tls, verify: false, ca: null } }).run('PING', [])).toBe('PONG')
})

describe('channels', () => {
  function listen(client: RedisClient, channel: string) {
    const heard: string[] = []
    let wake = (): void => {}
    const note = (text: string): void => {
      heard.push(text)
      wake()
    }
    const end = client.subscribe(channel, note, () => note('(listening)'))
    const until = async (count: number): Promise<string[]> => {
      while (heard.length < count) await new Promise<void>((resolve) => (wake = resolve))
      return heard
    }
    return { until, end }
  }

  test('are heard, and say when something may have been missed', async () => {
    const server = await startRedis()
    const client = clientFor(server)
    const { until } = listen(client, 'c')
    await until(1)
    await server.command('PUBLISH', 'c', 'one')
    await server.command('PUBLISH', 'other', 'two')
    await until(2)
    await server.restart()
    await until(3)
    await server.command('PUBLISH', 'c', 'three')
    expect(await until(4)).toEqual(['(listening)', 'one', '(listening)', 'three'])
  })

  test('are left', async () => {
    const server = await startRedis()
    const client = clientFor(server)
    const first = listen(client, 'c')
    const second = listen(client, 'c')
    await Promise.all([first.until(1), second.until(1)])
    first.end()
    await server.command('PUBLISH', 'c', 'one')
    expect(await second.until(2)).toEqual(['(listening)', 'one'])
    expect(await first.until(1)).toEqual(['(listening)'])
  })

  test('of a Redis that hangs are heard again when it goes on', async () => {
    const server = await startRedis()
    const client = clientFor(server, { command_timeout: 100 })
    const { until } = listen(client, 'c')
    await until(1)
    server.freeze()
    // Nothing but the silence tells: the connection stays open.
    while (!lines.some(({ message }) => message === 'Redis is not reachable')) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    server.thaw()
    await until(2)
    await server.command('PUBLISH', 'c', 'one')
    expect(await until(3)).toEqual(['(listening)', '(listening)', 'one'])
  })

  test('of a cluster are heard whichever node is spoken to, and over the loss of one', async () => {
    const cluster = await startRedisCluster()
    const client = open(settingsFor(cluster.addresses, { mode: 'cluster' }))
    const { until } = listen(client, 'c')
    await until(1)
    for (const node of cluster.nodes) await node.command('PUBLISH', 'c', 'one')
    await until(4)
    const listener = await Promise.all(cluster.nodes.map((node) => node.command('PUBSUB', 'NUMSUB', 'c')))
    const at = listener.findIndex((reply) => (reply as [string, number])[1] === 1)
    await cluster.nodes[at]?.kill()
    await until(5)
    await cluster.nodes[(at + 1) % 3]?.command('PUBLISH', 'c', 'two')
    expect(await until(6)).toEqual(['(listening)', 'one', 'one', 'one', '(listening)', 'two'])
  })
})

test('a cluster: each key at its node, and the others go on when one is lost', async () => {
  const cluster = await startRedisCluster()
  const client = open(settingsFor(cluster.addresses.slice(0, 1), { mode: 'cluster' }))
  const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
  expect(await client.runAll(keys.map((key) => ['SET', key, key] as const))).toEqual(keys.map(() => 'OK'))
  const script = client.script("return redis.call('GET', KEYS[1])")
  expect(await Promise.all(keys.map((key) => script.run([key], [])))).toEqual(keys)
  const sizes = (await Promise.all(cluster.nodes.map((node) => node.command('DBSIZE')))) as number[]
  expect(sizes.every((size) => size > 0)).toBe(true)

  const [first, second] = cluster.nodes
  await first?.kill()
  const replies = await client.runAll(
    keys.map((key) => ['GET', key] as const),
    500,
  )
  expect(replies.filter((reply) => !(reply instanceof RedisFault)).length).toBe((sizes[1] ?? 0) + (sizes[2] ?? 0))
  expect(await second?.command('PING')).toBe('PONG')
})

test('sentinels: the new master after a failover', async () => {
  const { master, replica, name, addresses } = await startSentinel()
  const client = open(settingsFor(addresses, { mode: 'sentinel', master: name }))
  expect(await client.run('SET', ['a', '1'])).toBe('OK')
  while ((await replica.command('GET', 'a')) === null);
  await master.kill()
  const end = Date.now() + 20_000
  for (;;) {
    if ((await client.run('SET', ['b', '2'])) === 'OK') break
    if (Date.now() > end) throw new Error('no new master within 20 s')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  expect(await replica.command('GET', 'b')).toBe('2')
  expect(await client.run('GET', ['a'])).toBe('1')
})
