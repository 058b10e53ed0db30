import type { IncomingMessage } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import {
  type Echo,
  startUpstream,
  stopUpstreams,
  type TestUpstream,
  type UpstreamHandler,
} from '../support/upstream.ts'
import { call } from '../support/wire.ts'

let upstream: TestUpstream
let auth: TestUpstream
let asked: IncomingMessage[]
let handler: UpstreamHandler
beforeEach(async () => {
  upstream = await startUpstream()
  asked = []
  handler = (_req, res) => void res.end()
  auth = await startUpstream((req, res) => {
    asked.push(req)
    handler(req, res)
  })
})
afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

function start(config: object = {}, more: object = {}): Promise<RunningGateway> {
  return startGateway(
    {
      access_log: { path: 'stdout' },
      routes: [
        {
          name: 'api',
          paths: ['/api/*'],
          upstream: 'service',
          plugins: [{ name: 'forward-auth', config: { url: `${auth.url}/validate`, ...config } }],
        },
        { name: 'open', paths: ['/open/*'], upstream: 'service' },
      ],
      upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
      ...more,
    },
    { workers: 1 },
  )
}

test('the service is asked about the request as the client made it, without its body', async () => {
  handler = (_req, res) => void res.writeHead(200, { 'x-auth-user': 'ann', 'x-auth-roles': 'admin' }).end()
  const gateway = await start({ response_headers: ['X-Auth-User', 'X-Auth-Roles'], consumer: { id: 'X-Auth-User' } })
  const answer = await call(
    gateway.port,
    'POST /api/orders?a=1',
    [
      'host: api.example.com',
      'authorization: Bearer abc',
      'cookie: session=1',
      'x-auth-user: root',
      'x-forwarded-uri: /elsewhere',
      'x-forwarded-for: 10.0.0.1',
      'content-length: 5',
    ],
    'hello',
  )
  expect(answer.status).toBe(200)
  const { headers, body } = JSON.parse(answer.body) as Echo
  expect(body).toBe('hello')
  expect(headers).toMatchObject({ 'x-auth-user': 'ann', 'x-auth-roles': 'admin', cookie: 'session=1' })
  expect(headers['authorization']).toBeUndefined()
  const [question] = asked as [IncomingMessage]
  expect(question.method).toBe('GET')
  expect(question.url).toBe('/validate')
  expect(question.headers).toMatchObject({
    authorization: 'Bearer abc',
    cookie: 'session=1',
    'x-forwarded-method': 'POST',
    'x-forwarded-uri': '/api/orders?a=1',
    'x-forwarded-host': 'api.example.com',
    'x-forwarded-proto': 'http',
    'x-forwarded-for': '127.0.0.1',
  })
  expect(question.headers['content-length']).toBeUndefined()
  // What the plugin injects is nobody else's to send, on any route.
  const open = await call(gateway.port, 'GET /open/1', ['x-auth-user: root', 'authorization: Bearer abc'])
  const there = (JSON.parse(open.body) as Echo).headers
  expect([there['x-auth-user'], there['authorization']]).toEqual([undefined, 'Bearer abc'])
}, 60_000)

test('refusals and redirects of the service are what the client gets', async () => {
  const gateway = await start()
  handler = (_req, res) => {
    res.writeHead(302, { location: 'https://login.example.com/', 'set-cookie': ['a=1', 'b=2'], 'x-internal': '1' })
    res.end('moved')
  }
  const redirect = await call(gateway.port, 'GET /api/1')
  expect(redirect.status).toBe(302)
  expect(redirect.field('location')).toBe('https://login.example.com/')
  expect(redirect.field('set-cookie')).toBe('a=1|b=2')
  expect(redirect.field('x-internal')).toBeUndefined()
  expect(redirect.body).toBe('moved')
  handler = (_req, res) => {
    res.writeHead(401, { 'www-authenticate': 'Basic realm="x"', 'content-type': 'text/plain' }).end('who are you?')
  }
  const refusal = await call(gateway.port, 'GET /api/1')
  expect([refusal.status, refusal.field('www-authenticate'), refusal.body]).toEqual([
    401,
    'Basic realm="x"',
    'who are you?',
  ])
  const head = await call(gateway.port, 'HEAD /api/1')
  expect([head.status, head.body]).toEqual([401, ''])
  expect(upstream.requests).toBe(0)
}, 60_000)

test('without a yes nobody gets in', async () => {
  const gateway = await start({ timeout: '300ms', breaker: { max_failures: 0 } })
  const troubles: readonly UpstreamHandler[] = [
    (_req, res) => void res.writeHead(500).end(),
    (_req, res) => void res.writeHead(404).end(),
    () => {},
    (_req, res) => void res.writeHead(200, { 'content-length': '10' }).write('12345'),
    (req) => void req.socket.destroy(),
    (_req, res) => void res.writeHead(403).end('x'.repeat(100_000)),
  ]
  for (const trouble of troubles) {
    handler = trouble
    const { status, body } = await call(gateway.port, 'GET /api/1', ['authorization: Bearer abc'])
    expect([status, (JSON.parse(body) as { error: string }).error]).toEqual([503, 'auth_unavailable'])
  }
  await auth.close()
  expect((await call(gateway.port, 'GET /api/1')).status).toBe(503)
  expect(upstream.requests).toBe(0)
}, 60_000)

test('a service that is left alone is found out to be back', async () => {
  const gateway = await start({ breaker: { max_failures: 2, cooldown: '300ms' } })
  handler = (_req, res) => void res.writeHead(500).end()
  for (let i = 0; i < 10; i++) expect((await call(gateway.port, 'GET /api/1')).status).toBe(503)
  const soFar = asked.length
  expect(soFar).toBeLessThan(10)
  expect(await gateway.metrics()).toMatch(/^sluice_service_breaker_open\{service="[^"]+"\} 1$/m)
  handler = (_req, res) => void res.end()
  while ((await call(gateway.port, 'GET /api/1')).status !== 200);
  expect(await gateway.metrics()).toMatch(/^sluice_service_breaker_open\{service="[^"]+"\} 0$/m)
}, 60_000)

test('remembers for as long as it is told to, one caller apart from the other', async () => {
  handler = (req, res) => void res.writeHead(200, { 'x-auth-user': String(req.headers['authorization']) }).end()
  const gateway = await start({ response_headers: ['X-Auth-User'], cache: { ttl: '1h', scope: 'caller' } })
  for (let i = 0; i < 4; i++) {
    for (const who of ['ann', 'bob']) {
      const { body } = await call(gateway.port, `GET /api/${i}`, [`authorization: ${who}`])
      expect((JSON.parse(body) as Echo).headers['x-auth-user']).toBe(who)
    }
  }
  expect(asked).toHaveLength(2)
}, 60_000)
