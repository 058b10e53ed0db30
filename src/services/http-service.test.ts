import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { certificateFor, writeFiles } from '../../test/support/certificate.ts'
import { fullBacklog } from '../../test/support/full-backlog.ts'
import { recordInstruments } from '../../test/support/instruments.ts'
import { RawServer } from '../../test/support/raw-server.ts'
import { startUpstream, stopUpstreams } from '../../test/support/upstream.ts'
import { type HttpAnswer, type HttpCall, HttpFault, type HttpSettings } from '../core/services/http.ts'
import { HttpServiceStore } from './http-service.ts'

const get: HttpCall = { method: 'GET', headers: ['accept', 'application/json'] }
const noTls = { verify: true, server_name: null, ca: null, cert: null, key: null }
const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await stopUpstreams()
})

function open(url: string, more: Partial<HttpSettings> = {}) {
  const instruments = recordInstruments()
  const warnings: string[] = []
  const log = { info() {}, error() {}, warn: (message: string) => void warnings.push(message) }
  const store = new HttpServiceStore({ instruments, log })
  const settings: HttpSettings = {
    url,
    timeout: 10_000,
    tls: noTls,
    max_connections: 8,
    breaker: { max_failures: 0, cooldown: 1000 },
    max_body: 1024,
    ...more,
  }
  const service = store.open(settings, (_key, make) => {
    const thing = make()
    closers.push(() => thing.close?.())
    return thing
  })
  const calls = (outcome: string): number =>
    instruments.read(`sluice_service_calls_total{service="${new URL(url).host}",outcome="${outcome}"}`)
  return { service, instruments, warnings, calls }
}

async function rawServer(serve: (connection: RawServer['connections'][number]) => void): Promise<string> {
  const server = await RawServer.start(serve)
  closers.push(() => server.stop())
  return `http://127.0.0.1:${server.port}/keys`
}

async function faultOf(result: Promise<HttpAnswer | HttpFault>): Promise<HttpFault> {
  const value = await result
  if (!(value instanceof HttpFault)) throw new Error(`an answer came: ${JSON.stringify(value)}`)
  return value
}

async function answerOf(result: Promise<HttpAnswer | HttpFault>): Promise<HttpAnswer> {
  const value = await result
  if (value instanceof HttpFault) throw new Error(`${value.kind}: ${value.detail}`)
  return value
}

test('calls the URL and gives the answer as it is', async () => {
  const upstream = await startUpstream()
  const { service, calls, instruments } = open(`${upstream.url}/introspect?realm=a`)
  const answer = await answerOf(
    service.call({
      method: 'POST',
      headers: ['authorization', 'Basic eDp5', 'x-name', 'caf\u00c3\u00a9'],
      body: 'token=\u00e9',
    }),
  )
  expect(answer.status).toBe(200)
  expect(answer.headers).toContain('content-type')
  const echo = JSON.parse(answer.body)
  expect(echo).toMatchObject({ method: 'POST', url: '/introspect?realm=a', body: 'token=\u00c3\u00a9' })
  expect(echo.headers).toMatchObject({
    authorization: 'Basic eDp5',
    'x-name': 'caf\u00c3\u00a9',
    'content-length': '8',
  })
  expect(calls('answer')).toBe(1)
  expect(instruments.read(`sluice_service_call_duration_seconds{service="${upstream.address}"}`)).toBe(1)
})

test('follows no redirect, and takes any status for an answer', async () => {
  const upstream = await startUpstream((req, res) => {
    res.writeHead(req.method === 'GET' ? 302 : 503, { location: '/elsewhere', 'x-text': 'caf\u00e9' }).end('no')
  })
  const { service, calls } = open(upstream.url)
  const redirect = await answerOf(service.call(get))
  expect(redirect.status).toBe(302)
  expect(redirect.headers).toEqual(expect.arrayContaining(['location', '/elsewhere', 'caf\u00e9']))
  expect((await answerOf(service.call({ method: 'POST', headers: [], body: 'a' }))).status).toBe(503)
  expect(upstream.requests).toBe(2)
  expect(calls('server_error')).toBe(1)
})

test('reads through interim answers and a byte order mark', async () => {
  const url = await rawServer((connection) => {
    void connection.head().then(async () => {
      await connection.send('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n')
      await connection.send('HTTP/1.1 200 OK\r\nX-Real: 1\r\ncontent-length: 5\r\n\r\n\xef\xbb\xbf{}')
    })
  })
  const answer = await answerOf(open(url).service.call(get))
  expect(answer).toMatchObject({ status: 200, headers: ['x-real', '1', 'content-length', '5'], body: '{}' })
})

test('says why there is no connection', async () => {
  const gone = await startUpstream()
  await gone.close()
  const { service, calls } = open(gone.url)
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'connect', detail: 'ECONNREFUSED' })
  expect(calls('connect')).toBe(1)
  expect(await faultOf(open('http://nowhere.invalid/').service.call(get))).toMatchObject({ kind: 'connect' })
})

test.each([
  ['nothing comes', '', 'no answer came'],
  ['the head stops', 'HTTP/1.1 200 OK\r\ncontent-', 'no answer came'],
  ['the body stops', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345', 'the answer did not end'],
])('gives up in time when %s', async (_, bytes, detail) => {
  const url = await rawServer((connection) => void connection.head().then(() => connection.send(bytes)))
  const { service } = open(url, { timeout: 150, max_connections: 1 })
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'timeout', detail })
  // The connection is free again: the next call has its own.
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'timeout', detail })
})

test('gives up in time when the body comes in drops', async () => {
  const url = await rawServer((connection) => {
    void connection.head().then(async () => {
      await connection.send('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n')
      const drops = setInterval(() => void connection.send('x'), 20)
      void connection.closed.then(() => clearInterval(drops))
    })
  })
  expect(await faultOf(open(url, { timeout: 200 }).service.call(get))).toMatchObject({ kind: 'timeout' })
})

test.each([
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['a head that makes no sense', 'HTTP/1.1 abc\r\n\r\n'],
  ['an answer that is cut off', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345'],
  ['a chunk that makes no sense', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n'],
])('takes %s for broken', async (_, bytes) => {
  const url = await rawServer((connection) => {
    void connection.head().then(async () => {
      await connection.send(bytes)
      connection.socket.end()
    })
  })
  expect(await faultOf(open(url).service.call(get))).toMatchObject({ kind: 'broken' })
})

test('reads no more of a body than is allowed', async () => {
  let cut = false
  const upstream = await startUpstream((_req, res) => {
    res.on('close', () => (cut = !res.writableFinished))
    const more = (): void => {
      while (!res.destroyed && res.write('x'.repeat(1000)));
    }
    res.on('drain', more)
    more()
  })
  const { service } = open(upstream.url, { max_connections: 1 })
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'too_large', detail: 'more than 1024 bytes' })
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'too_large' })
  expect(cut).toBe(true)
})

test('opens so many connections, lets as many calls wait, and refuses the rest at once', async () => {
  const held: ServerResponse[] = []
  let arrived = (): void => {}
  const upstream = await startUpstream((_req, res) => {
    held.push(res)
    arrived()
  })
  const { service, calls } = open(upstream.url, { max_connections: 3 })
  const results = Array.from({ length: 6 }, () => service.call(get))
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'overloaded' })
  while (held.length < 3) await new Promise<void>((resolve) => (arrived = resolve))
  expect(upstream.server.listening && upstream.requests).toBe(3)
  for (let i = 0; i < 6; i++) {
    while (held.length <= i) await new Promise<void>((resolve) => (arrived = resolve))
    held[i]?.end('{}')
  }
  expect((await Promise.all(results)).every((result) => !(result instanceof HttpFault))).toBe(true)
  expect(calls('overloaded')).toBe(1)
  expect(calls('answer')).toBe(6)
  const connections = await new Promise((resolve) => upstream.server.getConnections((_, count) => resolve(count)))
  expect(connections).toBe(3)
})

test('counts the wait for a connection as time of the call', async () => {
  const upstream = await startUpstream(() => {})
  const { service } = open(upstream.url, { max_connections: 1, timeout: 200 })
  const [first, second] = await Promise.all([service.call(get), service.call(get)])
  expect(first).toMatchObject({ kind: 'timeout', detail: 'no answer came' })
  expect(second).toMatchObject({ kind: 'timeout' })
  expect(upstream.requests).toBeLessThanOrEqual(2)
})

test('gives up connecting in time, and who gave up waiting is in the way of nobody', async () => {
  const address = await fullBacklog()
  closers.push(() => address.stop())
  const { service } = open(`http://127.0.0.1:${address.port}/`, { max_connections: 1, timeout: 1100 })
  const [first, second] = await Promise.all([service.call(get), service.call(get)])
  expect(first).toMatchObject({ kind: 'timeout', detail: 'connecting took too long' })
  expect(second).toMatchObject({ kind: 'timeout' })
  // The connection may still be on its way out: one call may wait for it.
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'timeout' })
})

test('does not blame the service for a kept connection that closes under a call', async () => {
  let connections = 0
  const url = await rawServer((connection) => {
    connections += 1
    const mine = connections
    void connection.head().then(async () => {
      await connection.send('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\n{}')
      if (mine > 1) return
      await connection.head(2)
      connection.socket.destroy()
    })
  })
  const { service, calls } = open(url, { max_connections: 1 })
  expect((await answerOf(service.call(get))).body).toBe('{}')
  expect((await answerOf(service.call(get))).body).toBe('{}')
  expect(connections).toBe(2)
  expect(calls('answer')).toBe(2)
})

test('tries only once more', async () => {
  let connections = 0
  const url = await rawServer((connection) => {
    connections += 1
    void connection.head().then(() => connection.socket.destroy())
  })
  expect(await faultOf(open(url).service.call(get))).toMatchObject({ kind: 'broken' })
  expect(connections).toBe(2)
})

test('leaves a service alone that fails, tells so once, and finds out that it is back', async () => {
  let isUp = false
  const upstream = await startUpstream((_req, res) => void res.writeHead(isUp ? 200 : 500).end('{}'))
  const { service, calls, instruments, warnings } = open(upstream.url, { breaker: { max_failures: 3, cooldown: 300 } })
  const gauge = (): number => instruments.read(`sluice_service_breaker_open{service="${upstream.address}"}`)
  for (let i = 0; i < 3; i++) expect((await answerOf(service.call(get))).status).toBe(500)
  expect(gauge()).toBe(1)
  for (let i = 0; i < 5; i++) expect(await faultOf(service.call(get))).toMatchObject({ kind: 'breaker_open' })
  expect(upstream.requests).toBe(3)
  expect(calls('breaker_open')).toBe(5)
  isUp = true
  for (;;) {
    const result = await service.call(get)
    if (!(result instanceof HttpFault)) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(upstream.requests).toBe(4)
  expect(gauge()).toBe(0)
  expect(warnings).toEqual(['a service is left alone: it fails'])
})

test('a call that can not be made is a fault, too', async () => {
  const upstream = await startUpstream()
  const { service } = open(upstream.url, { max_connections: 1 })
  for (const value of ['a\nb', 'a\0', '\u0161'])
    expect(await faultOf(service.call({ method: 'GET', headers: ['x-bad', value] }))).toMatchObject({ kind: 'broken' })
  expect((await answerOf(service.call(get))).status).toBe(200)
})

test('ends its connections and what is under way when it is closed', async () => {
  const upstream = await startUpstream((_req, res) => res.flushHeaders())
  const { service } = open(upstream.url, { max_connections: 1 })
  const results = [service.call(get), service.call(get)]
  await new Promise((resolve) => upstream.server.once('request', resolve))
  closers.pop()?.()
  for (const result of results) expect(await faultOf(result)).toMatchObject({ kind: 'broken' })
  expect(await faultOf(service.call(get))).toMatchObject({ kind: 'broken' })
})

test('shares what has the same settings, and makes anew what has other files', async () => {
  const store = new HttpServiceStore({ instruments: recordInstruments(), log: { info() {}, warn() {}, error() {} } })
  const keys: string[] = []
  const keep = <T extends { close?(): void }>(key: string, make: () => T): T => {
    keys.push(key)
    const thing = make()
    closers.push(() => thing.close?.())
    return thing
  }
  const ca = await certificateFor(['ca'], { isCa: true })
  const files = writeFiles(ca.cert)
  closers.push(files.remove)
  const settings: HttpSettings = {
    url: 'https://127.0.0.1/',
    timeout: 1,
    tls: { ...noTls, ca: files.paths[0] as string },
    max_connections: 1,
    breaker: { max_failures: 1, cooldown: 1 },
    max_body: 1,
  }
  store.open(settings, keep)
  store.open({ ...settings }, keep)
  store.open({ ...settings, timeout: 2 }, keep)
  const { writeFileSync } = await import('node:fs')
  writeFileSync(files.paths[0] as string, (await certificateFor(['ca'], { isCa: true })).cert)
  store.open(settings, keep)
  expect(new Set(keys).size).toBe(3)
  expect(keys[0]).toBe(keys[1])
})

async function tlsServer(
  certificate: { cert: string; key: string },
  more: { ca?: string; requestCert?: boolean; rejectUnauthorized?: boolean } = {},
  handler = (_req: IncomingMessage, res: ServerResponse): unknown => res.end('{}'),
): Promise<string> {
  const server = createTlsServer({ ...certificate, ...more }, handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

test('believes the authorities that it is told of and no others, and checks the name', async () => {
  const ca = await certificateFor(['ca'], { isCa: true })
  const files = writeFiles(ca.cert)
  closers.push(files.remove)
  const own = { ...noTls, ca: files.paths[0] as string }
  const good = await tlsServer(await certificateFor(['127.0.0.1'], { ca }))
  expect((await answerOf(open(good, { tls: own }).service.call(get))).body).toBe('{}')
  expect(await faultOf(open(good).service.call(get))).toMatchObject({ kind: 'connect' })
  expect((await answerOf(open(good, { tls: { ...noTls, verify: false } }).service.call(get))).body).toBe('{}')

  const expired = await tlsServer(await certificateFor(['127.0.0.1'], { ca, expired: true }))
  expect(await faultOf(open(expired, { tls: own }).service.call(get))).toMatchObject({
    kind: 'connect',
    detail: 'CERT_HAS_EXPIRED',
  })

  const other = await tlsServer(await certificateFor(['auth.internal'], { ca }))
  expect(await faultOf(open(other, { tls: own }).service.call(get))).toMatchObject({
    kind: 'connect',
    detail: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
  const named = { ...own, server_name: 'auth.internal' }
  expect((await answerOf(open(other, { tls: named }).service.call(get))).body).toBe('{}')
})

test('shows its own certificate', async () => {
  const ca = await certificateFor(['ca'], { isCa: true })
  const client = await certificateFor(['gateway'], { ca })
  const files = writeFiles(ca.cert, client.cert, client.key)
  closers.push(files.remove)
  const [caFile, cert, key] = files.paths as [string, string, string]
  const url = await tlsServer(await certificateFor(['127.0.0.1'], { ca }), {
    ca: ca.cert,
    requestCert: true,
    rejectUnauthorized: true,
  })
  expect((await answerOf(open(url, { tls: { ...noTls, ca: caFile, cert, key } }).service.call(get))).body).toBe('{}')
  expect((await open(url, { tls: { ...noTls, ca: caFile } }).service.call(get)) instanceof HttpFault).toBe(true)
})
