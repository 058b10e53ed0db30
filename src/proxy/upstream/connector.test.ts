import { once } from 'node:events'
import { createServer as createSecureServer, type Server } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Certificate, certificateFor, writeFiles } from '../../../test/support/certificate.ts'
import { RecordingSink, requestTo, settingsFor } from '../../../test/support/recording-sink.ts'
import type { ClientTls, UpstreamClient } from './client.ts'
import { createResolver } from './resolver.ts'
import { createUndiciClient } from './undici-client.ts'

const resolver = createResolver({ refresh: 60_000 })

let ca: Certificate
let named: Certificate
let addressed: Certificate
let files: { paths: string[]; remove: () => void }
let caPath: string

beforeAll(async () => {
  ca = await certificateFor(['Test CA'], { isCa: true })
  named = await certificateFor(['service.test'], { ca })
  addressed = await certificateFor(['127.0.0.1'], { ca })
  files = writeFiles(ca.cert, named.cert, named.key)
  caPath = files.paths[0] as string
})
afterAll(() => files.remove())

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

async function listen(server: TcpServer): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

async function secureServer(certificate: Certificate, options: object = {}): Promise<{ port: number; server: Server }> {
  const server = createSecureServer({ ...certificate, ...options }, (req, res) => {
    const { servername } = req.socket as TLSSocket & { servername: string | false }
    res.setHeader('x-sni', String(servername))
    req.pipe(res)
  })
  return { port: await listen(server), server }
}

function clientFor(port: number, tls: Partial<ClientTls> = {}): UpstreamClient {
  const client = createUndiciClient(
    settingsFor(port, {
      tls: { serverName: 'service.test', verify: true, ca: caPath, cert: null, key: null, ...tls },
    }),
    resolver,
  )
  cleanups.push(() => client.close())
  return client
}

async function fetchWith(client: UpstreamClient, host = 'service.test'): Promise<RecordingSink> {
  const sink = new RecordingSink()
  sink.attempt = client.start(requestTo({ host, method: 'POST', bodyLength: 5 }), sink, false)
  sink.attempt.write(Buffer.from('hello'))
  sink.attempt.end()
  await sink.over
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(sink.faults).toEqual([])
  return sink
}

test('verifies against the given CA and sends the name', async () => {
  const { port } = await secureServer(named)
  const sink = await fetchWith(clientFor(port))
  expect(sink).toMatchObject({ body: 'hello', failure: null })
  expect(sink.head?.headers.slice(0, 2)).toEqual(['x-sni', 'service.test'])
})

test('keeps one connection whatever the Host field says', async () => {
  const { port } = await secureServer(named)
  const client = clientFor(port)
  for (const host of ['a.example', 'b.example', 'c.example']) {
    const { head, body } = await fetchWith(client, host)
    expect({ sni: head?.headers[1], body }).toEqual({ sni: 'service.test', body: 'hello' })
  }
  expect(client.stats()).toMatchObject({ opened: 1, idle: 1 })
})

test('checks an address without sending it as a name', async () => {
  const { port } = await secureServer(addressed)
  const { head } = await fetchWith(clientFor(port, { serverName: '127.0.0.1' }))
  expect(head?.headers[1]).toBe('false')
  const { port: other } = await secureServer(named)
  expect((await fetchWith(clientFor(other, { serverName: '127.0.0.1' }))).failure?.code).toBe('upstream_tls_failed')
})

test('resumes sessions', async () => {
  const { port, server } = await secureServer(named)
  const resumed: boolean[] = []
  server.on('secureConnection', (socket: TLSSocket) => resumed.push(socket.isSessionReused()))
  const client = createUndiciClient(
    settingsFor(port, {
      tls: { serverName: 'service.test', verify: true, ca: caPath, cert: null, key: null },
      maxIdle: 0,
    }),
    resolver,
  )
  await fetchWith(client)
  await fetchWith(client)
  expect(resumed).toEqual([false, true])
})

test('brings a client certificate', async () => {
  const { port } = await secureServer(named, { requestCert: true, rejectUnauthorized: true, ca: ca.cert })
  const [, cert, key] = files.paths as [string, string, string]
  expect(await fetchWith(clientFor(port, { cert, key }))).toMatchObject({ body: 'hello', failure: null })
  const { failure } = await fetchWith(clientFor(port))
  // The handshake is over when the server looks; its alert and its reset race.
  expect(['upstream_tls_failed', 'upstream_connection_closed']).toContain(failure?.code)
})

describe('refuses', () => {
  const failed = { code: 'upstream_tls_failed', unsent: true, stale: false }

  test('a certificate that nobody known signed', async () => {
    const { port } = await secureServer(await certificateFor(['service.test']))
    expect((await fetchWith(clientFor(port))).failure).toMatchObject(failed)
    expect((await fetchWith(clientFor(port, { ca: null }))).failure).toMatchObject(failed)
  })

  test('a certificate for another name', async () => {
    const { port } = await secureServer(named)
    const { failure } = await fetchWith(clientFor(port, { serverName: 'other.test' }))
    expect(failure).toEqual({ ...failed, detail: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  })

  test('a certificate that has expired', async () => {
    const { port } = await secureServer(await certificateFor(['service.test'], { ca, expired: true }))
    expect((await fetchWith(clientFor(port))).failure).toEqual({ ...failed, detail: 'CERT_HAS_EXPIRED' })
  })

  test('a server without TLS', async () => {
    const server = createTcpServer((socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    expect((await fetchWith(clientFor(await listen(server)))).failure).toMatchObject(failed)
  })

  test('a server that hangs up in the handshake', async () => {
    const server = createTcpServer((socket) => socket.on('data', () => socket.destroy()))
    expect((await fetchWith(clientFor(await listen(server)))).failure).toMatchObject(failed)
  })
})

test('takes any certificate when told not to verify', async () => {
  const { port } = await secureServer(await certificateFor(['service.test'], { expired: true }))
  const client = clientFor(port, { verify: false, serverName: 'other.test', ca: null })
  expect(await fetchWith(client)).toMatchObject({ body: 'hello', failure: null })
})

test('a handshake that does not end runs into the connect timeout, and leaves nothing open', async () => {
  let closed = (): void => {}
  const gone = new Promise<void>((resolve) => (closed = resolve))
  const server = createTcpServer((socket) => void socket.resume().once('close', closed))
  const client = clientFor(await listen(server))
  const sink = new RecordingSink()
  sink.attempt = client.start(requestTo({ connectTimeout: 30 }), sink, false)
  await sink.over
  expect(sink.failure).toEqual({ code: 'upstream_connect_timeout', detail: 'timeout', unsent: true, stale: false })
  await gone
  expect(client.stats()).toEqual({ open: 0, idle: 0, waiting: 0, opened: 0 })
})

test('certificate files that are missing or broken fail when the client is made', () => {
  expect(() => clientFor(1, { ca: '/does/not/exist' })).toThrow('ENOENT')
  expect(() => clientFor(1, { cert: files.paths[2] as string })).toThrow()
})
