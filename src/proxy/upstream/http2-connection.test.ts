import { once } from 'node:events'
import {
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { certificateFor } from '../../../test/support/certificate.ts'
import { RecordingSink, requestTo, settingsFor } from '../../../test/support/recording-sink.ts'
import type { ClientSettings, OutgoingRequest, UpstreamClient } from './client.ts'
import { createResolver } from './resolver.ts'
import { createUndiciClient } from './undici-client.ts'

const resolver = createResolver({ refresh: 60_000 })

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

async function listen(server: TcpServer | Http2Server): Promise<number> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {})
  }
  server.on('connection', keep)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

/** HTTP/2 without TLS: the target is known to speak it. */
async function plainServer(
  handler: Handler,
  options: ServerOptions = {},
): Promise<{ port: number; sessions: ServerHttp2Session[] }> {
  const sessions: ServerHttp2Session[] = []
  const server = createServer(options)
  server.on('session', (session) => sessions.push(session))
  server.on('sessionError', () => {})
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    handler(stream, headers)
  })
  return { port: await listen(server), sessions }
}

function clientFor(port: number, change: Partial<ClientSettings> = {}): UpstreamClient {
  const client = createUndiciClient(settingsFor(port, { http2: true, ...change }), resolver)
  cleanups.push(() => client.close())
  return client
}

function start(client: UpstreamClient, change: Partial<OutgoingRequest> = {}, keep = true): RecordingSink {
  const sink = new RecordingSink(keep)
  sink.attempt = client.start(requestTo(change), sink, false)
  cleanups.push(() => expect(sink.faults).toEqual([]))
  return sink
}

async function fetchWith(client: UpstreamClient, change: Partial<OutgoingRequest> = {}): Promise<RecordingSink> {
  const sink = start(client, change)
  await sink.over
  return sink
}

const ok: Handler = (stream) => {
  stream.respond({ ':status': 200 })
  stream.end('ok')
}

test('speaks HTTP/2 where the target offers it, else HTTP/1.1', async () => {
  const certificate = await certificateFor(['service.test'])
  const tls = { serverName: 'service.test', verify: false, ca: null, cert: null, key: null }
  const server = createSecureServer({ ...certificate, allowHTTP1: true }, (req, res) => res.end(req.httpVersion))
  const port = await listen(server)
  expect((await fetchWith(clientFor(port, { tls }))).body).toBe('2.0')
  expect((await fetchWith(clientFor(port, { tls, http2: false }))).body).toBe('1.1')
})

test('requests and responses arrive as they are', async () => {
  let seen: [string, string][] = []
  const { port } = await plainServer((stream, headers) => {
    seen = Object.entries(headers).map(([name, value]) => [name, String(value)])
    stream.respond({
      ':status': 201,
      date: 'now',
      'set-cookie': ['a=1', 'b=2'],
      'content-length': 5,
      'x-name': 'caf\u00e9',
    })
    stream.end('hello')
  })
  const headers = ['x-a', '1', 'x-a', '2', 'cookie', 'c=3', 'x-name', 'Zoë']
  const { head, body } = await fetchWith(clientFor(port), { target: '/a?b=%20', host: 'example.com:81', headers })
  expect(seen).toEqual([
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', 'example.com:81'],
    [':path', '/a?b=%20'],
    ['x-a', '1, 2'],
    ['cookie', 'c=3'],
    ['x-name', Buffer.from('Zoë').toString('latin1')],
  ])
  expect(head).toMatchObject({
    status: 201,
    headers: ['set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-name', 'caf\u00e9'],
    contentLength: 5,
    block: '201 Created\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-name: caf\u00e9',
    ascii: false,
  })
  expect(body).toBe('hello')
})

test('responses without a body are complete at once', async () => {
  const { port } = await plainServer((stream) => stream.respond({ ':status': 204 }, { endStream: true }))
  const client = clientFor(port)
  expect(await fetchWith(client)).toMatchObject({ head: { status: 204 }, body: '', failure: null })
  expect(await fetchWith(client, { method: 'HEAD' })).toMatchObject({ head: { status: 204 }, failure: null })
})

test('interim responses are told, trailers are not', async () => {
  const { port } = await plainServer((stream) => {
    stream.additionalHeaders({ ':status': 103, link: '</a.css>' })
    stream.respond({ ':status': 200 }, { waitForTrailers: true })
    stream.once('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1' }))
    stream.end('ok')
  })
  const sink = await fetchWith(clientFor(port))
  expect(sink.interim).toEqual([{ status: 103, headers: ['link', '</a.css>'] }])
  expect(sink).toMatchObject({ body: 'ok', failure: null })
})

test('many requests at once share one connection, uploads too', async () => {
  const waiting: ServerHttp2Stream[] = []
  const { port, sessions } = await plainServer((stream) => {
    waiting.push(stream)
    if (waiting.length < 40) return
    for (const one of waiting) {
      one.respond({ ':status': 200 })
      one.pipe(one)
    }
  })
  const client = clientFor(port, { maxWaiting: 40 })
  const sinks = Array.from({ length: 40 }, (_, i) => {
    const body = i % 2 === 0 ? `body ${i}` : ''
    const sink = start(client, { method: 'POST', bodyLength: body === '' ? 0 : -1 })
    if (body !== '') sink.attempt?.write(Buffer.from(body))
    sink.attempt?.end()
    return { sink, body }
  })
  await Promise.all(sinks.map(({ sink }) => sink.over))
  expect(sinks.map(({ sink }) => sink.body)).toEqual(sinks.map(({ body }) => body))
  expect(sessions).toHaveLength(1)
  expect(client.stats()).toMatchObject({ open: 1, opened: 1, waiting: 0 })
})

test('no more streams than the target allows; the others wait or open another connection', async () => {
  let running = 0
  let most = 0
  const { port, sessions } = await plainServer(
    (stream) => {
      most = Math.max(most, ++running)
      setImmediate(() => {
        running--
        ok(stream, {})
      })
    },
    { settings: { maxConcurrentStreams: 2 } },
  )
  const client = clientFor(port, { maxConnections: 1, maxWaiting: 200 })
  await fetchWith(client)
  const sinks = Array.from({ length: 60 }, () => start(client))
  await Promise.all(sinks.map(({ over }) => over))
  expect(sinks.filter(({ failure, body }) => failure !== null || body !== 'ok')).toEqual([])
  expect(most).toBe(2)
  expect(sessions).toHaveLength(1)
})

test('a connection takes so many requests and then no more', async () => {
  const { port, sessions } = await plainServer(ok)
  const client = clientFor(port, { maxRequests: 3 })
  for (let i = 0; i < 7; i++) expect((await fetchWith(client)).body).toBe('ok')
  expect(sessions).toHaveLength(3)
})

test('an idle connection is closed', async () => {
  const { port, sessions } = await plainServer(ok)
  const client = clientFor(port, { idleTimeout: 30 })
  await fetchWith(client)
  await once(sessions[0] as ServerHttp2Session, 'close')
  await expect.poll(() => client.stats().open).toBe(0)
})

test('a body of 10 MB arrives whole at a reader that stops again and again', async () => {
  const { port } = await plainServer((stream) => {
    stream.respond({ ':status': 200 })
    stream.end(Buffer.alloc(10 * 1024 * 1024, 'x'))
  })
  const sink = start(clientFor(port), {}, false)
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
  expect(sink).toMatchObject({ received: 10 * 1024 * 1024, failure: null })
})

test('a reader that stops holds up nobody but itself', async () => {
  let written = 0
  const { port } = await plainServer((stream, headers) => {
    if (headers[':path'] === '/small') return ok(stream, headers)
    stream.respond({ ':status': 200 })
    const more = (): void => {
      do written += 65_536
      while (stream.write(Buffer.alloc(65_536)))
      stream.once('drain', more)
    }
    more()
  })
  const client = clientFor(port)
  const slow = start(client, { target: '/large' })
  slow.onChunk = () => slow.attempt?.pause()
  await slow.begun
  for (let i = 0; i < 20; i++) expect((await fetchWith(client, { target: '/small' })).body).toBe('ok')
  expect(slow.received).toBeLessThan(65_536)
  expect(written).toBeLessThan(1024 * 1024)
  slow.attempt?.abort()
})

describe('uploads', () => {
  test('of 20 MB ask for breaks and arrive whole', async () => {
    let received = 0
    const { port } = await plainServer((stream, headers) => {
      stream.on('data', (chunk: Buffer) => (received += chunk.length))
      stream.on('end', () => {
        stream.respond({ ':status': 200, 'x-length': headers['content-length'] })
        stream.end('done')
      })
    })
    const size = 20 * 1024 * 1024
    const sink = start(clientFor(port), { method: 'PUT', bodyLength: size })
    const piece = Buffer.alloc(65_536, 'y')
    for (let i = 0; i < size / piece.length; i++) await sink.write(piece)
    sink.attempt?.end()
    await sink.over
    expect(sink).toMatchObject({ body: 'done', failure: null, head: { headers: ['x-length', String(size)] } })
    expect(received).toBe(size)
    expect(sink.drains).toBeGreaterThan(0)
  })

  test.each([
    ['counted', 1000],
    ['chunked', -1],
  ])('that break off are reset, never ended: %s', async (_name, bodyLength) => {
    let sink: RecordingSink
    const seen = new Promise<string>((resolve) => {
      void plainServer((stream) => {
        let ended = ''
        stream.on('data', () => sink.attempt?.abort())
        stream.on('end', () => (ended = stream.aborted ? '' : 'ended, '))
        stream.on('close', () => resolve(`${ended}${stream.aborted ? 'aborted' : 'whole'} ${stream.rstCode}`))
      }).then(({ port }) => {
        sink = start(clientFor(port), { method: 'POST', bodyLength })
        sink.attempt?.write(Buffer.from('part'))
      })
    })
    expect(await seen).toBe(`aborted ${constants.NGHTTP2_CANCEL}`)
  })

  test('that break off put no end of stream on the wire', async () => {
    let sink: RecordingSink
    let bytes = Buffer.alloc(0)
    const done = new Promise<Frame[]>((resolve) => {
      const server = createTcpServer((socket) => {
        socket.write(frame(4, 0, 0, Buffer.alloc(0)))
        socket.on('data', (data) => {
          bytes = Buffer.concat([bytes, data])
          const frames = framesOf(bytes.subarray(24))
          if (frames.some(({ type }) => type === 0)) sink.attempt?.abort()
          if (frames.some(({ type }) => type === 3)) resolve(frames)
        })
      })
      void listen(server).then((port) => {
        sink = start(clientFor(port), { method: 'POST', bodyLength: -1 })
        sink.attempt?.write(Buffer.from('part'))
      })
    })
    const frames = await done
    const own = frames.filter(({ stream }) => stream !== 0)
    expect(own.map(({ type }) => type)).toEqual([1, 0, 3])
    expect(own.filter(({ type, flags }) => type < 2 && (flags & 1) !== 0)).toEqual([])
  })

  test('that are answered early end with the answer', async () => {
    const { port } = await plainServer((stream) => {
      stream.respond({ ':status': 413 })
      stream.end('big')
    })
    const client = clientFor(port)
    const sink = start(client, { method: 'POST', bodyLength: 1_000_000 })
    sink.attempt?.write(Buffer.from('begin'))
    await sink.over
    expect(sink).toMatchObject({ head: { status: 413 }, body: 'big', failure: null })
    expect(sink.attempt?.write(Buffer.from('more'))).toBe(true)
    expect((await fetchWith(client)).body).toBe('big')
    expect(client.stats().opened).toBe(1)
  })
})

describe('upstreams that fail', () => {
  test('a refused stream has not been touched', async () => {
    const { port } = await plainServer((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM))
    expect((await fetchWith(clientFor(port))).failure).toMatchObject({
      code: 'upstream_connection_closed',
      unsent: true,
      stale: false,
    })
  })

  test('a reset before the head', async () => {
    const { port } = await plainServer((stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
    expect((await fetchWith(clientFor(port))).failure).toMatchObject({
      code: 'upstream_connection_closed',
      detail: 'reset 2',
      unsent: false,
      stale: false,
    })
  })

  test.each([
    ['an error', constants.NGHTTP2_INTERNAL_ERROR],
    ['a cancellation', constants.NGHTTP2_CANCEL],
    // Would be the end of the body to Node.
    ['nothing wrong', constants.NGHTTP2_NO_ERROR],
  ])('a reset in the body: %s', async (_name, code) => {
    const port = await rawResponder((socket, stream) => {
      socket.write(frame(1, 4, stream, Buffer.from([0x88])))
      socket.write(frame(0, 0, stream, Buffer.from('part')))
      socket.write(frame(3, 0, stream, Buffer.from([0, 0, 0, code])))
    })
    expect((await fetchWith(clientFor(port))).failure).toMatchObject({ code: 'upstream_body_broken' })
  })

  test('fewer bytes than the length says', async () => {
    const port = await rawResponder((socket, stream) => {
      // :status 200, content-length: 9
      socket.write(frame(1, 4, stream, Buffer.from([0x88, 0x0f, 0x0d, 0x01, 0x39])))
      socket.write(frame(0, 1, stream, Buffer.from('part')))
    })
    expect((await fetchWith(clientFor(port))).failure).toMatchObject({ code: 'upstream_body_broken' })
  })

  test('a connection that closes without a word', async () => {
    const { port, sessions } = await plainServer(() => sessions[0]?.destroy())
    expect((await fetchWith(clientFor(port))).failure).toMatchObject({
      code: 'upstream_connection_closed',
      unsent: false,
    })
  })

  test('a server that speaks something else', async () => {
    const port = await listen(createTcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    const client = clientFor(port)
    expect((await fetchWith(client)).failure).toMatchObject({ code: 'upstream_bad_response' })
    await expect.poll(() => client.stats().open).toBe(0)
  })

  test('a head that is too large', async () => {
    const { port } = await plainServer((stream) => {
      stream.respond({
        ':status': 200,
        ...Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`x-${i}`, 'a'.repeat(1000)])),
      })
      stream.end('x')
    })
    const client = clientFor(port, { maxHeadSize: 8192 })
    expect((await fetchWith(client)).failure).toMatchObject({ code: 'upstream_response_too_large' })
  })

  test('a refused connection fails all that wait for it', async () => {
    const server = createTcpServer()
    const port = await listen(server)
    server.close()
    await once(server, 'close')
    const client = clientFor(port)
    const sinks = [start(client), start(client), start(client)]
    await Promise.all(sinks.map(({ over }) => over))
    for (const { failure } of sinks)
      expect(failure).toMatchObject({ code: 'upstream_connection_refused', unsent: true })
    expect(client.stats()).toEqual({ open: 0, idle: 0, waiting: 0, opened: 0 })
  })
})

test('GOAWAY: what is on its way finishes, what follows goes to a new connection', async () => {
  const held: ServerHttp2Stream[] = []
  let arrived = (): void => {}
  const { port, sessions } = await plainServer((stream, headers) => {
    if (headers[':path'] !== '/held') return ok(stream, headers)
    held.push(stream)
    arrived()
  })
  const client = clientFor(port)
  const reached = new Promise<void>((resolve) => (arrived = resolve))
  const sink = start(client, { target: '/held' })
  await reached
  ;(sessions[0] as ServerHttp2Session).goaway(constants.NGHTTP2_NO_ERROR)
  await expect.poll(async () => (await fetchWith(client)) && sessions.length).toBe(2)
  ok(held[0] as ServerHttp2Stream, {})
  await sink.over
  expect(sink).toMatchObject({ body: 'ok', failure: null })
  await expect.poll(() => client.stats().open).toBe(1)
})

test('an abort gives up one stream and leaves the connection', async () => {
  const closed: number[] = []
  const { port } = await plainServer((stream, headers) => {
    if (headers[':path'] === '/ok') return ok(stream, headers)
    stream.once('close', () => closed.push(stream.rstCode))
    sink.attempt?.abort()
  })
  const client = clientFor(port)
  const sink = start(client, { target: '/slow' })
  await expect.poll(() => closed).toEqual([constants.NGHTTP2_CANCEL])
  expect((await fetchWith(client, { target: '/ok' })).body).toBe('ok')
  expect(client.stats()).toMatchObject({ opened: 1 })
  expect(sink.failure).toBeNull()
})

test('a target that answers no ping after an abort loses its connection', async () => {
  let closed = (): void => {}
  const gone = new Promise<void>((resolve) => (closed = resolve))
  const port = await rawResponder((socket) => {
    socket.once('close', closed)
    sink.attempt?.abort()
  })
  const client = clientFor(port)
  const sink = start(client)
  await gone
  await expect.poll(() => client.stats().open).toBe(0)
})

interface Frame {
  type: number
  flags: number
  stream: number
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    frames.push({ type: bytes[at + 3] as number, flags: bytes[at + 4] as number, stream: bytes.readUInt32BE(at + 5) })
  }
  return frames
}

/** A server that writes frames by hand once the head of a request is there. */
async function rawResponder(answer: (socket: Socket, stream: number) => void): Promise<number> {
  const server = createTcpServer((socket) => {
    let bytes = Buffer.alloc(0)
    let answered = false
    socket.write(frame(4, 0, 0, Buffer.alloc(0)))
    socket.on('data', (data) => {
      bytes = Buffer.concat([bytes, data])
      const head = framesOf(bytes.subarray(24)).find(({ type }) => type === 1)
      if (head === undefined || answered) return
      answered = true
      answer(socket, head.stream)
    })
  })
  return listen(server)
}
