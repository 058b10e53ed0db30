import { afterEach, expect, test, vi } from 'vitest'
import { type RawConnection, RawServer } from '../../../test/support/raw-server.ts'
import { RecordingSink, requestTo, settingsFor } from '../../../test/support/recording-sink.ts'
import type { ClientSettings, OutgoingRequest, UpstreamClient } from './client.ts'
import { createPipelinedClient } from './pipelined-client.ts'
import { createResolver } from './resolver.ts'

const resolver = createResolver({ refresh: 60_000 })
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** What a server does with the requests of one connection, in their order. */
type Serve = (target: string, connection: RawConnection, index: number) => void

async function serverWith(serve: Serve): Promise<RawServer> {
  const server = await RawServer.start((connection) => {
    let index = 0
    connection.socket.on('data', () => {
      for (;;) {
        const end = connection.received.indexOf('\r\n\r\n')
        if (end === -1) return
        const target = connection.received.split(' ')[1] as string
        connection.received = connection.received.slice(end + 4)
        serve(target, connection, index++)
      }
    })
  })
  cleanups.push(() => server.stop())
  return server
}

function clientFor(port: number, change: Partial<ClientSettings> = {}): UpstreamClient {
  const client = createPipelinedClient(settingsFor(port, { pipelining: 8, ...change }), resolver)
  cleanups.push(() => client.close())
  return client
}

function start(client: UpstreamClient, target: string, change: Partial<OutgoingRequest> = {}): RecordingSink {
  const sink = new RecordingSink()
  sink.attempt = client.start(requestTo({ target, ...change }), sink, false)
  cleanups.push(() => expect(sink.faults).toEqual([]))
  return sink
}

const answer = (body: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`
const echo: Serve = (target, connection) => void connection.send(answer(target))
const bodies = async (sinks: readonly RecordingSink[]): Promise<string[]> => {
  await Promise.all(sinks.map(({ over }) => over))
  return sinks.map(({ body, failure }) => failure?.code ?? body)
}
const targets = (count: number): string[] => Array.from({ length: count }, (_, i) => `/${'x'.repeat(i)}`)

test('requests of one turn share a connection, and each gets its own answer', async () => {
  const server = await serverWith(echo)
  const client = clientFor(server.port)
  for (let round = 0; round < 3; round++) {
    expect(await bodies(targets(8).map((target) => start(client, target)))).toEqual(targets(8))
  }
  expect(server.connections.length).toBe(1)
  expect(client.stats()).toEqual({ open: 1, idle: 1, waiting: 0, opened: 1 })
})

test('takes another connection for more than its depth, and while answers are due', async () => {
  const held: (() => void)[] = []
  const server = await serverWith((target, connection) => held.push(() => echo(target, connection, 0)))
  const client = clientFor(server.port, { pipelining: 4 })
  const first = targets(6).map((target) => start(client, target))
  await vi.waitUntil(() => held.length === 6)
  expect(server.connections.length).toBe(2)
  const second = start(client, '/later')
  await vi.waitUntil(() => held.length === 7)
  expect(server.connections.length).toBe(3)
  for (const send of held) send()
  expect(await bodies([...first, second])).toEqual([...targets(6), '/later'])
})

test('answers of every framing, cut at every byte', async () => {
  const texts = [
    answer('one'),
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
    answer('three'),
  ]
  const all = texts.join('')
  let cutAt = 0
  const server = await serverWith((_target, connection, index) => {
    if (index % texts.length < texts.length - 1) return
    void connection.send(all.slice(0, cutAt)).then(() => setImmediate(() => void connection.send(all.slice(cutAt))))
  })
  const client = clientFor(server.port)
  for (cutAt = 1; cutAt < all.length; cutAt++) {
    const sinks = texts.map((_, i) => start(client, `/${i}`, i === 3 ? { method: 'HEAD' } : {}))
    expect(await bodies(sinks)).toEqual(['one', '', 'two', '', '', 'three'])
    expect(sinks.map(({ head }) => head?.status)).toEqual([200, 204, 200, 200, 304, 200])
    expect(sinks[2]?.interim.length).toBe(1)
  }
  expect(server.connections.length).toBe(1)
})

test('what has a body or changes something has a connection of its own', async () => {
  const server = await serverWith(echo)
  const client = clientFor(server.port)
  const get = start(client, '/get')
  const post = start(client, '/post', { method: 'POST' })
  const put = start(client, '/put', { method: 'PUT' })
  const search = start(client, '/get-with-body', { bodyLength: 2 })
  search.attempt?.write(Buffer.from('ab'))
  search.attempt?.end()
  await Promise.all([get.over, post.over, put.over, search.begun])
  expect(server.connections.length).toBe(4)
})

test('when the connection dies, those without an answer are sent again', async () => {
  const server = await serverWith((target, connection, index) => {
    if (server.connections.length > 1) return echo(target, connection, index)
    if (index === 1) void connection.send(answer('/') + answer('/x')).then(() => connection.socket.destroy())
  })
  const client = clientFor(server.port)
  expect(await bodies(targets(6).map((target) => start(client, target)))).toEqual(targets(6))
})

test('an answer that breaks off fails its own request only', async () => {
  const server = await serverWith((target, connection, index) => {
    if (server.connections.length > 1) return echo(target, connection, index)
    if (index === 3) {
      void connection
        .send(`${answer('/')}HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf`)
        .then(() => connection.socket.end())
    }
  })
  const sinks = targets(4).map((target) => start(clientOf(server), target))
  expect(await bodies(sinks)).toEqual(['/', 'upstream_body_broken', '/xx', '/xxx'])
})

test('nonsense fails the request that it answers, and the others are sent again', async () => {
  const server = await serverWith((target, connection, index) => {
    if (server.connections.length > 1) return echo(target, connection, index)
    if (index === 3) void connection.send(`${answer('/')}HTTP/1.1 nonsense\r\n\r\n${answer('/xx')}`)
  })
  const sinks = targets(4).map((target) => start(clientOf(server), target))
  expect(await bodies(sinks)).toEqual(['/', 'upstream_bad_response', '/xx', '/xxx'])
})

test('Connection: close ends the line there', async () => {
  const server = await serverWith((target, connection, index) => {
    if (server.connections.length > 1) return echo(target, connection, index)
    if (index === 3) void connection.send(answer('/', 'Connection: close\r\n') + answer('/wrong'))
  })
  const sinks = targets(4).map((target) => start(clientOf(server), target))
  expect(await bodies(sinks)).toEqual(targets(4))
})

test('a closing answer of unknown length is complete at its end', async () => {
  const server = await serverWith((target, connection, index) => {
    if (server.connections.length > 1) return echo(target, connection, index)
    if (index === 2) void connection.send('HTTP/1.0 200 OK\r\n\r\nall of it').then(() => connection.socket.end())
  })
  const sinks = targets(3).map((target) => start(clientOf(server), target))
  expect(await bodies(sinks)).toEqual(['all of it', '/x', '/xx'])
})

test('nobody waits long behind one that is not answered, and what it gets in the end is its own', async () => {
  const server = await serverWith((target, connection, index) => {
    if (connection !== server.connections[0]) echo(target, connection, index)
  })
  const client = clientFor(server.port)
  const [slow, ...others] = targets(5).map((target) => start(client, target))
  expect(await bodies(others)).toEqual(targets(5).slice(1))
  expect(slow?.head).toBeNull()
  const late = targets(5).map((target) => answer(`late ${target}`))
  void server.connections[0]?.send(late.join(''))
  expect(await bodies([slow as RecordingSink])).toEqual(['late /'])
  await server.connections[0]?.closed
})

test('nobody waits behind a client that reads slowly', async () => {
  const big = 'b'.repeat(1_000_000)
  const server = await serverWith((target, connection, index) => {
    if (target === '/') void connection.send(answer(big))
    else echo(target, connection, index)
  })
  const client = clientFor(server.port)
  const [slow, ...others] = targets(4).map((target) => start(client, target)) as [RecordingSink, ...RecordingSink[]]
  slow.onChunk = () => slow.attempt?.pause()
  expect(await bodies(others)).toEqual(targets(4).slice(1))
  expect(slow.received).toBeLessThan(big.length)
  slow.onChunk = null
  slow.attempt?.resume()
  expect(await bodies([slow])).toEqual([big])
})

test('one that is given up does not take the others with it, and hears nothing', async () => {
  const held: (() => void)[] = []
  const server = await serverWith((target, connection) => held.push(() => echo(target, connection, 0)))
  const client = clientFor(server.port)
  const sinks = targets(4).map((target) => start(client, target)) as [RecordingSink, ...RecordingSink[]]
  await vi.waitUntil(() => held.length === 4)
  for (const i of [0, 2]) sinks[i]?.attempt?.abort()
  for (const send of held) send()
  expect(await bodies([sinks[1] as RecordingSink, sinks[3] as RecordingSink])).toEqual(['/x', '/xxx'])
  expect([sinks[0], sinks[2]].map((sink) => sink?.head ?? null)).toEqual([null, null])
  expect(server.connections.length).toBe(1)
})

test('the only one that is given up takes its connection along, also before it is sent', async () => {
  const server = await serverWith(() => {})
  const client = clientFor(server.port)
  start(client, '/never').attempt?.abort()
  const sent = start(client, '/sent')
  const connection = await server.connection(0)
  await connection.until(() => server.connections.some((one) => one.bytes > 0))
  sent.attempt?.abort()
  await Promise.all(server.connections.map(({ closed }) => closed))
  expect(client.stats().open).toBe(0)
})

test('bytes behind the last answer end the connection', async () => {
  const server = await serverWith((target, connection) => void connection.send(answer(target) + answer('smuggled')))
  const client = clientFor(server.port)
  expect(await bodies([start(client, '/a')])).toEqual(['/a'])
  expect(await bodies([start(client, '/b')])).toEqual(['/b'])
  expect(server.connections.length).toBe(2)
})

test('a request that can not be sent does not hold up the others', async () => {
  const server = await serverWith(echo)
  const client = clientFor(server.port)
  const sinks = ['/a', '/b\r\nx: y', '/c'].map((target) => start(client, target))
  expect(await bodies(sinks)).toEqual(['/a', 'internal_error', '/c'])
})

test('a server that is not there fails all of them as not sent', async () => {
  const server = await serverWith(echo)
  const client = clientFor(server.port)
  await server.stop()
  cleanups.length = 0
  const sinks = targets(3).map((target) => start(client, target))
  await bodies(sinks)
  expect(sinks.map(({ failure }) => failure)).toEqual(
    sinks.map(() => ({ code: 'upstream_connection_refused', detail: 'ECONNREFUSED', unsent: true, stale: false })),
  )
  expect(client.stats().open).toBe(0)
  client.close()
})

test('keeps to the number of connections and of requests on each', async () => {
  const server = await serverWith(echo)
  const client = clientFor(server.port, { maxConnections: 2, pipelining: 2, maxRequests: 4 })
  for (let round = 0; round < 5; round++) {
    expect(await bodies(targets(6).map((target) => start(client, target)))).toEqual(targets(6))
    expect(client.stats().open).toBeLessThanOrEqual(2)
  }
  expect(server.connections.length).toBeGreaterThan(2)
})

function clientOf(server: RawServer): UpstreamClient {
  clients.set(server, clients.get(server) ?? clientFor(server.port))
  return clients.get(server) as UpstreamClient
}

const clients = new WeakMap<RawServer, UpstreamClient>()
