import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test } from 'vitest'
import { RawServer } from '../../../test/support/raw-server.ts'
import { RecordingSink, requestTo, settingsFor } from '../../../test/support/recording-sink.ts'
import type { ClientSettings, OutgoingRequest, UpstreamClient } from './client.ts'
import { createResolver, type Resolver } from './resolver.ts'
import { createSocketClient } from './socket-client.ts'

const resolver = createResolver({ refresh: 60_000 })
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function clientFor(port: number, change: Partial<ClientSettings> = {}, resolves: Resolver = resolver): UpstreamClient {
  const client = createSocketClient(settingsFor(port, change), resolves)
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
  return sink
}

async function rawServer(serve: Parameters<typeof RawServer.start>[0] = null): Promise<RawServer> {
  const server = await RawServer.start(serve)
  cleanups.push(() => server.stop())
  return server
}

async function answering(text: string): Promise<RawServer> {
  const server = await RawServer.answering(text)
  cleanups.push(() => server.stop())
  return server
}

async function httpServer(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** Turns the event loop until `test` holds. */
async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setTimeout(resolve, 1))
}

/**
 * Starts a request right after `event` at the other end of its connection. Its head waits for the body till the event
 * loop has turned, and on the way what happened there is noticed.
 */
async function startBehind(client: UpstreamClient, event: () => void): Promise<RecordingSink> {
  const sink = await new Promise<RecordingSink>((resolve) => {
    setImmediate(() => {
      event()
      resolve(start(client, { method: 'POST', bodyLength: 5 }))
    })
  })
  await sink.over
  return sink
}

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

describe('requests', () => {
  test('leave in one piece, fields in order', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    const headers = ['accept', '*/*', 'x-empty', '', 'cookie', 'a=1', 'cookie', 'b=2']
    const sink = await fetchWith(client, { target: '/a/b?c=d', host: 'api.example.com:81', headers })
    expect(sink.body).toBe('ok')
    expect(sink.head).toMatchObject({ status: 200, contentLength: 2, block: '200 OK', ascii: true, headers: [] })
    expect(server.connections[0]?.received).toBe(
      'GET /a/b?c=d HTTP/1.1\r\nhost: api.example.com:81\r\naccept: */*\r\nx-empty: \r\ncookie: a=1\r\ncookie: b=2\r\n\r\n',
    )
  })

  test.each([
    ['GET', ''],
    ['HEAD', ''],
    ['DELETE', ''],
    ['OPTIONS', ''],
    ['POST', 'content-length: 0\r\n'],
    ['PUT', 'content-length: 0\r\n'],
    ['PATCH', 'content-length: 0\r\n'],
  ])('%s without a body says %j', async (method, framing) => {
    const server = await answering('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    await fetchWith(clientFor(server.port), { method })
    expect(server.connections[0]?.received).toBe(`${method} / HTTP/1.1\r\nhost: service.test\r\n${framing}\r\n`)
  })

  test('carry the bytes that the client sent', async () => {
    const server = await answering(ok)
    const values = ['caf\u00e9', '\u20ac 5', '\u{1f600}', '\u010a\u010d', 'tab\there', '\u0080\u00ff']
    await fetchWith(clientFor(server.port), {
      headers: values.flatMap((value, index) => [`x-${index}`, value]),
      target: '/\u00fc',
    })
    const expected = values.map((value, index) => `x-${index}: ${value}\r\n`).join('')
    const received = Buffer.from(server.connections[0]?.received ?? '', 'latin1').toString('utf8')
    expect(received).toBe(`GET /\u00fc HTTP/1.1\r\nhost: service.test\r\n${expected}\r\n`)
  })

  test.each<[string, Partial<OutgoingRequest>]>([
    ['line feed in a value', { headers: ['x', 'a\nb'] }],
    ['carriage return in a value', { headers: ['x', 'a\rb'] }],
    ['a field in a value', { headers: ['x', 'a\r\ny: z'] }],
    ['a second request in a value', { headers: ['x', 'a\r\n\r\nGET /admin HTTP/1.1\r\nhost: a'] }],
    ['NUL in a value', { headers: ['x', 'a\0'] }],
    ['NUL and a tab in a value', { headers: ['x', 'a\tb', 'y', '\0'] }],
    ['line feed and a tab in a value', { headers: ['x', 'a\tb', 'y', '\n'] }],
    ['many line feeds in one column', { headers: ['x', 'abc\n'.repeat(255)] }],
    ['line feed in a name', { headers: ['x\ny', 'a'] }],
    ['line feed in the target', { target: '/a\nb' }],
    ['space in the target', { target: '/a HTTP/1.1\tx' }],
    ['line feed in the host', { host: 'a\nb' }],
    ['line feed in the method', { method: 'GET\n' }],
    ['line feed at the very end', { headers: ['x', `${'y'.repeat(3000)}\n`] }],
  ])('with %s never leave', async (_name, change) => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    for (const bodyLength of [0, 5, -1]) {
      const sink = start(client, { ...change, bodyLength })
      if (bodyLength !== 0) sink.attempt?.write(Buffer.from('hello'))
      await sink.over
      expect(sink.failure).toEqual({
        code: 'internal_error',
        detail: 'unsafe request head',
        unsent: true,
        stale: false,
      })
    }
    // Nothing was wrong with the connection.
    expect((await fetchWith(client)).body).toBe('ok')
    expect(server.connections.map(({ received }) => received)).toEqual(['GET / HTTP/1.1\r\nhost: service.test\r\n\r\n'])
  })

  test('with a tab, many fields and long ones leave', async () => {
    const server = await answering(ok)
    const headers = Array.from({ length: 200 }, (_, index) => [`x-${index}`, `${'v\t'.repeat(index)}v`]).flat()
    const client = clientFor(server.port)
    for (const extra of [0, 10_000, 100_000]) {
      const sink = await fetchWith(client, { headers: [...headers, 'y', 'z'.repeat(extra)] })
      expect(sink.body).toBe('ok')
      expect(server.connections[0]?.received.endsWith(`y: ${'z'.repeat(extra)}\r\n\r\n`)).toBe(true)
    }
  })

  test('reuse the connection', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    for (let i = 0; i < 10; i++) expect((await fetchWith(client)).body).toBe('ok')
    expect(server.connections.length).toBe(1)
    expect(client.stats()).toEqual({ open: 1, idle: 1, waiting: 0, opened: 1 })
  })

  test('use the connection that was used last', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    await Promise.all([fetchWith(client), fetchWith(client), fetchWith(client)])
    for (let i = 0; i < 5; i++) await fetchWith(client)
    const counts = server.connections.map(({ received }) => received.split('GET').length - 1)
    expect(counts.sort((a, b) => a - b)).toEqual([1, 1, 6])
  })
})

describe('request bodies', () => {
  test('of known length leave together with the head', async () => {
    const arrivals: string[] = []
    const server = await rawServer((connection) => {
      connection.socket.on('data', (data) => {
        arrivals.push(data.toString('latin1'))
        if (connection.received.includes('hello')) void connection.send(ok)
      })
    })
    const client = clientFor(server.port)
    for (let i = 0; i < 2; i++) {
      const sink = start(client, { method: 'POST', bodyLength: 5 })
      sink.attempt?.write(Buffer.from('hello'))
      sink.attempt?.end()
      await sink.over
      expect(sink.body).toBe('ok')
      expect(server.connections[0]?.received).toBe(
        'POST / HTTP/1.1\r\nhost: service.test\r\ncontent-length: 5\r\n\r\nhello',
      )
      ;(server.connections[0] as { received: string }).received = ''
    }
    expect(arrivals.length).toBe(2)
    expect(server.connections.length).toBe(1)
  })

  test('of unknown length are chunked', async () => {
    const server = await rawServer((connection) => {
      void connection.until((received) => received.endsWith('\r\n0\r\n\r\n')).then(() => connection.send(ok))
    })
    const sink = start(clientFor(server.port), { method: 'POST', bodyLength: -1 })
    await sink.write(Buffer.from('hello'))
    await sink.write(Buffer.alloc(0))
    await sink.write(Buffer.alloc(300, 'x'))
    sink.attempt?.end()
    sink.attempt?.end()
    await sink.over
    expect(sink.body).toBe('ok')
    expect(server.connections[0]?.received).toBe(
      `POST / HTTP/1.1\r\nhost: service.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n12c\r\n${'x'.repeat(300)}\r\n0\r\n\r\n`,
    )
  })

  test.each([true, false])('that are chunked and empty are ended (connected: %s)', async (connected) => {
    const server = await rawServer((connection) => {
      connection.socket.on('data', () => {
        if (connection.received.endsWith('\r\n\r\n')) void connection.send(ok)
      })
    })
    const client = clientFor(server.port)
    if (connected) await fetchWith(client)
    const sink = start(client, { method: 'POST', bodyLength: -1 })
    sink.attempt?.end()
    await sink.over
    expect(sink.body).toBe('ok')
    expect(server.connections[0]?.received.endsWith('transfer-encoding: chunked\r\n\r\n0\r\n\r\n')).toBe(true)
    expect(client.stats()).toMatchObject({ open: 1, idle: 1 })
  })

  test('that have not begun do not hold the head back', async () => {
    const server = await rawServer()
    const client = clientFor(server.port)
    const sink = start(client, { method: 'POST', bodyLength: 5 })
    const connection = await server.connection()
    expect(await connection.head()).toContain('content-length: 5')
    await sink.write(Buffer.from('he'))
    await sink.write(Buffer.from('llo'))
    await connection.until((received) => received.endsWith('hello'))
    await connection.send(ok)
    await sink.over
    expect(sink.body).toBe('ok')
  })

  test('are copied: the memory may be used again at once', async () => {
    const server = await rawServer()
    const client = clientFor(server.port)
    const sink = start(client, { method: 'POST', bodyLength: 20 })
    const memory = Buffer.from('first')
    sink.attempt?.write(memory)
    memory.fill('!')
    const connection = await server.connection()
    await connection.until((received) => received.endsWith('first'))
    for (const text of ['again', 'third', 'end..']) {
      memory.write(text)
      sink.attempt?.write(memory)
      memory.fill('!')
    }
    await connection.until((received) => received.endsWith('firstagainthirdend..'))
  })

  test.each([0, 5])('longer than announced (%i) are not sent', async (bodyLength) => {
    const server = await rawServer()
    const client = clientFor(server.port)
    const sink = start(client, { method: 'POST', bodyLength })
    const connection = await server.connection()
    await connection.head()
    if (bodyLength > 0) await sink.write(Buffer.from('hell'))
    expect(sink.attempt?.write(Buffer.from('o!'))).toBe(true)
    await sink.over
    expect(sink.failure).toMatchObject({ code: 'internal_error', unsent: false })
    await connection.closed
    expect(connection.received.split('\r\n\r\n')[1]).toBe(bodyLength > 0 ? 'hell' : '')
    expect(client.stats().open).toBe(0)
  })

  test('shorter than announced break the connection', async () => {
    const server = await rawServer()
    const sink = start(clientFor(server.port), { method: 'POST', bodyLength: 5 })
    await sink.write(Buffer.from('hell'))
    sink.attempt?.end()
    await sink.over
    expect(sink.failure).toMatchObject({ code: 'internal_error', detail: 'request body shorter than announced' })
    const connection = await server.connection()
    await connection.closed
  })

  test('that are aborted break the connection: the upstream sees no end', async () => {
    const server = await rawServer()
    const sink = start(clientFor(server.port), { method: 'POST', bodyLength: -1 })
    await sink.write(Buffer.from('hello'))
    const connection = await server.connection()
    await connection.until((received) => received.endsWith('hello\r\n'))
    sink.attempt?.abort()
    await connection.closed
    expect(connection.received.endsWith('hello\r\n')).toBe(true)
  })

  test('wait for the upstream, and hold little memory meanwhile', async () => {
    const server = await rawServer((connection) => {
      connection.keep = false
      connection.socket.pause()
    })
    const client = clientFor(server.port)
    const total = 64 * 1024 * 1024
    const sink = start(client, { method: 'POST', bodyLength: total })
    const connection = await server.connection()
    const chunk = Buffer.alloc(256 * 1024, 'x')
    let sent = 0
    // Nobody reads: what goes in is what the two kernels buffer and one chunk more.
    while (sent < total) {
      sent += chunk.length
      if (!(sink.attempt as { write(chunk: Uint8Array): boolean }).write(chunk) && sent > chunk.length) break
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(sent).toBeLessThan(total / 2)
    expect(sink.drains).toBeLessThan(3)
    const before = sink.drains
    connection.socket.resume()
    await until(() => sink.drains > before)
    while (sent < total) {
      await sink.write(chunk)
      sent += chunk.length
    }
    // Room is told behind the last byte too: the writer may not know yet that it was the last.
    await connection.until(() => connection.bytes > total)
    sink.attempt?.end()
    await connection.send(ok)
    await sink.over
    expect(sink.body).toBe('ok')
    expect(client.stats()).toMatchObject({ open: 1, idle: 1 })
  })

  test('stay what they are while they wait', async () => {
    const server = await rawServer((connection) => void connection.socket.pause())
    const other = clientFor((await answering(ok)).port)
    const client = clientFor(server.port)
    const sink = start(client, { method: 'POST', bodyLength: -1 })
    const connection = await server.connection()
    const chunk = Buffer.alloc(48 * 1024)
    let written = ''
    let blocked = 0
    // Beyond the first refusal, so that there are writes behind others that wait.
    while (blocked < 3) {
      const letter = String.fromCharCode(97 + (written.length % 26))
      chunk.fill(letter)
      if (!(sink.attempt as { write(chunk: Uint8Array): boolean }).write(chunk) && written !== '') blocked++
      written += letter
      expect((await fetchWith(other)).body).toBe('ok')
    }
    sink.attempt?.end()
    connection.socket.resume()
    await connection.until((received) => received.endsWith('\r\n0\r\n\r\n'))
    const sent = connection.received.split('\r\n\r\n')[1] ?? ''
    const runs = sent
      .replace(/c000\r\n/g, '')
      .replace(/\r\n/g, '')
      .replace(/([a-z])\1*/g, (run: string) => (run.length === chunk.length ? run.charAt(0) : run))
    expect(runs.slice(0, -1) === written).toBe(true)
    await connection.send(ok)
    await sink.over
    expect(sink.body).toBe('ok')
  })

  test('wait for the connection', async () => {
    const server = await rawServer((connection) => {
      void connection.until((received) => received.endsWith('hello world')).then(() => connection.send(ok))
    })
    const sink = start(clientFor(server.port), { method: 'POST', bodyLength: 11 })
    const memory = Buffer.from('hello')
    expect(sink.attempt?.write(memory)).toBe(false)
    memory.fill('!')
    await until(() => sink.drains === 1)
    expect(sink.attempt?.write(Buffer.from(' world'))).toBe(true)
    sink.attempt?.end()
    await sink.over
    expect(sink.body).toBe('ok')
  })
})

describe('responses', () => {
  const cases: Record<string, { text: string; body: string; reused: boolean; ends?: boolean; method?: string }> = {
    'Content-Length': { text: ok, body: 'ok', reused: true },
    chunked: {
      text: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;e=f\r\nhello\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n',
      body: 'hello!',
      reused: true,
    },
    'until close': { text: 'HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello', body: 'hello', reused: false, ends: true },
    'until close, empty': { text: 'HTTP/1.1 200 OK\r\n\r\n', body: '', reused: false, ends: true },
    HEAD: { text: 'HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n', body: '', reused: true, method: 'HEAD' },
    '204': { text: 'HTTP/1.1 204 No Content\r\n\r\n', body: '', reused: true },
    '304': { text: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n', body: '', reused: true },
    'interim before': {
      text: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}`,
      body: 'ok',
      reused: true,
    },
    'HTTP/1.0': { text: 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', body: 'ok', reused: false },
    'HTTP/1.0 keep-alive': {
      text: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
      body: 'ok',
      reused: true,
    },
    'Connection: close': {
      text: 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
      body: 'ok',
      reused: false,
    },
  }

  /** Pieces are sent so that each arrives in a read of its own. */
  async function sendApart(
    server: RawServer,
    pieces: readonly string[],
    sink: RecordingSink,
    ends: boolean,
  ): Promise<void> {
    const connection = server.connections.at(-1) as NonNullable<(typeof server.connections)[0]>
    for (const piece of pieces) {
      await connection.send(piece)
      // The other end lives in this process: two turns of its event loop, and it has read.
      await new Promise((resolve) => setImmediate(resolve))
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (ends) connection.socket.end()
    await sink.over
  }

  test.each(Object.entries(cases))(
    '%s, whole, in two parts and byte by byte',
    async (_name, { text, body, reused, ends = false, method = 'GET' }) => {
      const server = await rawServer()
      const client = clientFor(server.port)
      const step = Math.max(1, Math.floor(text.length / 12))
      const ways = [[text], text.split('')]
      for (let at = 1; at < text.length; at += step) ways.push([text.slice(0, at), text.slice(at)])
      for (const pieces of ways) {
        const sink = start(client, { method })
        const opened = client.stats().opened
        await server.connection(opened - 1)
        await server.connections.at(-1)?.until((received) => received.endsWith('\r\n\r\n'))
        ;(server.connections.at(-1) as { received: string }).received = ''
        await sendApart(server, pieces, sink, ends)
        expect(sink.failure).toBeNull()
        expect(sink.body).toBe(body)
        expect(client.stats()).toMatchObject(reused ? { open: 1, idle: 1, opened: 1 } : { open: 0, idle: 0 })
      }
      expect(server.connections.length).toBe(reused ? 1 : ways.length)
    },
  )

  test('that come at once are told at once', async () => {
    for (const text of [ok, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n']) {
      const server = await answering(text)
      const told: string[] = []
      await new Promise<void>((resolve) => {
        clientFor(server.port).start(
          requestTo(),
          {
            onInterim: () => told.push('interim'),
            onHead: (_head, body, complete) => {
              told.push(`head ${Buffer.from(body ?? []).toString()} ${complete}`)
              resolve()
            },
            onData: () => told.push('data'),
            onEnd: () => told.push('end'),
            onFailure: () => told.push('failure'),
            onDrain: () => told.push('drain'),
          },
          false,
        )
      })
      expect(told).toEqual(['head ok true'])
    }
  })

  test('interim ones are told with their fields', async () => {
    const server = await answering(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n${ok}`)
    const sink = await fetchWith(clientFor(server.port))
    expect(sink.interim).toEqual([{ status: 103, headers: ['link', '</a>'] }])
    expect(sink.body).toBe('ok')
  })

  test('of a real server, small and large', async () => {
    const large = Buffer.alloc(3_000_000, 'abcdefghij')
    const port = await httpServer((request, response) => {
      if (request.url === '/large') response.end(large)
      else if (request.url === '/stream') {
        response.write(large.subarray(0, 100_000))
        setImmediate(() => {
          response.write('x')
          response.addTrailers({ digest: 'y' })
          response.end(large.subarray(0, 200_000))
        })
      } else response.end(request.url)
    })
    const client = clientFor(port)
    for (let i = 0; i < 3; i++) {
      expect((await fetchWith(client, { target: '/small' })).body).toBe('/small')
      expect((await fetchWith(client, { target: '/large' })).body === large.toString()).toBe(true)
      const expected = `${large.toString('latin1', 0, 100_000)}x${large.toString('latin1', 0, 200_000)}`
      expect((await fetchWith(client, { target: '/stream' })).body === expected).toBe(true)
    }
    expect(client.stats().opened).toBe(1)
  })

  test('stop when the reader pauses, go on when it resumes', async () => {
    const total = 64 * 1024 * 1024
    const server = await rawServer((connection) => {
      void connection.head().then(async () => {
        await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`)
        const chunk = Buffer.alloc(1024 * 1024, 'x')
        for (let sent = 0; sent < total; sent += chunk.length) await connection.send(chunk)
      })
    })
    const client = clientFor(server.port)
    const sink = start(client, {}, false, false)
    sink.onChunk = () => sink.attempt?.pause()
    await until(() => sink.received > 0)
    let paused = 0
    for (let i = 0; i < 20; i++) {
      const at = sink.received
      await new Promise((resolve) => setTimeout(resolve, 2))
      if (sink.received === at) paused++
    }
    expect(paused).toBe(20)
    expect(sink.received).toBeLessThanOrEqual(65_536)

    // One read after each resume, pause in between.
    for (let i = 0; i < 10; i++) {
      const at = sink.received
      sink.attempt?.resume()
      await until(() => sink.received > at)
      expect(sink.received - at).toBeLessThanOrEqual(65_536)
    }
    // Pause and resume inside a callback: nothing stops.
    sink.onChunk = () => {
      sink.attempt?.pause()
      sink.attempt?.resume()
    }
    sink.attempt?.resume()
    await sink.over
    expect(sink.received).toBe(total)
    expect(client.stats()).toMatchObject({ open: 1, idle: 1 })
  })

  test('a pause outside of a callback stops reading too', async () => {
    const server = await rawServer()
    const client = clientFor(server.port)
    const sink = start(client)
    const connection = await server.connection()
    await connection.head()
    await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none')
    await until(() => sink.received === 3)
    sink.attempt?.pause()
    await connection.send('two')
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(sink.received).toBe(3)
    sink.attempt?.resume()
    await sink.over
    expect(sink.body).toBe('onetwo')
    // And the connection is read again when it is idle.
    connection.socket.end()
    await until(() => client.stats().open === 0)
  })

  test('a pause before the response holds it back', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    for (let i = 0; i < 2; i++) {
      const sink = start(client)
      sink.attempt?.pause()
      await until(() => (server.connections[0]?.received.split('GET').length ?? 0) > i + 1)
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
      expect(sink.head).toBeNull()
      sink.attempt?.resume()
      await sink.over
      expect(sink.body).toBe('ok')
    }
  })
})

describe('hostile answers', () => {
  test.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok', 'conflicting content-length'],
    ['HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok', 'bad content-length'],
    [
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok',
      'content-length with transfer-encoding',
    ],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok', 'bad transfer-encoding'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz', 'bad chunk size'],
    ['HTTP/1.1 101 Switching Protocols\r\n\r\n', 'unexpected 101'],
    ['HTTP/3.0 200 OK\r\n\r\n', 'bad status line'],
    ['HTTP/1.1 200 OK\r\nX : y\r\n\r\n', 'bad field name'],
    ['HTTP/1.1 200 OK\n\nok', 'bare LF'],
    ['\0\0\0\0', 'bad status line'],
    [`${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(40)}${ok}`, 'too many interim responses'],
  ])('%j is refused', async (text, detail) => {
    const server = await answering(text)
    const client = clientFor(server.port)
    const sink = await fetchWith(client)
    expect(sink.failure).toEqual({ code: 'upstream_bad_response', detail, unsent: false, stale: false })
    expect(sink.head).toBeNull()
    expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
    await (await server.connection()).closed
  })

  test('a head that floods is cut', async () => {
    const server = await rawServer((connection) => {
      void connection.head().then(async () => {
        await connection.send('HTTP/1.1 200 OK\r\n')
        while (!connection.socket.destroyed) await connection.send(`X: ${'y'.repeat(10_000)}\r\n`)
      })
    })
    const client = clientFor(server.port)
    const sink = await fetchWith(client)
    expect(sink.failure).toMatchObject({ code: 'upstream_response_too_large', detail: 'head too large' })
    expect(client.stats().open).toBe(0)
  })

  test('a fault in the body breaks the response', async () => {
    const server = await rawServer()
    const sink = start(clientFor(server.port))
    const connection = await server.connection()
    await connection.head()
    await connection.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')
    await sink.begun
    await connection.send('x\r\n')
    await sink.over
    expect(sink.failure).toMatchObject({ code: 'upstream_bad_response', detail: 'bad chunk size', stale: false })
    expect(sink.body).toBe('ok')
  })

  test.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n'],
  ])('%j and a close is no complete response', async (text) => {
    for (const reset of [false, true]) {
      const server = await rawServer((connection) => {
        void connection.head().then(() => connection.send(text))
      })
      const client = clientFor(server.port)
      const sink = start(client)
      await sink.begun
      if (reset) server.connections[0]?.socket.resetAndDestroy()
      else server.connections[0]?.socket.end()
      await sink.over
      expect(sink.body).toBe('ok')
      expect(sink.failure).toMatchObject({
        code: 'upstream_body_broken',
        detail: reset ? 'ECONNRESET' : 'closed',
        stale: false,
      })
      expect(client.stats().open).toBe(0)
    }
  })

  test('a reset is no end of a body without a length', async () => {
    const server = await rawServer((connection) => {
      void connection.head().then(() => connection.send('HTTP/1.1 200 OK\r\n\r\nok'))
    })
    const sink = start(clientFor(server.port))
    await sink.begun
    server.connections[0]?.socket.resetAndDestroy()
    await sink.over
    expect(sink.failure).toMatchObject({ code: 'upstream_body_broken', detail: 'ECONNRESET' })
  })

  test.each(['', 'HTTP/1.1 200', 'HTTP/1.1 103 Early Hints\r\n\r\n'])('a close after %j is no answer', async (text) => {
    const server = await rawServer((connection) => {
      void connection.head().then(() => connection.socket.end(text))
    })
    const sink = await fetchWith(clientFor(server.port))
    expect(sink.failure).toEqual({ code: 'upstream_connection_closed', detail: 'closed', unsent: false, stale: false })
  })

  const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'

  test.each([
    ['Content-Length', ok, 'GET'],
    ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', 'GET'],
    ['204', 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n', 'GET'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n', 'HEAD'],
  ])('a second response behind the first (%s) is nobody’s', async (_name, text, method) => {
    const server = await rawServer((connection) => {
      void connection.head().then(() => connection.send(server.connections.length === 1 ? text + poison : ok))
    })
    const client = clientFor(server.port)
    const first = await fetchWith(client, { method })
    expect(first.failure).toBeNull()
    expect(first.body).toBe(text.endsWith('ok') || text.includes('ok\r\n') ? 'ok' : '')
    expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
    expect((await fetchWith(client)).body).toBe('ok')
    await server.connections[0]?.closed
    expect(server.connections.length).toBe(2)
  })

  test('a second response that comes later finds an idle connection, and ends it', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    await fetchWith(client)
    expect(client.stats().idle).toBe(1)
    await server.connections[0]?.send(poison)
    await until(() => client.stats().open === 0)
    expect((await fetchWith(client)).body).toBe('ok')
    expect(server.connections.length).toBe(2)
  })

  test('what was there before the request is no answer to it', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    await fetchWith(client)
    const sink = await startBehind(client, () => void server.connections[0]?.socket.write(poison))
    expect(sink.failure).toEqual({
      code: 'upstream_bad_response',
      detail: 'bytes before the request',
      unsent: true,
      stale: true,
    })
    expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
  })
})

describe('early responses', () => {
  test('are delivered, the rest of the body is dropped, the connection closed', async () => {
    const server = await rawServer((connection) => {
      void connection.head().then(() => connection.send('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno'))
    })
    const client = clientFor(server.port)
    for (const bodyLength of [1_000_000, -1]) {
      const sink = start(client, { method: 'POST', bodyLength })
      await sink.write(Buffer.alloc(100, 'x'))
      await sink.over
      expect(sink).toMatchObject({ failure: null, body: 'no' })
      expect(sink.attempt?.write(Buffer.alloc(100, 'x'))).toBe(true)
      sink.attempt?.end()
      expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
    }
    await Promise.all(server.connections.map(({ closed }) => closed))
  })

  test('that go on let the upload go on', async () => {
    const server = await rawServer((connection) => {
      void connection.head().then(async () => {
        await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
        await connection.until((received) => received.endsWith('hello'))
        await connection.send('world')
      })
    })
    const client = clientFor(server.port)
    const sink = start(client, { method: 'POST', bodyLength: 5 })
    await sink.begun
    await sink.write(Buffer.from('hello'))
    await sink.over
    expect(sink.body).toBe('world')
    expect(client.stats()).toMatchObject({ open: 1, idle: 1 })
  })

  test('that refuse and close stop the upload', async () => {
    const server = await rawServer((connection) => {
      connection.keep = false
      connection.socket.pause()
      void connection.send('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 4\r\n\r\nno')
    })
    const client = clientFor(server.port)
    const sink = start(client, { method: 'POST', bodyLength: 100_000_000 })
    const chunk = Buffer.alloc(1_000_000)
    let room = true
    void sink.begun.then(() => (room = true))
    while (sink.head === null) {
      if (room) room = (sink.attempt as { write(chunk: Uint8Array): boolean }).write(chunk)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const before = client.stats()
    for (let i = 0; i < 50; i++) expect(sink.attempt?.write(chunk)).toBe(true)
    await server.connections[0]?.send('!!')
    await sink.over
    expect(before.open).toBe(1)
    expect(sink).toMatchObject({ failure: null, body: 'no!!' })
    expect(client.stats().open).toBe(0)
  })
})

describe('stale connections', () => {
  test('that the upstream closed or broke are gone at once', async () => {
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const server = await answering(ok)
      const client = clientFor(server.port)
      await Promise.all([fetchWith(client), fetchWith(client)])
      expect(client.stats()).toMatchObject({ open: 2, idle: 2 })
      server.connections[0]?.socket[end]()
      await until(() => client.stats().open === 1)
      expect(client.stats().idle).toBe(1)
      expect((await fetchWith(client)).body).toBe('ok')
      expect(server.connections.length).toBe(2)
    }
  })

  test('that end as the request leaves are told as stale', async () => {
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const server = await rawServer((connection) => {
        void connection.head(1).then(() => connection.send(ok))
        void connection.head(2).then(() => connection.socket[end]())
      })
      const client = clientFor(server.port)
      await fetchWith(client)
      const sink = await fetchWith(client)
      expect(sink.failure).toMatchObject({ code: 'upstream_connection_closed', unsent: false, stale: true })
      expect(client.stats().open).toBe(0)

      const fresh = await fetchWith(client, {}, true)
      expect(fresh.body).toBe('ok')
    }
  })

  test('are not stale when a byte of the answer came', async () => {
    const server = await rawServer((connection) => {
      void connection.head(1).then(() => connection.send(ok))
      void connection.head(2).then(() => connection.socket.end('H'))
    })
    const client = clientFor(server.port)
    await fetchWith(client)
    const sink = await fetchWith(client)
    expect(sink.failure).toMatchObject({ code: 'upstream_connection_closed', stale: false, unsent: false })
  })

  test('found before the head left are told as unsent', async () => {
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const server = await answering(ok)
      const client = clientFor(server.port)
      await fetchWith(client)
      const sink = await startBehind(client, () => void server.connections[0]?.socket[end]())
      expect(sink.failure).toMatchObject({ code: 'upstream_connection_closed', unsent: true, stale: true })
    }
  })

  test('fresh demands a connection of its own', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    await fetchWith(client)
    await fetchWith(client, {}, true)
    expect(client.stats()).toEqual({ open: 2, idle: 2, waiting: 0, opened: 2 })
  })
})

describe('the pool', () => {
  /** Answers a request when the test says so. */
  async function slowServer(): Promise<{ server: RawServer; answer: (connection: number) => Promise<void> }> {
    const server = await rawServer()
    return { server, answer: async (index) => (await server.connection(index)).send(ok) }
  }

  test('opens no more connections than allowed; the others wait their turn', async () => {
    const { server, answer } = await slowServer()
    const client = clientFor(server.port, { maxConnections: 2 })
    const order: number[] = []
    const sinks = [0, 1, 2, 3, 4].map((index) => {
      const sink = start(client, { target: `/${index}` })
      void sink.over.then(() => order.push(index))
      return sink
    })
    expect(client.stats()).toMatchObject({ open: 2, waiting: 3 })
    await (await server.connection(0)).head()
    await (await server.connection(1)).head()
    const first = server.connections.findIndex(({ received }) => received.startsWith('GET /0'))
    for (const [index, count] of [
      [0, 2],
      [1, 3],
      [2, 4],
    ] as const) {
      await answer(first)
      await sinks[index === 0 ? 0 : index + 1]?.over
      if (count < 4) await server.connections[first]?.head(count)
      else await server.connections[first]?.head(4)
    }
    await answer(first)
    await answer(1 - first)
    await Promise.all(sinks.map(({ over }) => over))
    expect(sinks.map(({ body }) => body)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok'])
    expect(server.connections[first]?.received.match(/GET \/\d/g)).toEqual(['GET /0', 'GET /2', 'GET /3', 'GET /4'])
    expect(client.stats()).toEqual({ open: 2, idle: 2, waiting: 0, opened: 2 })
  })

  test('refuses what would wait too long a queue', async () => {
    const { server, answer } = await slowServer()
    const client = clientFor(server.port, { maxConnections: 1, maxWaiting: 1 })
    const first = start(client)
    const second = start(client)
    const third = await fetchWith(client)
    expect(third.failure).toMatchObject({ code: 'upstream_overloaded', unsent: true, stale: false })
    await (await server.connection()).head()
    await answer(0)
    await first.over
    await server.connections[0]?.head(2)
    await answer(0)
    await second.over
    expect(second.body).toBe('ok')
  })

  test('lets nobody wait longer than a connection may take', async () => {
    const { server } = await slowServer()
    const client = clientFor(server.port, { maxConnections: 1 })
    start(client)
    const waiting = await fetchWith(client, { connectTimeout: 50 })
    expect(waiting.failure).toMatchObject({ code: 'upstream_connect_timeout', unsent: true })
    expect(client.stats()).toMatchObject({ open: 1, waiting: 0 })
  })

  test('forgets who gives up waiting', async () => {
    const { server, answer } = await slowServer()
    const client = clientFor(server.port, { maxConnections: 1, maxWaiting: 3 })
    const first = start(client)
    const others = [start(client), start(client, { target: '/kept' }), start(client)]
    for (const index of [1, 0, 2]) {
      if (index !== 1) others[index]?.attempt?.abort()
    }
    expect(client.stats().waiting).toBe(1)
    others[0]?.attempt?.abort()
    expect(client.stats().waiting).toBe(1)
    await (await server.connection()).head()
    await answer(0)
    await first.over
    await server.connections[0]?.until((received) => received.includes('GET /kept'))
    await answer(0)
    await others[1]?.over
    expect(others[1]?.body).toBe('ok')
    expect(server.connections[0]?.received.split('GET').length).toBe(3)
    expect(client.stats()).toMatchObject({ open: 1, idle: 1, waiting: 0 })
  })

  test('gives the place of a broken connection to who waits', async () => {
    const server = await rawServer((connection) => {
      void connection
        .head()
        .then(() => (server.connections.length === 1 ? void connection.socket.destroy() : connection.send(ok)))
    })
    const client = clientFor(server.port, { maxConnections: 1 })
    const [first, second] = [start(client), start(client)]
    await Promise.all([first.over, second.over])
    expect(first.failure?.code).toBe('upstream_connection_closed')
    expect(second.body).toBe('ok')
  })

  test('gives the place of an aborted request to who waits', async () => {
    const server = await rawServer((connection) => {
      void connection.until((received) => received.includes('/second')).then(() => connection.send(ok))
    })
    const client = clientFor(server.port, { maxConnections: 1 })
    for (const connected of [true, false]) {
      const first = start(client)
      const second = start(client, { target: '/second' })
      if (connected) await (await server.connection()).head()
      first.attempt?.abort()
      first.attempt?.abort()
      await second.over
      expect(second.body).toBe('ok')
      expect(first).toMatchObject({ head: null, failure: null })
      client.close()
    }
  })

  test('makes room for a fresh connection', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port, { maxConnections: 2 })
    await Promise.all([fetchWith(client), fetchWith(client)])
    expect((await fetchWith(client, {}, true)).body).toBe('ok')
    expect(client.stats()).toEqual({ open: 2, idle: 2, waiting: 0, opened: 3 })

    const [first, second, third] = [start(client), start(client), start(client, {}, true)]
    await Promise.all([first.over, second.over, third.over])
    expect(third.body).toBe('ok')
    expect(client.stats()).toMatchObject({ opened: 4, waiting: 0 })
  })

  test('keeps no more idle connections than allowed', async () => {
    const { server, answer } = await slowServer()
    const client = clientFor(server.port, { maxIdle: 2 })
    const sinks = [start(client), start(client), start(client), start(client)]
    for (let i = 0; i < 4; i++) await (await server.connection(i)).head()
    for (let i = 0; i < 4; i++) await answer(i)
    await Promise.all(sinks.map(({ over }) => over))
    expect(client.stats()).toMatchObject({ open: 2, idle: 2 })
  })

  test('closes connections that are idle for long', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port, { idleTimeout: 50 })
    await fetchWith(client)
    expect(client.stats().idle).toBe(1)
    await server.connections[0]?.closed
    expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
    expect((await fetchWith(client)).body).toBe('ok')
  })

  test('closes idle connections before the upstream does', async () => {
    const server = await answering('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n')
    const client = clientFor(server.port)
    await fetchWith(client)
    expect(client.stats().idle).toBe(1)
    await server.connections[0]?.closed
    expect(client.stats().open).toBe(0)

    const unwilling = await answering('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 0\r\n\r\n')
    const other = clientFor(unwilling.port)
    await fetchWith(other)
    expect(other.stats()).toMatchObject({ open: 0, idle: 0 })
  })

  test('uses a connection for as many requests as allowed', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port, { maxRequests: 3 })
    for (let i = 0; i < 7; i++) await fetchWith(client)
    expect(server.connections.map(({ received }) => received.split('GET').length - 1)).toEqual([3, 3, 1])
    expect(client.stats()).toEqual({ open: 1, idle: 1, waiting: 0, opened: 3 })
  })

  test('an aborted request takes its connection along, one that is over does not', async () => {
    const { server, answer } = await slowServer()
    const client = clientFor(server.port)
    const sink = start(client)
    await (await server.connection()).head()
    await answer(0)
    await sink.over
    sink.attempt?.abort()
    expect(client.stats()).toMatchObject({ open: 1, idle: 1 })

    const aborted = start(client)
    await server.connections[0]?.head(2)
    aborted.attempt?.abort()
    expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
    await server.connections[0]?.closed
    expect(aborted).toMatchObject({ head: null, failure: null })
  })

  test('an abort inside a callback is the last thing heard', async () => {
    const parts = ['HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none', 'two']
    const server = await answering(parts.join(''))
    for (const moment of ['onInterim', 'onHead'] as const) {
      const client = clientFor(server.port)
      const told: string[] = []
      await new Promise<void>((resolve) => {
        const tell = (name: string) => () => {
          told.push(name)
          if (name === moment) attempt.abort()
          if (name === moment) setImmediate(resolve)
        }
        const attempt = client.start(
          requestTo(),
          {
            onInterim: tell('onInterim'),
            onHead: tell('onHead'),
            onData: tell('onData'),
            onEnd: tell('onEnd'),
            onFailure: tell('onFailure'),
            onDrain: tell('onDrain'),
          },
          false,
        )
      })
      expect(told).toEqual(moment === 'onInterim' ? ['onInterim'] : ['onInterim', 'onHead'])
    }
  })

  test('an abort in the last piece of a body leaves nothing to tell', async () => {
    const { server, answer } = await slowServer()
    const client = clientFor(server.port)
    const sink = start(client)
    await (await server.connection()).head()
    await server.connections[0]?.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel')
    await until(() => sink.received === 3)
    let over = false
    void sink.over.then(() => (over = true))
    sink.onChunk = () => sink.attempt?.abort()
    await server.connections[0]?.send('lo')
    await until(() => sink.received === 5)
    // The exchange was complete: the connection is as good as before.
    await until(() => client.stats().idle === 1)
    expect(over).toBe(false)
    const next = start(client)
    await server.connections[0]?.head(2)
    await answer(0)
    await next.over
    expect(next.body).toBe('ok')
  })

  test('drains when it is closed', async () => {
    const { server, answer } = await slowServer()
    const client = clientFor(server.port, { maxConnections: 2 })
    const sinks = [start(client), start(client), start(client)]
    await (await server.connection(0)).head()
    await (await server.connection(1)).head()
    const idle = clientFor((await answering(ok)).port)
    await fetchWith(idle)
    idle.close()
    expect(idle.stats()).toMatchObject({ open: 0, idle: 0 })

    client.close()
    expect(client.stats()).toMatchObject({ open: 2, waiting: 1 })
    await answer(0)
    await server.connections[0]?.head(2)
    await answer(0)
    await answer(1)
    await Promise.all(sinks.map(({ over }) => over))
    expect(sinks.map(({ body }) => body)).toEqual(['ok', 'ok', 'ok'])
    expect(client.stats()).toMatchObject({ open: 0, idle: 0, waiting: 0 })
    await Promise.all(server.connections.map(({ closed }) => closed))
  })

  test('still serves who comes after the close', async () => {
    const server = await answering(ok)
    const client = clientFor(server.port)
    client.close()
    expect((await fetchWith(client)).body).toBe('ok')
    expect(client.stats()).toMatchObject({ open: 0, idle: 0 })
  })

  test('holds under many requests at once', async () => {
    let count = 0
    const port = await httpServer((request, response) => {
      count++
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => response.end(`${request.url} ${Buffer.concat(chunks).toString()}`))
    })
    const client = clientFor(port, { maxConnections: 8, maxWaiting: 1000 })
    const sinks = Array.from({ length: 500 }, (_, index) => {
      const body = Buffer.from('b'.repeat(index))
      const bodyLength = index % 3 === 0 ? 0 : index % 3 === 1 ? index : -1
      const sink = start(client, { target: `/${index}`, method: 'POST', bodyLength })
      if (bodyLength !== 0) {
        sink.attempt?.write(body.subarray(0, index >> 1))
        sink.attempt?.write(body.subarray(index >> 1))
        sink.attempt?.end()
      }
      return sink
    })
    await Promise.all(sinks.map(({ over }) => over))
    for (const [index, sink] of sinks.entries()) {
      expect(sink.failure).toBeNull()
      expect(sink.body).toBe(`/${index} ${index % 3 === 0 ? '' : 'b'.repeat(index)}`)
    }
    expect(count).toBe(500)
    expect(client.stats()).toMatchObject({ open: 8, idle: 8, opened: 8 })
  })
})

describe('connecting', () => {
  /** A port that nobody listens on. */
  async function deadPort(): Promise<number> {
    const server = await RawServer.start()
    const { port } = server
    await server.stop()
    return port
  }

  /** Listens without ever accepting: with the queue full the system drops what knocks. */
  async function silentServer(host: string, port = 0): Promise<{ port: number }> {
    const code = `
      const { parentPort, workerData } = require('node:worker_threads')
      const server = require('node:net').createServer().listen({ ...workerData, backlog: 1 }, () => {
        parentPort.postMessage(server.address().port)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      })`
    const thread = new Worker(code, { eval: true, workerData: { host, port } })
    cleanups.push(() => thread.terminate())
    const [listening] = (await once(thread, 'message')) as [number]
    for (let i = 0; i < 4; i++) {
      const knock = connect({ host, port: listening })
      knock.on('error', () => {})
      cleanups.push(() => knock.destroy())
      if (i < 2) await once(knock, 'connect')
    }
    return { port: listening }
  }

  test('refused', async () => {
    const client = clientFor(await deadPort())
    const sink = await fetchWith(client)
    expect(sink.failure).toEqual({
      code: 'upstream_connection_refused',
      detail: 'ECONNREFUSED',
      unsent: true,
      stale: false,
    })
    expect(client.stats()).toEqual({ open: 0, idle: 0, waiting: 0, opened: 1 })
  })

  test('refused, a body written meanwhile', async () => {
    const sink = start(clientFor(await deadPort()), { method: 'POST', bodyLength: 5 })
    expect(sink.attempt?.write(Buffer.from('hello'))).toBe(false)
    sink.attempt?.end()
    await sink.over
    expect(sink.failure).toMatchObject({ code: 'upstream_connection_refused', unsent: true })
    expect(sink.drains).toBe(0)
  })

  test('unreachable', async () => {
    // Broadcast: the system refuses to connect there by itself.
    const client = clientFor(9, { host: '255.255.255.255' })
    const sink = await fetchWith(client)
    expect(sink.failure).toMatchObject({ code: 'upstream_connection_refused', unsent: true })
    expect(sink.failure?.detail).toMatch(/^E[A-Z]+$/)
  })

  test('in time, or not at all', async () => {
    // The name is never found: the time for the connection covers that too.
    const never = { resolve: () => new Promise<string[]>(() => {}) }
    const client = clientFor(1, { host: 'service.test' }, never)
    const sink = await fetchWith(client, { connectTimeout: 20 })
    expect(sink.failure).toEqual({
      code: 'upstream_connect_timeout',
      detail: 'name look-up',
      unsent: true,
      stale: false,
    })
    expect(client.stats().open).toBe(0)
  })

  test('to an address that does not answer', async () => {
    const { port } = await silentServer('127.0.0.1')
    const client = clientFor(port)
    const sink = await fetchWith(client, { connectTimeout: 50 })
    expect(sink.failure).toEqual({ code: 'upstream_connect_timeout', detail: 'connect', unsent: true, stale: false })
    expect(client.stats().open).toBe(0)
  })

  test('to the next address when the first does not answer', async () => {
    const server = await answering(ok)
    await silentServer('127.0.0.2', server.port)
    const addresses = createResolver({ refresh: 60_000, lookup: () => Promise.resolve(['127.0.0.2', '127.0.0.1']) })
    const sink = await fetchWith(clientFor(server.port, { host: 'service.test' }, addresses), { connectTimeout: 400 })
    expect(sink.body).toBe('ok')
  })

  test('by name', async () => {
    const server = await RawServer.start(
      (connection) => void connection.head().then(() => connection.send(ok)),
      'localhost',
    )
    cleanups.push(() => server.stop())
    expect((await fetchWith(clientFor(server.port, { host: 'localhost' }))).body).toBe('ok')
  })

  test('by a name that nobody knows', async () => {
    const client = clientFor(80, { host: 'no-such-host.invalid' })
    const sink = await fetchWith(client)
    expect(sink.failure).toMatchObject({ code: 'upstream_name_not_resolved', unsent: true, stale: false })
    expect(sink.failure?.detail).toMatch(/^E[A-Z_]+$/)
  })

  test('one address after the other', async () => {
    const server = await answering(ok)
    const addresses = createResolver({ refresh: 60_000, lookup: () => Promise.resolve(['127.0.0.2', '127.0.0.1']) })
    for (let i = 0; i < 3; i++) {
      expect((await fetchWith(clientFor(server.port, { host: 'service.test' }, addresses))).body).toBe('ok')
    }
    const dead = createResolver({ refresh: 60_000, lookup: () => Promise.resolve(['127.0.0.2', '127.0.0.3']) })
    const sink = await fetchWith(clientFor(server.port, { host: 'service.test' }, dead))
    expect(sink.failure).toMatchObject({ code: 'upstream_connection_refused', detail: 'ECONNREFUSED' })
  })

  test('given up before there is an address or a connection', async () => {
    const server = await answering(ok)
    let found: (addresses: string[]) => void = () => {}
    const later = { resolve: () => new Promise<string[]>((resolve) => (found = resolve)) }
    const client = clientFor(server.port, { host: 'service.test' }, later)
    const sink = start(client)
    sink.attempt?.abort()
    expect(client.stats().open).toBe(0)
    found(['127.0.0.1'])
    expect((await fetchWith(clientFor(server.port))).body).toBe('ok')
    expect(server.connections.length).toBe(1)
    expect(sink).toMatchObject({ failure: null, head: null })
  })
})
