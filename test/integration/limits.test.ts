import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire, type WireResponse } from '../support/wire.ts'

let upstream: RawUpstream
let gateway: RunningGateway

beforeAll(async () => {
  upstream = await RawUpstream.start()
  gateway = await startGateway(
    {
      access_log: 'off',
      listeners: [{ address: '127.0.0.1:0' }, { address: '127.0.0.1:0', body_size: '2kb' }],
      limits: { uri_length: 100, header_size: '1kb', header_count: 10, body_size: '4kb' },
      routes: [
        { name: 'small', paths: ['/small/*'], body_size: '1kb', upstream: 'raw' },
        { name: 'large', paths: ['/large/*'], body_size: '8kb', upstream: 'raw' },
        { name: 'open', paths: ['/open/*'], body_size: 'off', upstream: 'raw' },
        {
          name: 'plugin',
          paths: ['/plugin/*'],
          upstream: 'raw',
          plugins: [{ name: 'request-size-limiting', config: { allowed_payload_size: 512, size_unit: 'bytes' } }],
        },
        {
          name: 'json',
          paths: ['/json/*'],
          upstream: 'raw',
          plugins: [
            {
              name: 'request-size-limiting',
              config: { require_content_length: true, allowed_content_types: ['application/json'] },
            },
          ],
        },
        { name: 'any', paths: ['/any/*'], upstream: 'raw' },
      ],
      upstreams: [{ name: 'raw', targets: [{ target: upstream.target }] }],
    },
    { workers: 1 },
  )
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

/** Every refusal ends the connection: what would follow is a body that nobody wants, or not to be trusted. */
async function expectRefusal(wire: Wire, status: number, code: string): Promise<void> {
  const response = (await wire.response()) as WireResponse
  expect(response.status).toBe(status)
  expect(JSON.parse(response.body)).toMatchObject({ error: code })
  expect(response.field('connection')).toBe('close')
  wire.close()
}

describe('head', () => {
  test('uri_length: 414 beyond it', async () => {
    const target = `/any/${'a'.repeat(45)}?${'b'.repeat(49)}`
    expect((await call(gateway.port, `GET ${target}`)).status).toBe(200)
    const wire = await Wire.open(gateway.port)
    wire.request(`GET ${target}b`)
    await expectRefusal(wire, 414, 'uri_too_long')
  })

  test('header_count: 431 beyond it', async () => {
    const fields = (count: number): string[] => Array.from({ length: count - 1 }, (_, i) => `x-${i}: y`)
    expect((await call(gateway.port, 'GET /any/count', fields(10))).status).toBe(200)
    const wire = await Wire.open(gateway.port)
    wire.request('GET /any/count', fields(11))
    await expectRefusal(wire, 431, 'headers_too_large')
  })

  test('header_size: 431 beyond it', async () => {
    // `Host: test` and the name, colon, space and line end of the other are 12 and 7 bytes.
    const field = (size: number): string => `x-a: ${'v'.repeat(size - 12 - 7)}`
    expect((await call(gateway.port, 'GET /any/size', [field(1024)])).status).toBe(200)
    const wire = await Wire.open(gateway.port)
    wire.request('GET /any/size', [field(1025)])
    await expectRefusal(wire, 431, 'headers_too_large')
  })
})

describe('body', () => {
  const chunk = (size: number): string => `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`
  const listener = (index: number): number => Number(gateway.addresses[index]?.split(':').at(-1))

  describe.each([
    ['limits', '/any/1', 0, 4096],
    ['the route, lower', '/small/1', 0, 1024],
    ['the route, higher', '/large/1', 0, 8192],
    ['the listener', '/any/2', 1, 2048],
    ['the listener before the route', '/large/2', 1, 2048],
    ['the route before the listener', '/small/2', 1, 1024],
    ['a plugin', '/plugin/1', 0, 512],
  ])('of %s', (_name, path, index, limit) => {
    test('as much as allowed passes, counted and chunked', async () => {
      const counted = await call(listener(index), `POST ${path}`, [`Content-Length: ${limit}`], 'x'.repeat(limit))
      expect(counted.status).toBe(200)
      const chunked = await call(
        listener(index),
        `POST ${path}`,
        ['Transfer-Encoding: chunked'],
        `${chunk(limit)}0\r\n\r\n`,
      )
      expect(chunked.status).toBe(200)
    })

    test('one more by Content-Length: 413 before a byte of the body came, and nothing arrives', async () => {
      const before = upstream.to(path).length
      const wire = await Wire.open(listener(index))
      wire.request(`POST ${path}`, [`Content-Length: ${limit + 1}`])
      await expectRefusal(wire, 413, 'body_too_large')
      expect(upstream.to(path)).toHaveLength(before)
    })

    test('one more by counting: 413, and what arrived is no complete request', async () => {
      const before = upstream.to(path).length
      const wire = await Wire.open(listener(index))
      wire.request(`POST ${path}`, ['Transfer-Encoding: chunked'], chunk(limit))
      await upstream.until(() => upstream.to(path)[before]?.bytes === limit)
      wire.send(chunk(1))
      await expectRefusal(wire, 413, 'body_too_large')
      expect(await upstream.to(path)[before]?.ended).toBe('broken')
    })

    test('one more at once, end included: 413, and nothing complete arrives', async () => {
      const before = upstream.to(path).length
      const wire = await Wire.open(listener(index))
      wire.request(`POST ${path}`, ['Transfer-Encoding: chunked'], `${chunk(limit + 1)}0\r\n\r\n`)
      const response = await wire.response()
      expect(response?.status).toBe(413)
      wire.close()
      for (const request of upstream.to(path).slice(before)) expect(await request.ended).toBe('broken')
    })
  })

  test.each(['POST /any/flood', 'POST /nowhere'])(
    '%s: a refused upload that keeps coming, the client still reads the answer',
    async (line) => {
      for (let i = 0; i < 10; i++) {
        const wire = await Wire.open(gateway.port)
        wire.request(line, ['Content-Length: 100000000'])
        const pumped = wire.pump(Array.from({ length: 64 }, () => Buffer.alloc(65_536)))
        await expectRefusal(
          wire,
          line.endsWith('flood') ? 413 : 404,
          line.endsWith('flood') ? 'body_too_large' : 'route_not_found',
        )
        await pumped
      }
    },
  )

  test('off: no limit', async () => {
    const response = await call(gateway.port, 'POST /open/1', ['Content-Length: 100000'], 'x'.repeat(100_000))
    expect(response.status).toBe(200)
    expect(upstream.to('/open/1')[0]?.bytes).toBe(100_000)
  })

  test('411 where a length is required, 415 for other content types', async () => {
    const wire = await Wire.open(gateway.port)
    wire.request('POST /json/1', ['Content-Type: application/json', 'Transfer-Encoding: chunked'], '2\r\n{}\r\n')
    await expectRefusal(wire, 411, 'length_required')
    const response = await call(gateway.port, 'POST /json/1', ['Content-Type: text/xml', 'Content-Length: 2'], '{}')
    expect(response.status).toBe(415)
    const fine = await call(gateway.port, 'POST /json/1', ['Content-Type: application/json', 'Content-Length: 2'], '{}')
    expect(fine.status).toBe(200)
  })
})

describe('connections', () => {
  test('one more than allowed is closed; when one goes another may come', async () => {
    const tight = await startGateway(
      {
        access_log: 'off',
        limits: { connections: 3 },
        routes: [{ name: 'any', upstream: `http://${upstream.target}` }],
      },
      { workers: 1 },
    )
    const wires = [await Wire.open(tight.port), await Wire.open(tight.port), await Wire.open(tight.port)]
    for (const wire of wires) {
      wire.request('GET /within')
      expect((await wire.response())?.status).toBe(200)
    }
    const extra = await Wire.open(tight.port)
    await extra.closed
    wires[0]?.close()
    // The gateway hears of the close in its own time.
    for (;;) {
      const wire = await Wire.open(tight.port)
      wire.request('GET /again')
      const response = await wire.response().catch(() => null)
      wire.close()
      if (response === null) continue
      expect(response.status).toBe(200)
      break
    }
    wires[1]?.request('GET /still')
    expect((await wires[1]?.response())?.status).toBe(200)
    for (const wire of wires) wire.close()
  })
})
