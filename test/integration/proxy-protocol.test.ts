import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { Wire } from '../support/wire.ts'

let upstream: RawUpstream
let gateway: RunningGateway

beforeAll(async () => {
  upstream = await RawUpstream.start()
  gateway = await startGateway(
    {
      access_log: 'off',
      trusted_proxies: ['127.0.0.1'],
      listeners: [{ address: '127.0.0.1:0', proxy_protocol: true }, { address: '127.0.0.1:0' }],
      routes: [{ name: 'any', upstream: `http://${upstream.target}` }],
    },
    { workers: 1 },
  )
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

/** PROXY protocol, version 2, TCP: from the address (4 or 16 bytes) and port 4000 to itself, port 80. */
function header(address: readonly number[]): Buffer {
  const family = address.length === 4 ? 0x11 : 0x21
  return Buffer.from([...signature, 0x21, family, 0, address.length * 2 + 4, ...address, ...address, 0x0f, 0xa0, 0, 80])
}

/** What the upstream hears of the client when a request comes behind these bytes. */
async function forwardedFor(
  listener: number,
  before: Buffer,
  options: { from?: string; fields?: string[] } = {},
): Promise<string | undefined> {
  const count = upstream.requests.length
  const port = Number(gateway.addresses[listener]?.split(':').at(-1))
  const wire = await Wire.open(port, options.from === undefined ? {} : { from: options.from })
  const fields = (options.fields ?? []).map((field) => `${field}\r\n`).join('')
  wire.send(Buffer.concat([before, Buffer.from(`GET / HTTP/1.1\r\nHost: test\r\n${fields}\r\n`)]))
  expect((await wire.response())?.status).toBe(200)
  wire.close()
  return upstream.requests[count]?.field('x-forwarded-for')
}

test('the address comes from the header where the listener expects it', async () => {
  expect(await forwardedFor(0, header([192, 0, 2, 7]))).toBe('192.0.2.7')
})

test('IPv6, too', async () => {
  expect(await forwardedFor(0, header([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]))).toBe(
    '2001:db8::9',
  )
})

test('a request without a header is the peer itself', async () => {
  expect(await forwardedFor(0, Buffer.alloc(0))).toBe('127.0.0.1')
})

test('from a peer that is not trusted it is ignored', async () => {
  expect(await forwardedFor(0, header([192, 0, 2, 7]), { from: '127.0.0.9' })).toBe('127.0.0.9')
})

test('on a listener that does not expect it it is ignored', async () => {
  expect(await forwardedFor(1, header([192, 0, 2, 7]))).toBe('127.0.0.1')
})

test('who comes through it is no trusted proxy by that: its own X-Forwarded-For is dropped', async () => {
  const fields = ['X-Forwarded-For: 203.0.113.1']
  expect(await forwardedFor(0, header([192, 0, 2, 7]), { fields })).toBe('192.0.2.7')
})

test('every request of a connection keeps its address', async () => {
  const count = upstream.requests.length
  const wire = await Wire.open(Number(gateway.addresses[0]?.split(':').at(-1)))
  wire.send(header([192, 0, 2, 7]).toString('latin1') + 'GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  await wire.response()
  wire.request('GET /')
  await wire.response()
  wire.close()
  expect(upstream.requests.slice(count).map((request) => request.field('x-forwarded-for'))).toEqual([
    '192.0.2.7',
    '192.0.2.7',
  ])
})
