import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ExpectedLog } from '../support/expected-log.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type ArrivedRequest, RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire, type WireResponse } from '../support/wire.ts'

let upstream: RawUpstream
let other: RawUpstream
let gateway: RunningGateway
let closedPort: number

beforeAll(async () => {
  upstream = await RawUpstream.start()
  other = await RawUpstream.start()
  closedPort = await unusedPort()
  const refusing = `127.0.0.1:${closedPort}`
  gateway = await startGateway(
    {
      routes: ['', '/undici'].flatMap((prefix) => {
        const name = prefix === '' ? 'socket' : 'undici'
        const to = (kind: string): object => ({
          name: `${name}-${kind}`,
          paths: [`${prefix}/${kind}/*`],
          upstream: `${name}-${kind}`,
        })
        return [
          ...['refused', 'unknown', 'half', 'weighted', 'zero', 'down'].map(to),
          { name, paths: [`${prefix}/*`], upstream: name },
        ]
      }),
      upstreams: (['socket', 'undici'] as const).flatMap((client) => [
        { name: client, client, targets: [{ target: upstream.target }], max_head_size: '8kb' },
        { name: `${client}-refused`, client, targets: [{ target: refusing }] },
        { name: `${client}-unknown`, client, targets: [{ target: 'nobody.invalid:80' }] },
        { name: `${client}-half`, client, targets: [{ target: upstream.target }, { target: refusing }] },
        {
          name: `${client}-weighted`,
          client,
          targets: [
            { target: upstream.target, weight: 3 },
            { target: other.target, weight: 1 },
          ],
        },
        {
          name: `${client}-zero`,
          client,
          targets: [
            { target: upstream.target, weight: 0 },
            { target: other.target, weight: 5 },
          ],
        },
        { name: `${client}-down`, client, targets: [{ target: refusing }, { target: `127.0.0.2:${closedPort}` }] },
      ]),
    },
    { workers: 1 },
  )
})

afterAll(async () => {
  try {
    await log.verify(gateway)
  } finally {
    await stopGateways()
    await Promise.all([upstream.stop(), other.stop()])
  }
})

async function unusedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

const log = new ExpectedLog()

function expectFault(path: string, response: WireResponse | null, status: number, code: string): void {
  expect(response?.status).toBe(status)
  expect(JSON.parse(response?.body ?? '')).toMatchObject({ error: code })
  expect(response?.body).not.toMatch(/127\.0\.0\.|nobody\.invalid|ECONN|at .*\.js/)
  log.expect(path, { status, failure: code })
}

describe.each(['', '/undici'])('an upstream that fails before it answers is 502 with its reason (%s)', (prefix) => {
  test('refuses connections', async () => {
    const path = `${prefix}/refused/a`
    expectFault(path, await call(gateway.port, `GET ${path}`), 502, 'upstream_connection_refused')
  })

  test('has a name that nobody knows', async () => {
    const path = `${prefix}/unknown/a`
    expectFault(path, await call(gateway.port, `GET ${path}`), 502, 'upstream_name_not_resolved')
  })

  test('all targets refuse', async () => {
    const path = `${prefix}/down/a`
    expectFault(path, await call(gateway.port, `GET ${path}`), 502, 'upstream_connection_refused')
  })

  test.each([
    ['closes without a word', (request: ArrivedRequest) => request.socket.end(), 'upstream_connection_closed'],
    [
      'resets without a word',
      (request: ArrivedRequest) => request.socket.resetAndDestroy(),
      'upstream_connection_closed',
    ],
    [
      'closes in the middle of the head',
      (request: ArrivedRequest) => request.socket.end('HTTP/1.1 200 OK\r\nX-A'),
      'upstream_connection_closed',
    ],
    [
      'closes behind an interim response',
      (request: ArrivedRequest) => request.socket.end('HTTP/1.1 100 Continue\r\n\r\n'),
      'upstream_connection_closed',
    ],
  ])('%s', async (name, act, code) => {
    const path = `${prefix}/dies-${name.replaceAll(' ', '-')}`
    upstream.on(path, act)
    expectFault(path, await call(gateway.port, `POST ${path}`, ['Content-Length: 2'], 'ab'), 502, code)
  })
})

const head = (...lines: string[]): string => `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`

/** Answers that are none; `undici` where its parser knows no better. */
const nonsense: [string, string][] = [
  ['no HTTP', 'SSH-2.0-OpenSSH_9.6\r\n\r\n'],
  ['a status line without a number', 'HTTP/1.1 OK\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status beyond 599', 'HTTP/1.1 777 Odd\r\nContent-Length: 0\r\n\r\n'],
  ['another version', 'HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ['a field without a colon', head('nonsense', 'Content-Length: 0')],
  ['a field without a name', head(': v', 'Content-Length: 0')],
  ['a space in a name', head('X A: b', 'Content-Length: 0')],
  ['a control character in a value', head('X-A: b\x01c', 'Content-Length: 0')],
  ['NUL in a value', head('X-A: b\x00c', 'Content-Length: 0')],
  ['a Content-Length that is no number', head('Content-Length: x')],
  ['a negative Content-Length', head('Content-Length: -1')],
  ['two Content-Length that differ', `${head('Content-Length: 2', 'Content-Length: 3')}abc`],
  ['a chunk size that is no number', `${head('Transfer-Encoding: chunked')}x\r\nab\r\n0\r\n\r\n`],
]

describe.each(['', '/undici'])('an answer that is nonsense is 502 and its connection is given up (%s)', (prefix) => {
  test.each(nonsense)('%s', async (name, bytes) => {
    const path = `${prefix}/nonsense-${name.replaceAll(' ', '-')}`
    upstream.on(path, (request) => request.send(bytes))
    const response = await call(gateway.port, `GET ${path}`)
    const [request] = upstream.to(path) as [ArrivedRequest]
    await upstream.until(() => request.socket.destroyed)
    if (response.status === 200) {
      // The head was there when the fault came: the client must not take what it has for the whole.
      expect(response.complete).toBe(false)
      log.expect(path, { failure: expect.stringMatching(/^upstream_/) })
    } else {
      // undici has handed the head on by then, and only says that the body broke.
      const late = prefix === '/undici' && name.startsWith('a chunk size')
      expectFault(path, response, 502, late ? 'upstream_body_broken' : 'upstream_bad_response')
    }
    expect(upstream.to(path)).toHaveLength(1)
  })

  test('a head beyond max_head_size', async () => {
    const path = `${prefix}/huge`
    upstream.on(path, (request) => request.send(head(`X-A: ${'a'.repeat(9000)}`, 'Content-Length: 0')))
    expectFault(path, await call(gateway.port, `GET ${path}`), 502, 'upstream_response_too_large')
  })

  test('a head without end', async () => {
    const path = `${prefix}/endless`
    upstream.on(path, (request) => {
      request.send('HTTP/1.1 200 OK\r\n')
      // Through the event loop, or this process would never hear that the gateway has closed.
      const more = (): void => {
        if (!request.socket.destroyed) request.socket.write(`X-A: ${'a'.repeat(500)}\r\n`, () => setImmediate(more))
      }
      more()
    })
    expectFault(path, await call(gateway.port, `GET ${path}`), 502, 'upstream_response_too_large')
  })
})

describe.each(['', '/undici'])('an answer that breaks off (%s)', (prefix) => {
  const parts = [
    ['counted', 'Content-Length: 100', 'some', ''],
    ['chunked', 'Transfer-Encoding: chunked', '4\r\nsome\r\n', ''],
    ['chunked, in the middle of a chunk', 'Transfer-Encoding: chunked', '64\r\nsome', ''],
    ['chunked, before its last line end', 'Transfer-Encoding: chunked', '4\r\nsome\r\n', '0\r\n'],
    ['chunked, and goes on with nonsense', 'Transfer-Encoding: chunked', '4\r\nsome\r\n', 'nonsense\r\n'],
  ] as const

  describe.each(['end', 'resetAndDestroy'] as const)('by %s', (how) => {
    test.each(parts)('%s: reaches the client as incomplete', async (name, field, start, rest) => {
      const path = `${prefix}/breaks-${name.replaceAll(/[ ,]+/g, '-')}-${how}`
      upstream.on(path, (request) => request.send(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n${start}`))
      const wire = await Wire.open(gateway.port)
      let came = ''
      const begun = new Promise<void>((resolve) => {
        wire.socket.on('data', (bytes: Buffer) => {
          came += bytes.toString('latin1')
          if (came.includes('some')) resolve()
        })
      })
      wire.request(`GET ${path}`)
      const response = wire.response()
      await begun
      const { socket } = upstream.to(path)[0] as ArrivedRequest
      socket.write(rest, () => socket[how]())
      expect(await response).toMatchObject({ status: 200, body: 'some', complete: false })
      await wire.closed
      const failure = expect.stringMatching(/^upstream_body_broken$|^upstream_bad_response$/) as string
      log.expect(path, { status: 200, failure })
    })

    test('before a byte of a chunked body: it is answered 502', async () => {
      const path = `${prefix}/breaks-early-${how}`
      upstream.on(path, (request) => {
        request.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', () => request.socket[how]())
      })
      expectFault(path, await call(gateway.port, `GET ${path}`), 502, 'upstream_body_broken')
    })
  })

  // A reset that comes together with the last bytes can't be told from an end: libuv reports the one as the other.
  test('close-delimited, by a reset: reaches the client as incomplete', async () => {
    const path = `${prefix}/breaks-close`
    upstream.on(path, (request) => request.send('HTTP/1.1 200 OK\r\n\r\nsome'))
    const wire = await Wire.open(gateway.port)
    const begun = new Promise((resolve) => wire.socket.once('data', resolve))
    wire.request(`GET ${path}`)
    const response = wire.response()
    await begun
    upstream.to(path)[0]?.socket.resetAndDestroy()
    expect(await response).toMatchObject({ status: 200, body: 'some', complete: false })
    log.expect(path, { status: 200, failure: 'upstream_body_broken' })
  })
})

describe.each(['', '/undici'])('bytes that nobody asked for (%s)', (prefix) => {
  const smuggled = 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhostile'

  test.each([
    ['a second answer behind the first', `${head('Content-Length: 2')}ok${smuggled}`],
    ['a second answer behind chunks', `${head('Transfer-Encoding: chunked')}2\r\nok\r\n0\r\n\r\n${smuggled}`],
    ['a second answer behind 204', `HTTP/1.1 204 No Content\r\n\r\n${smuggled}`],
    ['a body behind 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello'],
    ['bytes behind the end', `${head('Content-Length: 2')}okmore`],
    ['a line end behind the end', `${head('Content-Length: 2')}ok\r\n`],
  ])('%s: never an answer to somebody else, the connection is not used again', async (name, bytes) => {
    const path = `${prefix}/extra-${name.replaceAll(' ', '-')}`
    upstream.on(path, (request) => request.send(bytes))
    const first = await call(gateway.port, `GET ${path}`)
    expect([200, 204, 502]).toContain(first.status)
    const { socket } = upstream.to(path)[0] as ArrivedRequest
    // undici takes a line end before an answer for nothing at all (RFC 9112 §2.2).
    if (prefix === '' || !name.startsWith('a line end')) await upstream.until(() => socket.destroyed)
    upstream.on(`${prefix}/own`, (request) => request.reply('200 OK', [], 'own'))
    for (let i = 0; i < 5; i++) expect((await call(gateway.port, `GET ${prefix}/own`)).body).toBe('own')
  })

  test('a body behind the answer to HEAD: neither', async () => {
    const path = `${prefix}/extra-head`
    upstream.on(path, (request) => request.send(`${head('Content-Length: 5')}hello`))
    const wire = await Wire.open(gateway.port)
    wire.request(`HEAD ${path}`)
    expect((await wire.response('HEAD'))?.status).toBe(200)
    upstream.on(`${prefix}/own`, (request) => request.reply('200 OK', [], 'own'))
    wire.request(`GET ${prefix}/own`)
    expect((await wire.response())?.body).toBe('own')
    wire.close()
  })

  test('an answer before the question: the next request does not get it', async () => {
    const path = `${prefix}/unasked`
    upstream.on(path, (request) => {
      request.reply('200 OK', [], 'first')
      setImmediate(() => request.send(smuggled))
    })
    expect((await call(gateway.port, `GET ${path}`)).body).toBe('first')
    const { socket } = upstream.to(path)[0] as ArrivedRequest
    await upstream.until(() => socket.destroyed)
    upstream.on(`${prefix}/own`, (request) => request.reply('200 OK', [], 'own'))
    expect((await call(gateway.port, `GET ${prefix}/own`)).body).toBe('own')
  })
})

describe.each(['', '/undici'])(
  'a kept connection that the upstream closes at the moment of its reuse (%s)',
  (prefix) => {
    /** Serves one request on a connection, and ends it when a second one comes. */
    function fickle(path: string, how: 'end' | 'resetAndDestroy'): void {
      const served = new Set<number>()
      upstream.on(path, (request) => {
        if (served.has(request.connection)) return void request.socket[how]()
        served.add(request.connection)
        void request.ended.then(() => request.reply('200 OK', [], String(request.connection)))
      })
    }

    /** A request that leaves exactly one idle connection behind, as the only one. */
    async function warm(path: string): Promise<void> {
      await call(gateway.port, `GET ${path}`)
    }

    test.each(['end', 'resetAndDestroy'] as const)('%s: GET is tried again on a fresh one', async (how) => {
      const path = `${prefix}/fickle-${how}`
      fickle(path, how)
      await warm(path)
      for (let i = 0; i < 5; i++) expect((await call(gateway.port, `GET ${path}`)).status).toBe(200)
    })

    test('PUT with a small body is, too', async () => {
      const path = `${prefix}/fickle-put`
      fickle(path, 'end')
      await warm(path)
      for (let i = 0; i < 5; i++) {
        const response = await call(gateway.port, `PUT ${path}`, ['Content-Length: 4'], 'body')
        expect(response.status).toBe(200)
      }
      const arrived = upstream.to(path).filter(({ method }) => method === 'PUT')
      expect(arrived.map(({ body }) => body)).toEqual(arrived.map(() => 'body'))
    })

    test('POST with a body is not tried again', async () => {
      const path = `${prefix}/fickle-post`
      fickle(path, 'end')
      await warm(path)
      // Until the balancer of idle connections hands out the one that was warmed.
      let response: WireResponse
      let sent = 0
      do {
        response = await call(gateway.port, `POST ${path}`, ['Content-Length: 4'], 'body')
        sent++
      } while (response.status === 200 && sent < 20)
      expect(response.status).toBe(502)
      expect(JSON.parse(response.body)).toMatchObject({ error: 'upstream_connection_closed' })
      expect(upstream.to(path).filter(({ method }) => method === 'POST')).toHaveLength(sent)
    })

    test('closed while idle: nobody notices', async () => {
      const path = `${prefix}/idle`
      upstream.on(path, (request) => {
        request.reply()
        request.socket.end()
      })
      for (let i = 0; i < 10; i++) expect((await call(gateway.port, `GET ${path}`)).status).toBe(200)
    })
  },
)

describe.each(['', '/undici'])('targets (%s)', (prefix) => {
  test('one of two is down: the other one serves, and no request fails', async () => {
    for (let i = 0; i < 20; i++) expect((await call(gateway.port, `GET ${prefix}/half/get`)).status).toBe(200)
    expect(upstream.to(`${prefix}/half/get`)).toHaveLength(20)
  })

  test.each([
    ['counted', ['Content-Length: 4'], 'body'],
    ['chunked', ['Transfer-Encoding: chunked'], '2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n'],
  ])('the same with a %s body', async (name, fields, body) => {
    const path = `${prefix}/half/${name}`
    for (let i = 0; i < 20; i++) expect((await call(gateway.port, `POST ${path}`, fields, body)).status).toBe(200)
    expect(upstream.to(path).map((request) => [request.body, request.ending])).toEqual(
      Array(20).fill(['body', 'complete']),
    )
  })

  test('an upload that is too large to be kept fails, and never arrives twice or in part as complete', async () => {
    const path = `${prefix}/half/large`
    const statuses = new Set<number>()
    const bytes = 1_000_000
    for (let i = 0; i < 10; i++) {
      const response = await call(gateway.port, `POST ${path}`, [`Content-Length: ${bytes}`], 'x'.repeat(bytes))
      statuses.add(response.status)
    }
    expect(statuses).toEqual(new Set([200, 502]))
    expect(upstream.to(path).map((request) => [request.bytes, request.ending])).toEqual(
      Array(5).fill([bytes, 'complete']),
    )
  })

  test('weights 3 and 1 share requests exactly so', async () => {
    for (let i = 0; i < 40; i++) await call(gateway.port, `GET ${prefix}/weighted/a`)
    expect(upstream.to(`${prefix}/weighted/a`)).toHaveLength(30)
    expect(other.to(`${prefix}/weighted/a`)).toHaveLength(10)
  })

  test('a target of weight 0 gets nothing', async () => {
    for (let i = 0; i < 10; i++) await call(gateway.port, `GET ${prefix}/zero/a`)
    expect(upstream.to(`${prefix}/zero/a`)).toHaveLength(0)
    expect(other.to(`${prefix}/zero/a`)).toHaveLength(10)
  })
})

test('an early answer and a closed connection in the middle of an upload reach the client as that answer', async () => {
  upstream.on('/early-close', (request) => {
    request.send('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig')
    request.socket.end()
  })
  const wire = await Wire.open(gateway.port)
  wire.request('POST /early-close', ['Content-Length: 1000000'], 'some')
  const response = await wire.response()
  expect(response).toMatchObject({ status: 413, body: 'big', complete: true })
  expect(response?.field('connection')).toBe('close')
  wire.close()
})
