import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { certificateFor, writeFiles } from '../../../test/support/certificate.ts'
import { RecordingSink, requestTo } from '../../../test/support/recording-sink.ts'
import { createResolver } from './resolver.ts'
import { closeUnused, createUpstreams, type Target, type Upstream, type UpstreamSettings } from './upstream.ts'

const resolver = createResolver({ refresh: 60_000 })
let server: Server
let port: number
let connections = 0
const live = new Set<Socket>()

beforeAll(async () => {
  server = createServer((_req, res) => res.end('ok'))
  server.on('connection', (socket) => {
    connections++
    live.add(socket)
    socket.once('close', () => live.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})
afterEach(() => {
  for (const upstreams of made.splice(0)) closeUnused(upstreams, null)
})
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

const made: Map<string, Upstream>[] = []

function settingsOf(change: Partial<UpstreamSettings> = {}): UpstreamSettings {
  return {
    name: 'users',
    targets: [{ target: `127.0.0.1:${port}`, host: '127.0.0.1', port, weight: 1 }],
    protocol: 'http',
    path: '',
    client: 'socket',
    http2: false,
    tls: { server_name: null, verify: true, ca: null, cert: null, key: null },
    max_connections: 8,
    max_waiting: 8,
    keepalive: { idle_timeout: 60_000, max_idle: 8, max_requests: 0 },
    max_head_size: 65_536,
    pipelining: 1,
    ...change,
  }
}

function create(settings: UpstreamSettings[], previous: Map<string, Upstream> | null = null): Map<string, Upstream> {
  const upstreams = createUpstreams(settings, previous, resolver, () => ({ record: () => {} }))
  made.push(upstreams)
  return upstreams
}

function upstream(upstreams: Map<string, Upstream>, name = 'users'): Upstream {
  return upstreams.get(name) as Upstream
}

function target(upstreams: Map<string, Upstream>, i = 0): Target {
  return upstream(upstreams).targets[i] as Target
}

async function fetchFrom({ client }: Target): Promise<string> {
  const sink = new RecordingSink()
  sink.attempt = client.start(requestTo(), sink, false)
  await sink.over
  return sink.body
}

test('picks by weight, and another one for a retry', () => {
  const targets = ['a', 'b', 'c'].map((host, i) => ({ target: `${host}:80`, host, port: 80, weight: 2 - i }))
  const users = upstream(create([settingsOf({ targets })]))
  expect(users.size).toBe(2)
  expect([1, 2, 3].map(() => users.pick()?.address)).toEqual(['a:80', 'b:80', 'a:80'])
  const [a, b] = users.targets as [Target, Target]
  expect(users.pickOther([a])).toBe(b)
  expect(users.pickOther([a, b])).toBeNull()
})

test('nothing to pick from', () => {
  const users = upstream(create([settingsOf({ targets: [] })]))
  expect(users.pick()).toBeNull()
})

test.each(['socket', 'undici'] as const)('requests reach the target with the %s client', async (client) => {
  expect(await fetchFrom(target(create([settingsOf({ client })])))).toBe('ok')
})

test('a reload without changes keeps everything, connections included', async () => {
  const before = create([settingsOf()])
  await fetchFrom(target(before))
  const opened = connections
  const after = create([settingsOf()], before)
  expect(upstream(after)).toBe(upstream(before))
  closeUnused(before, after)
  expect(await fetchFrom(target(after))).toBe('ok')
  expect(connections).toBe(opened)
})

test('other targets, weights, paths and names leave the connections to a target alone', () => {
  const before = create([settingsOf()])
  const { client } = target(before)
  const first = settingsOf().targets[0] as UpstreamSettings['targets'][number]
  const second = { target: 'other:80', host: 'other', port: 80, weight: 1 }
  const changed = create([settingsOf({ path: '/v2', targets: [second, { ...first, weight: 5 }] })], before)
  expect(upstream(changed)).not.toBe(upstream(before))
  expect(target(changed, 1).client).toBe(client)
  expect(upstream(changed).path).toBe('/v2')
})

test.each([
  ['limits', { max_connections: 9 }],
  ['idle times', { keepalive: { idle_timeout: 1, max_idle: 8, max_requests: 0 } }],
  ['the client', { client: 'undici' as const }],
  ['the protocol', { protocol: 'https' as const }],
  ['the head size', { max_head_size: 1000 }],
  ['pipelining', { pipelining: 8 }],
])('a change of %s makes new connections', (_name, change) => {
  const before = create([settingsOf()])
  expect(target(create([settingsOf(change)], before)).client).not.toBe(target(before).client)
})

test('upstreams do not share connections, the same target twice in one does', () => {
  const { targets } = settingsOf()
  const upstreams = create([settingsOf({ targets: [...targets, ...targets] }), settingsOf({ name: 'orders' })])
  expect(target(upstreams, 1).client).toBe(target(upstreams).client)
  expect(upstream(upstreams, 'orders').targets[0]?.client).not.toBe(target(upstreams).client)
})

test.each(['socket', 'undici'] as const)('an upstream that is gone closes its connections: %s', async (client) => {
  const before = create([settingsOf({ client })])
  await fetchFrom(target(before))
  await expect.poll(() => target(before).client.stats().idle).toBe(1)
  const after = create([settingsOf({ name: 'orders' })], before)
  closeUnused(before, after)
  await expect.poll(() => target(before).client.stats().open).toBe(0)
})

test('a discarded snapshot closes only what it brought', async () => {
  const before = create([settingsOf()])
  await fetchFrom(target(before))
  await expect.poll(() => target(before).client.stats().idle).toBe(1)
  const prepared = create([settingsOf(), settingsOf({ name: 'orders' })], before)
  closeUnused(prepared, before)
  expect(target(before).client.stats()).toMatchObject({ open: 1, idle: 1 })
})

test('a certificate renewed in place makes new connections; one that is missing refuses the snapshot', async () => {
  const { cert } = await certificateFor(['service.test'])
  const { paths, remove } = writeFiles(cert)
  const ca = paths[0] as string
  const secure = settingsOf({
    protocol: 'https',
    tls: { server_name: 'service.test', verify: true, ca, cert: null, key: null },
  })
  const before = create([secure])
  expect(target(create([secure], before)).client).toBe(target(before).client)
  writeFileSync(ca, (await certificateFor(['service.test'])).cert)
  expect(target(create([secure], before)).client).not.toBe(target(before).client)
  remove()
  expect(() => create([settingsOf(), secure], before)).toThrow('ENOENT')
})
