import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ExpectedLog } from '../support/expected-log.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire } from '../support/wire.ts'

let upstream: RawUpstream
let gateway: RunningGateway

const slow = `
let release
export default {
  name: 'slow', summary: 'Waits.', class: 'traffic', priority: 100,
  schema: { parse: (config) => config },
  create: () => ({ access: (ctx) => ctx.path === '/slow/go' ? (release?.(), undefined) : new Promise((resolve) => (release = resolve)) }),
}
`

beforeAll(async () => {
  upstream = await RawUpstream.start()
  const targets = [{ target: upstream.target }]
  gateway = await startGateway(
    {
      routes: [
        { name: 'undici', paths: ['/undici/*'], upstream: 'undici' },
        { name: 'slow', paths: ['/slow/*'], upstream: 'socket', plugins: [{ use: './slow.js' }] },
        { name: 'any', paths: ['/*'], upstream: 'socket' },
      ],
      upstreams: [
        { name: 'socket', targets },
        { name: 'undici', targets, client: 'undici' },
      ],
    },
    { workers: 1, files: { 'slow.js': slow } },
  )
})

afterAll(async () => {
  try {
    // The access log and the counters know every one of them.
    await log.verify(gateway)
    const abandoned = gateway.accessLog().filter(({ failure }) => failure === 'client_closed').length
    expect(abandoned).toBeGreaterThan(0)
    const metrics = await gateway.metrics()
    const counted = [...metrics.matchAll(/^sluice_[a-z_]+_total\{[^}]*client_closed[^}]*\} (\d+)$/gm)]
    expect(counted.reduce((sum, [, value]) => sum + Number(value), 0)).toBe(abandoned)
  } finally {
    await stopGateways()
    await upstream.stop()
  }
})

beforeEach(() => upstream.answers.clear())

const log = new ExpectedLog()

async function expectAbandoned(path: string, status: number): Promise<void> {
  log.expect(path, { failure: 'client_closed', status })
  // Nothing of it may be left: the connection to the upstream was given up, and the next request works.
  const response = await call(gateway.port, `GET ${path.replace(/[^/]*$/, '')}next`)
  expect(response.status).toBe(200)
}

describe.each(['', '/undici'])('a client that goes away (%s)', (prefix) => {
  describe.each(['close', 'reset'] as const)('by %s', (how) => {
    test('while it waits: the upstream connection is closed', async () => {
      const path = `${prefix}/waiting-${how}`
      upstream.on(path, () => {})
      const wire = await Wire.open(gateway.port)
      wire.request(`GET ${path}`)
      const { socket } = await upstream.arrival(path)
      wire[how]()
      await upstream.until(() => socket.destroyed)
      await expectAbandoned(path, 499)
    })

    test.each([
      ['counted', 'Content-Length: 1000', 'some'],
      ['chunked', 'Transfer-Encoding: chunked', '4\r\nsome\r\n'],
      ['close-delimited', 'X-A: b', 'some'],
    ])('in the middle of a %s answer: the upstream connection is closed', async (name, field, start) => {
      const path = `${prefix}/answer-${name}-${how}`
      upstream.on(path, (request) => request.send(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n${start}`))
      const wire = await Wire.open(gateway.port)
      const came = new Promise((resolve) => wire.socket.once('data', resolve))
      wire.request(`GET ${path}`)
      await came
      wire[how]()
      const { socket } = await upstream.arrival(path)
      await upstream.until(() => socket.destroyed)
      await expectAbandoned(path, 200)
    })

    test.each([
      ['counted', 'Content-Length: 10', 'some'],
      ['chunked', 'Transfer-Encoding: chunked', '4\r\nsome\r\n'],
      ['chunked, in the middle of a chunk', 'Transfer-Encoding: chunked', 'a\r\nsome'],
      ['chunked, before the end of the last chunk', 'Transfer-Encoding: chunked', '4\r\nsome\r\n0'],
    ])('in the middle of an upload (%s): the upstream never takes it for complete', async (name, field, start) => {
      const path = `${prefix}/upload-${name.replaceAll(/[ ,]+/g, '-')}-${how}`
      upstream.on(path, () => {})
      const wire = await Wire.open(gateway.port)
      wire.request(`POST ${path}`, [field], start)
      const request = await upstream.arrival(path)
      await upstream.until(() => request.bytes === 4)
      wire[how]()
      expect(await request.ended).toBe('broken')
      expect(request.bytes).toBe(4)
      await expectAbandoned(path, 499)
    })

    test.each([
      ['counted', 'Content-Length: 10'],
      ['chunked', 'Transfer-Encoding: chunked'],
    ])('before the first byte of an upload (%s): the upstream never takes it for complete', async (name, field) => {
      const path = `${prefix}/no-byte-${name}-${how}`
      upstream.on(path, () => {})
      const wire = await Wire.open(gateway.port)
      wire.request(`POST ${path}`, [field])
      // undici keeps the head until there is a byte of the body.
      if (prefix === '') await upstream.arrival(path)
      else await call(gateway.port, 'GET /other')
      wire[how]()
      await expectAbandoned(path, 499)
      for (const request of upstream.to(path)) expect(await request.ended).toBe('broken')
    })
  })

  test('that only ends its own side in the middle of an upload: never complete', async () => {
    const path = `${prefix}/half-closed`
    upstream.on(path, () => {})
    const wire = await Wire.open(gateway.port)
    wire.request(`POST ${path}`, ['Content-Length: 10'], 'some')
    const request = await upstream.arrival(path)
    wire.socket.end()
    expect(await request.ended).toBe('broken')
    await wire.closed
  })
})

test('a client that goes away while a plugin waits: nothing arrives', async () => {
  const wire = await Wire.open(gateway.port)
  wire.request('GET /slow/held')
  // Another request through the same worker: the first one has been taken by then.
  await call(gateway.port, 'GET /other')
  wire.close()
  await gateway.waitFor('its line in the access log', () =>
    gateway.accessLog().find(({ path }) => path === '/slow/held'),
  )
  log.expect('/slow/held', { failure: 'client_closed', status: 499 })
  await call(gateway.port, 'GET /slow/go')
  await call(gateway.port, 'GET /other')
  expect(upstream.to('/slow/held')).toEqual([])
})
