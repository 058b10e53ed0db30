import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ExpectedLog } from '../support/expected-log.ts'
import { type FullBacklog, fullBacklog } from '../support/full-backlog.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { payload } from '../support/payload.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire, type WireResponse } from '../support/wire.ts'

let upstream: RawUpstream
let backlog: FullBacklog
let gateway: RunningGateway

const slow = `
export default {
  name: 'slow', summary: 'Never decides.', class: 'traffic', priority: 100,
  schema: { parse: (config) => config },
  create: () => ({ access: () => new Promise(() => {}) }),
}
`

beforeAll(async () => {
  upstream = await RawUpstream.start()
  backlog = await fullBacklog()
  const targets = [{ target: upstream.target }]
  const full = [{ target: `127.0.0.1:${backlog.port}` }]
  gateway = await startGateway(
    {
      limits: { body_size: 'off' },
      timeouts: { connect: '300ms', response: '300ms', body_idle: '300ms', plugins: '300ms' },
      routes: ['', '/undici'].flatMap((prefix) => {
        const name = prefix === '' ? 'socket' : 'undici'
        return [
          {
            name: `${name}-connect`,
            paths: [`${prefix}/connect`],
            upstream: `${name}-full`,
            timeouts: { response: '10s' },
          },
          {
            name: `${name}-total`,
            paths: [`${prefix}/total/*`],
            upstream: name,
            timeouts: { total: '400ms', response: '10s', body_idle: '10s' },
          },
          { name: `${name}-plugins`, paths: [`${prefix}/plugins`], upstream: name, plugins: [{ use: './slow.js' }] },
          {
            name: `${name}-waiting`,
            paths: [`${prefix}/queue/*`],
            upstream: `${name}-narrow`,
            timeouts: { response: '10s' },
          },
          { name, paths: [`${prefix}/*`], upstream: name },
        ]
      }),
      upstreams: (['socket', 'undici'] as const).flatMap((client) => [
        { name: client, client, targets },
        { name: `${client}-full`, client, targets: full },
        { name: `${client}-narrow`, client, targets, max_connections: 1, max_waiting: 1 },
      ]),
    },
    { workers: 1, files: { 'slow.js': slow } },
  )
})

afterAll(async () => {
  try {
    await log.verify(gateway)
  } finally {
    await stopGateways()
    backlog.stop()
    await upstream.stop()
  }
})

/** Status, code and log line of the answer to one request. */
function expectTimeout(path: string, response: WireResponse | null, status: number, code: string): void {
  expect(response?.status).toBe(status)
  expect(JSON.parse(response?.body ?? '')).toMatchObject({ error: code })
  log.expect(path, { status, failure: code })
}

const log = new ExpectedLog()

describe.each(['', '/undici'])('each phase has its own limit and its own reason (%s)', (prefix) => {
  test('connect', async () => {
    const path = `${prefix}/connect`
    expectTimeout(path, await call(gateway.port, `GET ${path}`), 504, 'upstream_connect_timeout')
  })

  test('connect, waiting for a free connection included', async () => {
    upstream.on(`${prefix}/queue/first`, () => {})
    const first = await Wire.open(gateway.port)
    first.request(`GET ${prefix}/queue/first`)
    const held = await upstream.arrival(`${prefix}/queue/first`)
    const path = `${prefix}/queue/second`
    expectTimeout(path, await call(gateway.port, `GET ${path}`), 504, 'upstream_connect_timeout')
    expect(upstream.to(path)).toEqual([])
    held.reply()
    expect((await first.response())?.status).toBe(200)
    first.close()
  })

  test('more than may wait for a connection: 503 at once', async () => {
    upstream.on(`${prefix}/queue/holder`, () => {})
    const holder = await Wire.open(gateway.port)
    holder.request(`GET ${prefix}/queue/holder`)
    const held = await upstream.arrival(`${prefix}/queue/holder`)
    const waiting = call(gateway.port, `GET ${prefix}/queue/waiting`)
    const path = `${prefix}/queue/refused`
    // Which of the two waits is open: the one that finds the place taken is refused.
    const refused = call(gateway.port, `GET ${path}`)
    const codes = [await waiting, await refused].map(
      ({ status, body }) => `${status} ${(JSON.parse(body) as { error: string }).error}`,
    )
    expect(codes.sort()).toEqual(['503 upstream_overloaded', '504 upstream_connect_timeout'])
    held.reply()
    holder.close()
  })

  test('response', async () => {
    const path = `${prefix}/response`
    upstream.on(path, () => {})
    expectTimeout(path, await call(gateway.port, `GET ${path}`), 504, 'upstream_response_timeout')
    const [request] = upstream.to(path)
    await upstream.until(() => request?.socket.destroyed === true)
  })

  test('response begins when the upload is over', async () => {
    const path = `${prefix}/response-after-upload`
    upstream.on(path, () => {})
    const wire = await Wire.open(gateway.port)
    wire.request(`POST ${path}`, ['Content-Length: 4'], 'ab')
    await upstream.until(() => upstream.to(path)[0]?.bytes === 2)
    wire.send('cd')
    expectTimeout(path, await wire.response(), 504, 'upstream_response_timeout')
    expect(upstream.to(path)[0]?.ending).toBe('complete')
    wire.close()
  })

  test.each([
    ['counted', 'Content-Length: 100', 'some'],
    ['chunked', 'Transfer-Encoding: chunked', '4\r\nsome\r\n'],
    ['close-delimited', 'X-A: b', 'some'],
  ])(
    'body_idle, the upstream falls silent in a %s answer: the client sees it as incomplete',
    async (name, field, start) => {
      const path = `${prefix}/silent-${name}`
      upstream.on(path, (request) => request.send(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n${start}`))
      const wire = await Wire.open(gateway.port)
      wire.request(`GET ${path}`)
      const response = await wire.response()
      expect(response).toMatchObject({ status: 200, body: 'some', complete: false })
      await wire.closed
      log.expect(path, { status: 200, failure: 'upstream_body_timeout' })
    },
  )

  test('body_idle, the upstream falls silent before a byte of a body without a length: 504', async () => {
    const path = `${prefix}/silent-early`
    upstream.on(path, (request) => request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'))
    expectTimeout(path, await call(gateway.port, `GET ${path}`), 504, 'upstream_body_timeout')
  })

  test.each([
    ['counted', 'Content-Length: 100', 'some'],
    ['chunked', 'Transfer-Encoding: chunked', '4\r\nsome\r\n'],
  ])('body_idle, the client falls silent in a %s upload: 408, and it is broken off', async (name, field, start) => {
    const path = `${prefix}/stuck-${name}`
    upstream.on(path, () => {})
    const wire = await Wire.open(gateway.port)
    wire.request(`POST ${path}`, [field], start)
    expectTimeout(path, await wire.response(), 408, 'request_body_timeout')
    await wire.closed
    expect(await upstream.to(path)[0]?.ended).toBe('broken')
  })

  test('body_idle, the upstream stops taking the upload: 504', async () => {
    const path = `${prefix}/clogged`
    upstream.on(path, (request) => request.socket.pause())
    const wire = await Wire.open(gateway.port)
    const size = 64 * 1024 * 1024
    wire.request(`POST ${path}`, [`Content-Length: ${size}`])
    const pumped = wire.pump(payload(size))
    expectTimeout(path, await wire.response(), 504, 'upstream_response_timeout')
    // The rest is taken and thrown away: the client is not left hanging.
    expect(await pumped).toBe(true)
    wire.close()
    upstream.to(path)[0]?.socket.resume()
    expect(await upstream.to(path)[0]?.ended).toBe('broken')
  })

  test('body_idle, the client stops reading: the answer is cut', async () => {
    const path = `${prefix}/unread`
    const size = 64 * 1024 * 1024
    upstream.on(path, (request) => {
      request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      for (const piece of payload(size)) request.send(piece)
    })
    const wire = await Wire.open(gateway.port)
    wire.pause()
    wire.request(`GET ${path}`)
    await gateway.waitFor('its line in the access log', () => gateway.accessLog().find((line) => line['path'] === path))
    log.expect(path, { status: 200, failure: 'request_timeout' })
    wire.resume()
    expect(await wire.response()).toMatchObject({ complete: false })
    wire.close()
  })

  test('total, before the answer: 504', async () => {
    const path = `${prefix}/total/waiting`
    upstream.on(path, () => {})
    expectTimeout(path, await call(gateway.port, `GET ${path}`), 504, 'request_timeout')
  })

  test('total, in the answer, however lively it is: cut', async () => {
    const path = `${prefix}/total/lively`
    upstream.on(path, (request) => {
      request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const drip = setInterval(() => request.send('1\r\nx\r\n'), 20)
      request.socket.once('close', () => clearInterval(drip))
    })
    const wire = await Wire.open(gateway.port)
    wire.request(`GET ${path}`)
    expect(await wire.response()).toMatchObject({ status: 200, complete: false })
    log.expect(path, { status: 200, failure: 'request_timeout' })
  })

  test('total, in the upload, however lively it is: 504', async () => {
    const path = `${prefix}/total/upload`
    const wire = await Wire.open(gateway.port)
    wire.request(`POST ${path}`, ['Transfer-Encoding: chunked'])
    const drip = setInterval(() => wire.send('1\r\nx\r\n'), 20)
    const response = await wire.response()
    clearInterval(drip)
    expectTimeout(path, response, 504, 'request_timeout')
    expect(await upstream.to(path)[0]?.ended).toBe('broken')
  })

  test('plugins', async () => {
    const path = `${prefix}/plugins`
    expectTimeout(path, await call(gateway.port, `GET ${path}`), 504, 'plugin_timeout')
    expect(upstream.to(path)).toEqual([])
  })
})

test('a body that keeps coming, however slowly, is not cut by body_idle', async () => {
  upstream.on('/lively', (request) => {
    request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    let left = 12
    const drip = setInterval(() => {
      request.send('1\r\nx\r\n')
      if (--left > 0) return
      clearInterval(drip)
      request.send('0\r\n\r\n')
    }, 50)
  })
  expect(await call(gateway.port, 'GET /lively')).toMatchObject({ status: 200, body: 'x'.repeat(12), complete: true })
})
