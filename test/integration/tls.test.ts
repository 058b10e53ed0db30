import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Certificate, certificateFor } from '../support/certificate.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { payload, payloadHash } from '../support/payload.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire } from '../support/wire.ts'

let upstream: RawUpstream
let secret: RawUpstream
let gateway: RunningGateway
let certificates: Record<'fallback' | 'exact' | 'wildcard' | 'renewed' | 'service', Certificate>
let config: object

beforeAll(async () => {
  const authority = await certificateFor(['test authority'], { isCa: true })
  const [fallback, exact, wildcard, renewed, service] = await Promise.all([
    certificateFor(['fallback.test']),
    certificateFor(['api.example.test']),
    certificateFor(['*.example.test']),
    certificateFor(['fallback.test', 'renewed.test']),
    certificateFor(['service.test'], { ca: authority }),
  ])
  certificates = { fallback, exact, wildcard, renewed, service }
  upstream = await RawUpstream.start()
  secret = await RawUpstream.start(service)
  const pair = (name: string, hosts?: string[]): object => ({
    cert: `${name}.pem`,
    key: `${name}.key`,
    ...(hosts === undefined ? {} : { hosts }),
  })
  const secured = (extra: object): object => ({ url: `https://127.0.0.1:${secret.port}`, tls: extra })
  config = {
    access_log: 'off',
    limits: { body_size: 'off' },
    listeners: [
      {
        address: '127.0.0.1:0',
        tls: {
          certificates: [pair('fallback'), pair('exact', ['api.example.test']), pair('wildcard', ['*.example.test'])],
        },
      },
      { address: '127.0.0.1:0', tls: { certificates: [pair('fallback')], min_version: '1.3' } },
    ],
    routes: [
      {
        name: 'verified',
        paths: ['/verified/*'],
        upstream: { name: 'verified', ...secured({ ca: 'authority.pem', server_name: 'service.test' }) },
      },
      {
        name: 'misnamed',
        paths: ['/misnamed/*'],
        upstream: { name: 'misnamed', ...secured({ ca: 'authority.pem', server_name: 'other.test' }) },
      },
      {
        name: 'untrusted',
        paths: ['/untrusted/*'],
        upstream: { name: 'untrusted', ...secured({ server_name: 'service.test' }) },
      },
      { name: 'unverified', paths: ['/unverified/*'], upstream: { name: 'unverified', ...secured({ verify: false }) } },
      { name: 'any', upstream: `http://${upstream.target}` },
    ],
  }
  const files = Object.fromEntries(
    Object.entries({ fallback, exact, wildcard }).flatMap(([name, { cert, key }]) => [
      [`${name}.pem`, cert],
      [`${name}.key`, key],
    ]),
  )
  gateway = await startGateway(config, { workers: 1, files: { ...files, 'authority.pem': authority.cert } })
})

afterAll(async () => {
  await stopGateways()
  await Promise.all([upstream.stop(), secret.stop()])
})

const port = (listener = 0): number => Number(gateway.addresses[listener]?.split(':').at(-1))

function shown(wire: Wire): string | undefined {
  return new X509Certificate((wire.socket as TLSSocket).getPeerCertificate().raw).subjectAltName
}

async function certificateOf(servername: string | undefined, listener = 0): Promise<string | undefined> {
  const wire = await Wire.open(port(listener), { tls: servername === undefined ? {} : { servername } })
  const name = shown(wire)
  wire.close()
  return name
}

describe('termination', () => {
  test.each([
    ['api.example.test', 'DNS:api.example.test'],
    ['www.example.test', 'DNS:*.example.test'],
    ['other.test', 'DNS:fallback.test'],
    [undefined, 'DNS:fallback.test'],
  ])('a client that asks for %s gets the certificate for %s', async (servername, name) => {
    expect(await certificateOf(servername)).toBe(name)
  })

  test.each([undefined, 'api.example.test', 'www.example.test', 'other.test'])(
    'requests to %s are served',
    async (servername) => {
      const count = upstream.requests.length
      const response = await call(port(), 'GET /served', [], '', {
        tls: servername === undefined ? {} : { servername },
      })
      expect(response.status).toBe(200)
      expect(upstream.requests[count]?.field('x-forwarded-proto')).toBe('https')
      expect(upstream.requests[count]?.field('x-forwarded-port')).toBe(String(port()))
    },
  )

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s is spoken', async (version) => {
    const wire = await Wire.open(port(), { tls: { minVersion: version, maxVersion: version } })
    expect((wire.socket as TLSSocket).getProtocol()).toBe(version)
    wire.request('GET /version')
    expect((await wire.response())?.status).toBe(200)
    wire.close()
  })

  test('TLS 1.1 is not', async () => {
    const tls = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const
    await expect(Wire.open(port(), { tls })).rejects.toThrow()
  })

  test('min_version 1.3 refuses 1.2', async () => {
    await expect(Wire.open(port(1), { tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } })).rejects.toThrow()
    const response = await call(port(1), 'GET /newer', [], '', { tls: { minVersion: 'TLSv1.3' } })
    expect(response.status).toBe(200)
  })

  test.each(['AES128-SHA', 'AES256-GCM-SHA384', 'ECDHE-RSA-AES128-SHA'])('cipher %s is refused', async (ciphers) => {
    await expect(
      Wire.open(port(), { tls: { maxVersion: 'TLSv1.2', ciphers: `${ciphers}:@SECLEVEL=0` } }),
    ).rejects.toThrow()
  })

  test('large bodies pass in both directions', async () => {
    const size = 8 * 1024 * 1024
    upstream.on('/large', (request) => {
      void request.ended.then(() => {
        request.send(`HTTP/1.1 200 OK\r\nX-Hash: ${request.hash}\r\nContent-Length: ${size}\r\n\r\n`)
        for (const piece of payload(size)) request.send(piece)
      })
    })
    const wire = await Wire.open(port(), { tls: {} })
    wire.request('POST /large', [`Content-Length: ${size}`])
    await wire.pump(payload(size))
    const response = await wire.response()
    wire.close()
    expect(response).toMatchObject({ status: 200, bytes: size, hash: payloadHash(size), complete: true })
    expect(response?.field('x-hash')).toBe(payloadHash(size))
  })

  test('a refused request is answered and the connection closed', async () => {
    const wire = await Wire.open(port(), { tls: {} })
    wire.request('POST /bad', ['Content-Length: 5', 'Content-Length: 6'], 'hello')
    expect((await wire.response())?.status).toBe(400)
    await wire.closed
  })

  test('plain HTTP on the same port is no request', async () => {
    const wire = await Wire.open(port())
    wire.request('GET /plain')
    expect(await wire.remainder()).not.toContain('HTTP/1.1 200')
    expect(upstream.to('/plain')).toEqual([])
  })
})

describe('reload', () => {
  test('certificates are read again, and connections that are open stay open', async () => {
    const before = await Wire.open(port(), { tls: { servername: 'other.test' } })
    expect(shown(before)).toBe('DNS:fallback.test')
    // One request is under way, its answer has begun.
    upstream.on('/across', (request) => request.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst'))
    before.request('GET /across')
    await upstream.arrival('/across')

    gateway.write('fallback.pem', certificates.renewed.cert)
    gateway.write('fallback.key', certificates.renewed.key)
    expect((await gateway.postReload()).status).toBe(200)
    expect(await certificateOf('other.test')).toBe('DNS:fallback.test, DNS:renewed.test')
    expect(await certificateOf('api.example.test')).toBe('DNS:api.example.test')

    upstream.to('/across')[0]?.send(' end')
    expect(await before.response()).toMatchObject({ status: 200, body: 'first end', complete: true })
    before.request('GET /afterwards')
    expect((await before.response())?.status).toBe(200)
    before.close()

    gateway.write('fallback.pem', certificates.fallback.cert)
    gateway.write('fallback.key', certificates.fallback.key)
    expect((await gateway.postReload()).status).toBe(200)
  })

  test('a certificate that does not go with its key changes nothing', async () => {
    gateway.write('exact.key', certificates.wildcard.key)
    const answer = await gateway.postReload()
    expect(answer.status).not.toBe(200)
    expect(await certificateOf('api.example.test')).toBe('DNS:api.example.test')
    gateway.write('exact.key', certificates.exact.key)
    expect((await gateway.postReload()).status).toBe(200)
  })
})

describe('https upstream', () => {
  test('is verified with the given authority and name', async () => {
    const response = await call(port(), 'POST /verified/a', ['Content-Length: 5'], 'hello', { tls: {} })
    expect(response.status).toBe(200)
    expect(secret.to('/verified/a')[0]).toMatchObject({ body: 'hello', ending: 'complete' })
    expect(secret.to('/verified/a')[0]?.field('x-forwarded-proto')).toBe('https')
  })

  test.each(['misnamed', 'untrusted'])('%s is refused', async (name) => {
    const response = await call(port(), `GET /${name}/a`, [], '', { tls: {} })
    expect(response.status).toBe(502)
    expect(JSON.parse(response.body)).toMatchObject({ error: 'upstream_tls_failed' })
    expect(secret.to(`/${name}/a`)).toEqual([])
  })

  test('verify: false takes any', async () => {
    expect((await call(port(), 'GET /unverified/a', [], '', { tls: {} })).status).toBe(200)
  })
})
