import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { RecordingSink, requestTo, settingsFor } from '../../../test/support/recording-sink.ts'
import type { ClientSettings, OutgoingRequest, UpstreamClient } from './client.ts'
import { createResolver, type Resolver } from './resolver.ts'
import { createUndiciClient } from './undici-client.ts'

const resolver = createResolver({ refresh: 60_000 })

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

function clientFor(port: number, change: Partial<ClientSettings> = {}): UpstreamClient {
  const client = createUndiciClient(settingsFor(port, change), resolver)
  cleanups.push(() => client.close())
  return client
}

function start(
  client: UpstreamClient,
  change: Partial<OutgoingRequest> = {},
  fresh = false,
  keep = true,
): RecordingSink {
  const sink = new RecordingSink(keep)
  sink.attempt = client.start(requestTo(change), sink, fresh)
  cleanups.push(() => expect(sink.faults).toEqual([]))
  return sink
}

async function fetchWith(
  client: UpstreamClient,
  change: Partial<OutgoingRequest> = {},
  fresh = false,
): Promise<RecordingSink> {
  const sink = start(client, change, fresh)
  await sink.over
  await settled()
  return sink
}

/** undici takes a turn of the event loop to see whether the connection is still good, and one more to say so. */
async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

async function listen(server: TcpServer): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

async function httpServer(
  handler: (req: IncomingMessage, res: ServerResponse) => void,
): Promise<{ server: Server; port: number }> {
  const server = createServer(handler)
  return { server, port: await listen(server) }
}

/** A server that answers each connection's first bytes with `answer`; what it got stands in `requests`. */
async function rawServer(
  answer: (socket: Socket, request: string, count: number) => void,
): Promise<{ port: number; requests: string[]; connections: () => number }> {
  const requests: string[] = []
  let connections = 0
  const server = createTcpServer((socket) => {
    connections++
    socket.on('data', (data) => {
      requests.push(data.toString('latin1'))
      answer(socket, data.toString('latin1'), requests.length)
    })
  })
  return { port: await listen(server), requests, connections: () => connections }
}

const answering = (text: string) => rawServer((socket) => socket.write(text, 'latin1'))
const answeringAndEnding = (text: string) => rawServer((socket) => socket.end(text, 'latin1'))

describe('requests', () => {
  test('go out as they are, with framing of the client', async () => {
    const { port, requests } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    const client = clientFor(port)
    const headers = ['accept', '*/*', 'x-a', '1', 'x-a', '2', 'x-name', 'Zoë 日本']
    const sink = await fetchWith(client, { target: '/a/b?c=%20d', host: 'Example.com:81', headers })
    expect(sink.body).toBe('ok')
    expect(requests).toEqual([
      'GET /a/b?c=%20d HTTP/1.1\r\nhost: Example.com:81\r\nconnection: keep-alive\r\naccept: */*\r\nx-a: 1\r\nx-a: 2\r\n' +
        `x-name: ${Buffer.from('Zoë 日本').toString('latin1')}\r\n\r\n`,
    ])
  })

  test('without a body say so where the method expects one', async () => {
    const { port, requests } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    await fetchWith(clientFor(port), { method: 'POST' })
    expect(requests[0]).toContain('content-length: 0\r\n')
  })

  test('that undici refuses fail without a connection being lost, and not inside start', async () => {
    const { port, connections } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    const client = clientFor(port)
    await fetchWith(client)
    const bad = await fetchWith(client, { headers: ['x', 'a\r\nb: c'] })
    expect(bad.failure).toMatchObject({ code: 'internal_error', unsent: true, stale: false })
    expect((await fetchWith(client)).head?.status).toBe(200)
    expect(connections()).toBe(1)
  })
})

describe('responses', () => {
  test('come without hop-by-hop fields, framing and date', async () => {
    const { port } = await answering(
      'HTTP/1.1 201 Made It\r\nDate: now\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n' +
        'Content-Length: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Name: caf\u00e9 \t\r\n\r\nhello',
    )
    const { head, body } = await fetchWith(clientFor(port))
    expect(head).toEqual({
      status: 201,
      headers: ['set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-name', 'caf\u00e9'],
      contentLength: 5,
      block: '201 Made It\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-name: caf\u00e9',
      ascii: false,
    })
    expect(body).toBe('hello')
  })

  test.each([
    ['counted', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello', 'hello', 5],
    ['empty', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', '', 0],
    [
      'chunked',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n',
      'hello',
      -1,
    ],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', '', -1],
    [
      'behind a 100 that nobody asked for',
      'HTTP/1.1 100 Continue\r\nx: y\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      'ok',
      2,
    ],
  ])('%s, split at every byte', async (_name, answer, expected, contentLength) => {
    let at = 0
    const { port, connections } = await rawServer((socket) => {
      socket.setNoDelay(true)
      socket.write(answer.slice(0, at), 'latin1')
      setImmediate(() => socket.write(answer.slice(at), 'latin1'))
    })
    const client = clientFor(port)
    for (at = 1; at < answer.length; at++) {
      const { failure, body, head } = await fetchWith(client)
      expect({ at, failure, body, length: head?.contentLength }).toEqual({
        at,
        failure: null,
        body: expected,
        length: contentLength,
      })
    }
    expect(connections()).toBe(1)
  })

  test('of HEAD end with the head and tell the length', async () => {
    const { port } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n')
    const { head, failure } = await fetchWith(clientFor(port), { method: 'HEAD' })
    expect({ length: head?.contentLength, failure }).toEqual({ length: 500, failure: null })
  })

  test('of status 304 may name a length and end with the head', async () => {
    const { port } = await answering('HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\netag: "1"\r\n\r\n')
    const client = clientFor(port)
    for (let i = 0; i < 3; i++) {
      const { head, failure } = await fetchWith(client)
      expect({ length: head?.contentLength, failure }).toEqual({ length: 500, failure: null })
    }
  })

  test('that end with the connection', async () => {
    const { port } = await answeringAndEnding('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello')
    const client = clientFor(port)
    expect(await fetchWith(client)).toMatchObject({ body: 'hello', failure: null })
    expect(await fetchWith(client)).toMatchObject({ body: 'hello', failure: null })
    expect(client.stats().opened).toBe(2)
  })

  test('may have interim responses before them', async () => {
    const { port } = await answering(
      'HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </b.css>\r\nconnection: x-b\r\nx-b: 1\r\n\r\n' +
        'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
    )
    const sink = await fetchWith(clientFor(port))
    expect(sink.interim).toEqual([
      { status: 103, headers: ['link', '</a.css>'] },
      { status: 103, headers: ['link', '</b.css>'] },
    ])
    expect(sink).toMatchObject({ body: 'ok', failure: null })
  })

  test('of 10 MB arrive whole at a reader that stops again and again', async () => {
    const size = 10 * 1024 * 1024
    let written = 0
    const { port } = await httpServer((_req, res) => {
      res.writeHead(200, { 'content-length': size })
      const piece = Buffer.alloc(65_536, 'x')
      const more = (): void => {
        while (written < size) {
          written += piece.length
          if (!res.write(piece)) return void res.once('drain', more)
        }
        res.end()
      }
      more()
    })
    const sink = start(clientFor(port), {}, false, false)
    let paused = false
    sink.onChunk = () => {
      if (paused) sink.faults.push('chunk while paused')
      paused = true
      sink.attempt?.pause()
      setImmediate(() => {
        paused = false
        sink.attempt?.resume()
      })
    }
    await sink.over
    expect(sink.failure).toBeNull()
    expect(sink.received).toBe(size)
  })

  test('stop for good while the reader pauses', async () => {
    let written = 0
    const stuck = new Promise<void>((resolve) => {
      void httpServer((_req, res) => {
        const piece = Buffer.alloc(65_536)
        const more = (): void => {
          while (res.write(piece)) written += piece.length
          setTimeout(resolve, 200)
          res.once('drain', more)
        }
        more()
      }).then(({ port }) => {
        const sink = start(clientFor(port))
        sink.onChunk = () => sink.attempt?.pause()
        cleanups.push(() => {
          expect(sink.received).toBeLessThan(200_000)
          sink.attempt?.abort()
        })
      })
    })
    await stuck
    expect(written).toBeLessThan(16 * 1024 * 1024)
  })
})

describe('uploads', () => {
  async function echo(): Promise<number> {
    const { port } = await httpServer((req, res) => {
      res.setHeader('x-length', req.headers['content-length'] ?? '-')
      res.setHeader('x-coding', req.headers['transfer-encoding'] ?? '-')
      req.pipe(res)
    })
    return port
  }

  test.each([
    ['counted', 11, ['x-length', '11', 'x-coding', '-']],
    ['chunked', -1, ['x-length', '-', 'x-coding', 'chunked']],
  ])('%s', async (_name, bodyLength, expected) => {
    const client = clientFor(await echo())
    for (let i = 0; i < 3; i++) {
      const sink = start(client, { method: 'POST', bodyLength })
      const shared = Buffer.from('hello ')
      sink.attempt?.write(shared)
      shared.fill(0)
      sink.attempt?.write(Buffer.from('world'))
      sink.attempt?.end()
      await sink.over
      await settled()
      expect(sink).toMatchObject({ body: 'hello world', failure: null })
      expect(sink.head?.headers.slice(0, 4)).toEqual(expected)
    }
    expect(client.stats().opened).toBe(1)
  })

  test('of 20 MB ask for breaks and arrive whole', async () => {
    let received = 0
    const { port } = await httpServer((req, res) => {
      req.on('data', (chunk: Buffer) => (received += chunk.length))
      req.on('end', () => res.end('done'))
    })
    const sink = start(clientFor(port), { method: 'PUT', bodyLength: -1 })
    const piece = Buffer.alloc(65_536, 'y')
    for (let i = 0; i < 320; i++) await sink.write(piece)
    sink.attempt?.end()
    await sink.over
    expect(sink).toMatchObject({ body: 'done', failure: null })
    expect(received).toBe(20 * 1024 * 1024)
    expect(sink.drains).toBeGreaterThan(0)
  })

  test('stop where the upstream does not read', async () => {
    const { port } = await httpServer((req) => void req.pause())
    const sink = start(clientFor(port), { method: 'POST', bodyLength: -1 })
    const piece = Buffer.alloc(1024 * 1024)
    let accepted = 0
    while (accepted < 100 && sink.attempt?.write(piece)) accepted++
    expect(accepted).toBeLessThan(2)
    sink.attempt?.abort()
  })

  test.each([
    ['counted', 1000],
    ['chunked', -1],
  ])('that break off reach the upstream as aborted: %s', async (_name, bodyLength) => {
    const seen = new Promise<string>((resolve) => {
      void httpServer((req) => {
        let text = ''
        req.on('data', (chunk: Buffer) => {
          text += chunk.toString()
          sink.attempt?.abort()
        })
        req.on('end', () => resolve(`complete: ${text}`))
        req.on('error', (err) => resolve(`${err.message}: ${text}`))
      }).then(({ port }) => {
        sink = start(clientFor(port), { method: 'POST', bodyLength })
        sink.attempt?.write(Buffer.from('part'))
      })
    })
    let sink: RecordingSink
    expect(await seen).toBe('aborted: part')
  })

  test('that are answered early end with the answer', async () => {
    const { port } = await answering('HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig')
    const client = clientFor(port)
    const sink = start(client, { method: 'POST', bodyLength: 1_000_000 })
    sink.attempt?.write(Buffer.from('begin'))
    await sink.over
    expect(sink).toMatchObject({ head: { status: 413 }, body: 'big', failure: null })
    expect(sink.attempt?.write(Buffer.from('more'))).toBe(true)
    sink.attempt?.end()
    expect(await fetchWith(client)).toMatchObject({ body: 'big' })
    expect(client.stats().opened).toBe(2)
  })
})

describe('aborts', () => {
  test('before the head close the connection', async () => {
    const gone = new Promise<void>((resolve) => {
      void rawServer((socket) => {
        socket.once('close', resolve)
        sink.attempt?.abort()
      }).then(({ port }) => {
        sink = start(clientFor(port))
      })
    })
    let sink: RecordingSink
    await gone
  })

  test('in the middle of the body close the connection, also from inside the callback', async () => {
    let sink: RecordingSink
    const gone = new Promise<void>((resolve) => {
      void rawServer((socket) => {
        socket.once('close', resolve)
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello')
      }).then(({ port }) => {
        sink = start(clientFor(port))
        sink.onChunk = () => sink.attempt?.abort()
      })
    })
    await gone
    expect(sink!.failure).toBeNull()
  })

  test('right after start leave a connection that works', async () => {
    const { port, requests } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    const client = clientFor(port)
    await fetchWith(client)
    const aborted = start(client, { target: '/aborted' })
    aborted.attempt?.abort()
    expect(await fetchWith(client)).toMatchObject({ body: 'ok' })
    expect(requests.filter((request) => request.includes('/aborted'))).toEqual([])
  })

  test('while connecting close what is being opened', async () => {
    const { port } = await answering('')
    const client = clientFor(port)
    start(client).attempt?.abort()
    expect(client.stats()).toEqual({ open: 0, idle: 0, waiting: 0, opened: 0 })
  })
})

describe('connections', () => {
  async function held(): Promise<{ port: number; release: (() => void)[]; arrived: (count: number) => Promise<void> }> {
    const release: (() => void)[] = []
    let check = (): void => {}
    const { port } = await httpServer((_req, res) => {
      release.push(() => res.end('ok'))
      check()
    })
    const arrived = (count: number): Promise<void> =>
      new Promise((resolve) => {
        check = () => {
          if (release.length >= count) resolve()
        }
        check()
      })
    return { port, release, arrived }
  }

  test('are limited; who waits gets the next free one', async () => {
    const { port, release, arrived } = await held()
    const client = clientFor(port, { maxConnections: 2 })
    const sinks = [start(client), start(client), start(client), start(client)]
    await arrived(2)
    expect(client.stats()).toMatchObject({ open: 2, waiting: 2, opened: 2 })
    release[0]?.()
    await arrived(3)
    release[1]?.()
    await arrived(4)
    release[2]?.()
    release[3]?.()
    await Promise.all(sinks.map(({ over }) => over))
    expect(sinks.map(({ body }) => body)).toEqual(['ok', 'ok', 'ok', 'ok'])
    expect(client.stats()).toMatchObject({ waiting: 0, opened: 2 })
  })

  test('that are all taken: one more than may wait is refused', async () => {
    const { port, release, arrived } = await held()
    const client = clientFor(port, { maxConnections: 1, maxWaiting: 1 })
    const first = start(client)
    await arrived(1)
    const second = start(client)
    const third = await fetchWith(client)
    expect(third.failure).toMatchObject({ code: 'upstream_overloaded', unsent: true })
    release[0]?.()
    await arrived(2)
    release[1]?.()
    await Promise.all([first.over, second.over])
    expect([first.body, second.body]).toEqual(['ok', 'ok'])
  })

  test('that do not get free in time', async () => {
    const { port, release, arrived } = await held()
    const client = clientFor(port, { maxConnections: 1 })
    const first = start(client)
    await arrived(1)
    const second = await fetchWith(client, { connectTimeout: 20 })
    expect(second.failure).toEqual({ code: 'upstream_connect_timeout', detail: 'timeout', unsent: true, stale: false })
    release[0]?.()
    await first.over
  })

  test('are closed after so many requests', async () => {
    const { port, requests } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    const client = clientFor(port, { maxRequests: 2 })
    for (let i = 0; i < 4; i++) expect((await fetchWith(client)).body).toBe('ok')
    expect(client.stats().opened).toBe(2)
    expect(requests.map((request) => request.includes('connection: close'))).toEqual([false, true, false, true])
  })

  test('are closed after a while without use', async () => {
    let closed = (): void => {}
    const gone = new Promise<void>((resolve) => (closed = resolve))
    const { server, port } = await httpServer((_req, res) => void res.end('ok'))
    server.keepAliveTimeout = 0
    server.on('connection', (socket: Socket) => socket.once('close', closed))
    const client = clientFor(port, { idleTimeout: 50 })
    await fetchWith(client)
    await gone
  })

  test('beyond those that may stay idle are closed', async () => {
    const { port, release, arrived } = await held()
    const client = clientFor(port, { maxIdle: 1 })
    const sinks = [start(client), start(client), start(client)]
    await arrived(3)
    for (const end of release) end()
    await Promise.all(sinks.map(({ over }) => over))
    await settled()
    expect(client.stats()).toMatchObject({ open: 1, idle: 1 })
  })

  test('of a closed client: idle ones go at once, busy ones after their answer, later requests still work', async () => {
    const { port, release, arrived } = await held()
    const client = clientFor(port)
    const busy = start(client)
    await arrived(1)
    client.close()
    release[0]?.()
    await busy.over
    expect(busy.body).toBe('ok')
    const late = start(client)
    await arrived(2)
    release[1]?.()
    await late.over
    expect(late.body).toBe('ok')
    await settled()
    expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
  })

  /** A client with two idle connections, of which the second came too late for who asked for it. */
  async function withUnused(): Promise<{ client: UpstreamClient; sockets: Socket[]; release: (() => void)[] }> {
    const sockets: Socket[] = []
    const release: (() => void)[] = []
    const { server, port } = await httpServer((_req, res) => void release.push(() => res.end('ok')))
    server.on('connection', (socket: Socket) => sockets.push(socket))
    const answers: ((addresses: string[]) => void)[] = []
    const slow: Resolver = { resolve: () => new Promise((resolve) => answers.push(resolve)) }
    const client = createUndiciClient(settingsFor(port, { host: 'service.test' }), slow)
    cleanups.push(() => client.close())
    const first = start(client)
    answers[0]?.(['127.0.0.1'])
    await expect.poll(() => release.length).toBe(1)
    const second = start(client)
    release[0]?.()
    await expect.poll(() => release.length).toBe(2)
    release[1]?.()
    await Promise.all([first.over, second.over])
    answers[1]?.(['127.0.0.1'])
    await expect.poll(() => client.stats()).toMatchObject({ open: 2, idle: 2, waiting: 0, opened: 2 })
    release.length = 0
    return { client, sockets, release }
  }

  test('that come too late for who asked stay for the next one', async () => {
    const { client, release } = await withUnused()
    const both = [start(client), start(client)]
    await expect.poll(() => release.length).toBe(2)
    for (const end of release) end()
    await Promise.all(both.map(({ over }) => over))
    expect(both.map(({ body }) => body)).toEqual(['ok', 'ok'])
    expect(client.stats().opened).toBe(2)
  })

  test.each([
    ['closes', (socket: Socket) => socket.end()],
    ['speaks first', (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')],
  ])('that were never used are dropped when the upstream %s', async (_name, spoil) => {
    const { client, sockets } = await withUnused()
    spoil(sockets[1] as Socket)
    await expect.poll(() => client.stats()).toMatchObject({ open: 1, idle: 1 })
  })

  test('that are stale say so, and a fresh one is fresh', async () => {
    const { port, connections } = await rawServer((socket, request) => {
      if (request.includes('/second')) socket.destroy()
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
    const client = clientFor(port)
    await fetchWith(client)
    const stale = await fetchWith(client, { target: '/second' })
    expect(stale.failure).toMatchObject({ code: 'upstream_connection_closed', unsent: false, stale: true })
    const first = await fetchWith(client, { target: '/second' })
    expect(first.failure).toMatchObject({ code: 'upstream_connection_closed', unsent: false, stale: false })
    await fetchWith(client)
    await fetchWith(client, {}, true)
    expect(connections()).toBe(4)
  })

  test('fresh ones make room for themselves where all are idle', async () => {
    const { port, connections } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    const client = clientFor(port, { maxConnections: 1 })
    await fetchWith(client)
    expect((await fetchWith(client, {}, true)).body).toBe('ok')
    expect(connections()).toBe(2)
    expect(client.stats()).toMatchObject({ open: 1 })
  })

  test('are no more than requests at a time, however fast they follow each other', async () => {
    const { port } = await answering('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    const client = clientFor(port)
    const sinks = await Promise.all(
      Array.from({ length: 4 }, async () => {
        let last = start(client)
        for (let i = 0; i < 25; i++) {
          await last.over
          last = start(client)
        }
        await last.over
        return last
      }),
    )
    expect(sinks.map(({ body }) => body)).toEqual(['ok', 'ok', 'ok', 'ok'])
    expect(client.stats().opened).toBe(4)
  })

  test('that end in the moment in which they are taken are replaced before anything is sent', async () => {
    const sockets: Socket[] = []
    const { port, requests } = await rawServer((socket) => {
      sockets.push(socket)
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
    const client = clientFor(port)
    await fetchWith(client)
    for (let i = 0; i < 10; i++) {
      sockets.pop()?.destroy()
      expect(await fetchWith(client, { method: 'POST' })).toMatchObject({ body: 'ok', failure: null })
    }
    expect(requests).toHaveLength(11)
    expect(client.stats().opened).toBe(11)
  })

  test('that were closed while idle cost nothing', async () => {
    let sockets: Socket[] = []
    const { port } = await rawServer((socket) => {
      sockets.push(socket)
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
    const client = clientFor(port)
    for (let i = 0; i < 10; i++) {
      expect(await fetchWith(client)).toMatchObject({ body: 'ok', failure: null })
      const closing = sockets.map((socket) => once(socket, 'close'))
      for (const socket of sockets) socket.end()
      sockets = []
      await Promise.all(closing)
    }
  })
})

describe('upstreams that fail', () => {
  test('refused', async () => {
    const { server, port } = await httpServer(() => {})
    server.close()
    await once(server, 'close')
    const client = clientFor(port)
    expect((await fetchWith(client)).failure).toEqual({
      code: 'upstream_connection_refused',
      detail: 'ECONNREFUSED',
      unsent: true,
      stale: false,
    })
    expect(client.stats()).toEqual({ open: 0, idle: 0, waiting: 0, opened: 0 })
  })

  test('a name that does not resolve', async () => {
    const sink = await fetchWith(clientFor(80, { host: 'no-such-host.invalid' }))
    expect(sink.failure).toMatchObject({ code: 'upstream_name_not_resolved', unsent: true, stale: false })
  })

  const dead = 'upstream_connection_closed'
  const bad = 'upstream_bad_response'
  test.each([
    ['closes at once', '', dead],
    ['closes inside the head', 'HTTP/1.1 200 OK\r\ncontent-le', dead],
    ['speaks something else', 'SSH-2.0-OpenSSH_9.2\r\n', bad],
    ['speaks HTTP/0.9', '<html>', bad],
    ['has no version', 'HTTP/x 200 OK\r\n\r\n', bad],
    ['sends two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!', bad],
    [
      'sends length and chunked',
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      bad,
    ],
    ['sends a length that is none', 'HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\nhello', bad],
    ['sends a space in a name', 'HTTP/1.1 200 OK\r\nx y: 1\r\ncontent-length: 0\r\n\r\n', bad],
    ['sends a lone line feed in a value', 'HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n', bad],
    ['switches protocols', 'HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n', bad],
    [
      'switches protocols without a word',
      'HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
      bad,
    ],
    ['says nothing but 100', 'HTTP/1.1 100 Continue\r\n\r\n', dead],
    ['says 100 without an end', `HTTP/1.1 100 Continue\r\nx: ${'a'.repeat(80_000)}`, 'upstream_response_too_large'],
    ['sends a status beyond 599', 'HTTP/1.1 799 Odd\r\ncontent-length: 0\r\n\r\n', bad],
    ['floods the head', `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(80_000)}\r\n\r\n`, 'upstream_response_too_large'],
  ])('%s', async (_name, answer, code) => {
    const { port } = await answeringAndEnding(answer)
    const sink = await fetchWith(clientFor(port))
    expect(sink.failure).toMatchObject({ code, unsent: false, stale: false })
    expect(sink.head).toBeNull()
  })

  test.each([
    ['a length that is not reached', 'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello'],
    ['chunks without an end', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['a chunk that is cut', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n500\r\nhello'],
  ])('in the body: %s', async (_name, answer) => {
    const { port } = await answeringAndEnding(answer)
    const sink = await fetchWith(clientFor(port))
    expect(sink.failure).toMatchObject({ code: 'upstream_body_broken', unsent: false, stale: false })
  })

  test.each([
    ['reading', false],
    ['not reading', true],
  ])('a reset is never the end of a body without a length: %s', async (_name, pausing) => {
    let reset = (): void => {}
    const { port } = await rawServer((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n\r\n${'hello'.repeat(20_000)}`)
      reset = () => socket.resetAndDestroy()
    })
    const sink = start(clientFor(port))
    await sink.begun
    if (pausing) sink.attempt?.pause()
    reset()
    if (pausing) setTimeout(() => sink.attempt?.resume(), 50)
    await sink.over
    expect(sink.failure).toMatchObject({ code: 'upstream_body_broken', detail: 'ECONNRESET' })
  })

  test.each([
    ['no length', '', (body: string) => body],
    ['a length', 'content-length: 200000\r\n', (body: string) => body],
    [
      'chunks',
      'transfer-encoding: chunked\r\n',
      (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
  ])('the end of the connection waits while the reader pauses: %s', async (_name, framing, framed) => {
    const body = '0123456789'.repeat(20_000)
    for (const last of [0, 1, 10_000]) {
      const wire = framed(body)
      const { port } = await rawServer((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\n${framing}\r\n${wire.slice(0, wire.length - last)}`)
        setTimeout(() => socket.end(wire.slice(wire.length - last)), 10)
      })
      const sink = start(clientFor(port))
      // Each piece is followed by a pause that is longer than the target stays.
      sink.onChunk = () => {
        sink.attempt?.pause()
        setTimeout(() => sink.attempt?.resume(), 25)
      }
      await sink.over
      expect(sink.failure).toBe(null)
      expect(sink.body).toBe(body)
    }
  })

  test('bad chunk sizes', async () => {
    const { port } = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n')
      setTimeout(() => socket.write('zz\r\nhello\r\n'), 20)
    })
    const sink = await fetchWith(clientFor(port))
    expect(sink.failure).toMatchObject({ code: 'upstream_body_broken' })
  })

  test('a second response behind the first one goes to nobody', async () => {
    const { port, connections } = await rawServer((socket, request) => {
      const path = request.split(' ')[1] as string
      const own = `HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`
      socket.write(`${own}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfalse`)
    })
    const client = clientFor(port)
    for (const target of ['/a', '/bb', '/ccc', '/dddd']) {
      const { body, failure } = await fetchWith(client, { target })
      expect({ body, failure }).toEqual({ body: target, failure: null })
    }
    expect(connections()).toBe(4)
  })

  test('bytes while nothing was asked for end the connection', async () => {
    const { port, connections } = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      setTimeout(() => socket.write('HTTP/1.1 408 Too Slow\r\ncontent-length: 4\r\n\r\nslow'), 20)
      socket.once('close', () => (closed = true))
    })
    let closed = false
    const client = clientFor(port)
    await fetchWith(client)
    await expect.poll(() => closed).toBe(true)
    expect((await fetchWith(client)).body).toBe('ok')
    expect(connections()).toBe(2)
  })
})
