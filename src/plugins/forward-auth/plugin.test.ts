import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { compile, faults, lines, request } from '../../../test/support/plugin.ts'
import { type LiveServices, openServices } from '../../../test/support/services.ts'
import {
  startUpstream,
  stopUpstreams,
  type TestUpstream,
  type UpstreamHandler,
} from '../../../test/support/upstream.ts'
import type { RequestContext } from '../../core/context.ts'
import type { KnownConsumer, Steps, Verdict } from '../../core/plugin.ts'
import { forwardAuth } from './plugin.ts'
import { schema } from './schema.ts'

let live: LiveServices
beforeEach(() => void (live = openServices()))
afterEach(async () => {
  live.close()
  await stopUpstreams()
})

async function started(handler: UpstreamHandler, config: object = {}) {
  const service = await startUpstream(handler)
  return { service, steps: stepsFor(service, config) }
}

function stepsFor(service: Pick<TestUpstream, 'url'>, config: object = {}): Steps {
  const known: KnownConsumer = {
    id: 'ann',
    name: 'Ann',
    tier: 'gold',
    tenant: 'acme',
    groups: ['staff'],
    roles: ['reader'],
    scopes: [],
  }
  const deps = { ...live.deps, consumers: new Map([['ann', known]]) }
  return compile(forwardAuth, { url: `${service.url}/validate?from=gw`, ...config }, {}, deps)
}

async function ask(steps: Steps, ctx: RequestContext = caller()): Promise<Verdict> {
  return steps.access?.(ctx)
}

function caller(more: Partial<RequestContext> = {}): RequestContext {
  return request({
    method: 'DELETE',
    path: '/orders/1',
    query: 'a=1',
    scheme: 'https',
    forwardedHost: 'api.example.com',
    forwardedFor: '192.0.2.1',
    bodyLength: 5,
    headers: ['authorization', 'Bearer abc', 'cookie', 'a=1', 'x-other', 'no', 'accept-encoding', 'br'],
    ...more,
  })
}

const answering =
  (status: number, headers: Record<string, string | string[]> = {}, body = ''): UpstreamHandler =>
  (_req: IncomingMessage, res: ServerResponse) =>
    void res.writeHead(status, headers).end(body)

test('tells the service of the request, sends no body and nothing that it was not told to', async () => {
  const seen: IncomingMessage[] = []
  let body = ''
  const { steps } = await started((req, res) => {
    seen.push(req)
    req.on('data', (chunk) => (body += String(chunk)))
    req.on('end', () => res.end())
  })
  expect(await ask(steps)).toBeUndefined()
  const [call] = seen as [IncomingMessage]
  expect(call.method).toBe('GET')
  expect(call.url).toBe('/validate?from=gw')
  expect(body).toBe('')
  const headers = { ...call.headers }
  delete headers.host
  delete headers.connection
  expect(headers).toEqual({
    authorization: 'Bearer abc',
    cookie: 'a=1',
    'accept-encoding': 'identity',
    'x-forwarded-method': 'DELETE',
    'x-forwarded-uri': '/orders/1?a=1',
    'x-forwarded-host': 'api.example.com',
    'x-forwarded-proto': 'https',
    'x-forwarded-for': '192.0.2.1',
  })
})

test('sends the fields that it is told to, as they came', async () => {
  const seen: string[][] = []
  const { steps } = await started(
    (req, res) => {
      seen.push(req.rawHeaders)
      res.end()
    },
    { method: 'POST', request_headers: ['X-Name', 'X-Request-Id'] },
  )
  await ask(steps, caller({ headers: ['x-name', 'Zo\u00eb', 'x-name', 'Bo', 'authorization', 'no'] }))
  const sent = lines(seen[0] ?? [])
  expect(sent).toEqual(
    expect.arrayContaining([
      `x-name: ${Buffer.from('Zo\u00eb').toString('latin1')}`,
      'x-name: Bo',
      'x-request-id: id-1',
    ]),
  )
  expect(sent.join()).not.toContain('authorization')
})

test.each([
  [false, 'DELETE', '/orders/1?a=1'],
  [true, 'PUT', '/before'],
])('believes a proxy in front only when told to: %j', async (trust, method, uri) => {
  const seen: IncomingMessage['headers'][] = []
  const { steps } = await started(
    (req, res) => {
      seen.push(req.headers)
      res.end()
    },
    { trust_forward_header: trust },
  )
  await ask(steps, caller({ headers: ['x-forwarded-method', 'PUT', 'x-forwarded-uri', '/before'] }))
  expect(seen[0]).toMatchObject({ 'x-forwarded-method': method, 'x-forwarded-uri': uri })
})

test('tells the upstream what the service says, and keeps the credentials that were checked', async () => {
  const { steps } = await started(
    answering(200, {
      'X-Auth-User': Buffer.from('Zo\u00eb').toString('latin1'),
      'x-auth-roles': ['a', 'b'],
      'x-not': '1',
    }),
    { response_headers: ['X-Auth-User', 'X-Auth-Roles', 'X-Auth-More'] },
  )
  const ctx = caller()
  expect(await ask(steps, ctx)).toBeUndefined()
  expect(lines(ctx.headers)).toEqual([
    'cookie: a=1',
    'x-other: no',
    'accept-encoding: br',
    'x-auth-user: Zo\u00eb',
    'x-auth-roles: a, b',
  ])
  expect(ctx.consumer).toBeNull()
})

test('forwards the credentials when told to', async () => {
  const { steps } = await started(answering(204), { forward_credentials: true })
  const ctx = caller()
  expect(await ask(steps, ctx)).toBeUndefined()
  expect(lines(ctx.headers)).toContain('authorization: Bearer abc')
})

test('an answer may replace the Authorization of the client, which takes it away from no other route', async () => {
  const config = { response_headers: ['Authorization', 'X-Auth-User'], forward_credentials: true }
  const withOne = await started(answering(200, { authorization: 'Bearer internal' }), config)
  const ctx = caller()
  await ask(withOne.steps, ctx)
  expect(lines(ctx.headers)).toContain('authorization: Bearer internal')
  const without = await started(answering(200), config)
  const other = caller()
  await ask(without.steps, other)
  expect(lines(other.headers).join()).not.toContain('authorization')
  expect(forwardAuth.injects?.(schema.parse({ url: 'http://a', ...config }))).toEqual(['x-auth-user'])
})

test('names the consumer, completed by what the configuration knows', async () => {
  const config = { consumer: { id: 'X-Auth-User', roles: 'X-Auth-Roles', scopes: 'X-Auth-Scopes' } }
  const { steps } = await started(
    answering(200, { 'x-auth-user': 'ann', 'x-auth-roles': 'admin, ops', 'x-auth-scopes': 'read write' }),
    config,
  )
  const ctx = caller()
  expect(await ask(steps, ctx)).toBeUndefined()
  expect(ctx.consumer).toEqual({
    id: 'ann',
    name: 'Ann',
    tier: 'gold',
    tenant: 'acme',
    groups: ['staff'],
    roles: ['admin', 'ops'],
    scopes: ['read', 'write'],
    credential: null,
    anonymous: false,
  })
  const taken = caller()
  taken.consumer = ctx.consumer === null ? null : { ...ctx.consumer, id: 'first' }
  await ask(steps, taken)
  expect(taken.consumer?.id).toBe('first')
  expect(forwardAuth.provides?.(schema.parse({ url: 'http://a', ...config }))).toEqual(['consumer'])
  expect(forwardAuth.provides?.(schema.parse({ url: 'http://a' }))).toEqual([])
})

describe('passes a refusal on', () => {
  test.each([401, 403])('%i with what is meant for the client', async (status) => {
    const headers = {
      'www-authenticate': 'Bearer realm="x"',
      'set-cookie': ['a=1', 'b=2'],
      'content-type': 'application/json',
      server: 'auth/1.0',
      'x-internal': '10.0.0.1',
    }
    const { steps } = await started(answering(status, headers, '{"why":"\u00e9"}'))
    const ctx = caller()
    const verdict = await ask(steps, ctx)
    expect(verdict).toMatchObject({ status, body: '{"why":"\u00e9"}' })
    expect(lines([...(verdict?.headers ?? [])])).toEqual([
      'www-authenticate: Bearer realm="x"',
      'set-cookie: a=1',
      'set-cookie: b=2',
      'content-type: application/json',
    ])
  })

  test.each([301, 302, 303, 307, 308])('%i to another place, which is not followed', async (status) => {
    const { steps, service } = await started(answering(status, { location: 'https://login.example.com/?rd=1' }))
    expect(await ask(steps)).toMatchObject({ status, headers: ['location', 'https://login.example.com/?rd=1'] })
    expect(service.requests).toBe(1)
  })

  test('without a body that can not be read', async () => {
    const { steps } = await started(answering(403, { 'content-encoding': 'gzip' }, '\u001f\u008b'))
    expect(await ask(steps)).toMatchObject({ status: 403, body: '' })
  })

  test('with the fields that it is told to', async () => {
    const { steps } = await started(answering(403, { 'x-reason': 'late', 'content-type': 'text/plain' }, 'no'), {
      client_headers: ['X-Reason'],
    })
    expect(await ask(steps)).toEqual({ status: 403, headers: ['x-reason', 'late'], body: 'no' })
  })
})

describe('refuses when the service', () => {
  const cases: readonly [string, UpstreamHandler, object, string][] = [
    ['fails', answering(500), {}, 'service_status_500'],
    ['is not there', answering(404), {}, 'service_status_404'],
    ['wants less of us', answering(429), {}, 'service_status_429'],
    ['redirects to nowhere', answering(302), {}, 'service_answer_invalid'],
    ['says that nothing changed', answering(304), {}, 'service_status_304'],
    ['names nobody', answering(200), { consumer: { id: 'X-Auth-User' } }, 'service_answer_invalid'],
    [
      'names nobody, at length',
      answering(200, { 'x-auth-user': ' ' }),
      { consumer: { id: 'X-Auth-User' } },
      'service_answer_invalid',
    ],
    [
      'names somebody in bytes that are no text',
      answering(200, { 'x-auth-user': '\u00ff' }),
      { response_headers: ['X-Auth-User'] },
      'service_answer_invalid',
    ],
    ['answers with too much', answering(403, {}, 'x'.repeat(70_000)), {}, 'service_answer_too_large'],
    ['does not answer', () => {}, { timeout: '150ms' }, 'service_timeout'],
    ['stalls', (_req, res) => void res.writeHead(200).write('a'), { timeout: '150ms' }, 'service_timeout'],
    ['breaks off', (req) => void req.socket.destroy(), {}, 'service_answer_broken'],
    ['talks nonsense', (req) => void req.socket.end('220 mail ready\r\n'), {}, 'service_answer_broken'],
  ]
  test.each(cases)('%s', async (_, handler, config, detail) => {
    const { steps } = await started(handler, config)
    const ctx = caller()
    expect(await ask(steps, ctx)).toMatchObject({ code: 'auth_unavailable', status: 503, detail })
    expect(ctx.consumer).toBeNull()
  })

  test('is down', async () => {
    const { service, steps } = await started(answering(200))
    await service.close()
    expect(await ask(steps)).toMatchObject({ code: 'auth_unavailable', detail: 'service_unreachable' })
  })

  test('has more to do than it is allowed to', async () => {
    const { steps } = await started(() => {}, { max_connections: 1, timeout: '300ms' })
    const verdicts = await Promise.all(Array.from({ length: 3 }, () => ask(steps)))
    expect(verdicts[2]).toMatchObject({ code: 'auth_overloaded', status: 503 })
  })
})

test('does not touch the request of a client that is gone', async () => {
  const { steps } = await started(answering(200, { 'x-auth-user': 'ann' }), {
    response_headers: ['X-Auth-User'],
    consumer: { id: 'X-Auth-User' },
  })
  const ctx = caller()
  const before = [...ctx.headers]
  const pending = ask(steps, ctx)
  ctx.aborted = true
  expect(await pending).toBeUndefined()
  expect(ctx.headers).toEqual(before)
  expect(ctx.consumer).toBeNull()
})

test('asks nobody when no credentials are there that must be', async () => {
  const { steps, service } = await started(answering(200), {
    required_headers: ['Authorization', 'cookie'],
    challenge: 'Bearer realm="api"',
  })
  const none = steps.access?.(caller({ headers: ['x-api-key', 'a'] }))
  expect(none).toMatchObject({
    code: 'credentials_missing',
    status: 401,
    headers: ['www-authenticate', 'Bearer realm="api"'],
  })
  expect(service.requests).toBe(0)
  expect(await ask(steps, caller({ headers: ['cookie', 'a=1'] }))).toBeUndefined()
})

describe('remembers', () => {
  test('answers that allow, for what was told alike', async () => {
    const { steps, service } = await started(answering(200, { 'x-auth-user': 'ann' }), {
      cache: { ttl: '1m' },
      response_headers: ['X-Auth-User'],
    })
    await ask(steps)
    const again = caller()
    expect(steps.access?.(again)).toBeUndefined()
    expect(lines(again.headers)).toContain('x-auth-user: ann')
    expect(service.requests).toBe(1)
    const others: Partial<RequestContext>[] = [
      { method: 'GET' },
      { path: '/orders/2' },
      { query: '' },
      { forwardedHost: 'other.example.com' },
      { scheme: 'http' },
      { forwardedFor: '192.0.2.2' },
      { headers: ['authorization', 'Bearer abd', 'cookie', 'a=1'] },
      { headers: ['authorization', 'Bearer abc', 'cookie', 'a=2'] },
      { headers: ['authorization', 'Bearer abc'] },
      { headers: [] },
    ]
    for (const other of others) await ask(steps, caller(other))
    expect(service.requests).toBe(1 + others.length)
  })

  test('callers, when that is enough', async () => {
    const { steps, service } = await started(answering(200), { cache: { ttl: '1m', scope: 'caller' } })
    await ask(steps)
    await ask(steps, caller({ method: 'GET', path: '/other', query: '' }))
    expect(service.requests).toBe(1)
    await ask(steps, caller({ headers: ['authorization', 'Bearer abd'] }))
    await ask(steps, caller({ forwardedFor: '192.0.2.2' }))
    expect(service.requests).toBe(3)
  })

  test('no refusals and nothing that went wrong', async () => {
    let status = 403
    const { steps, service } = await started((_req, res) => void res.writeHead(status).end(), { cache: { ttl: '1m' } })
    expect(await ask(steps)).toMatchObject({ status: 403 })
    status = 500
    expect(await ask(steps)).toMatchObject({ status: 503 })
    status = 200
    expect(await ask(steps)).toBeUndefined()
    expect(service.requests).toBe(3)
  })

  test('one call for many requests at once, but a cookie is for one', async () => {
    let cookies = 0
    const { steps, service } = await started(
      (req, res) => {
        if (req.headers.authorization === 'Bearer abc') res.end()
        else res.writeHead(401, { 'set-cookie': `session=${++cookies}` }).end()
      },
      { cache: { ttl: '1m' } },
    )
    await Promise.all(Array.from({ length: 50 }, () => ask(steps)))
    expect(service.requests).toBe(1)
    const refused = await Promise.all(Array.from({ length: 5 }, () => ask(steps, caller({ headers: [] }))))
    expect(new Set(refused.map((verdict) => verdict?.headers.join())).size).toBe(5)
  })

  test('nothing, unless told to', async () => {
    const { steps, service } = await started(answering(200))
    await ask(steps)
    await ask(steps)
    expect(service.requests).toBe(2)
  })
})

test.each([
  [{}, 'url: '],
  [{ url: 'auth/validate' }, 'must be a URL that begins with http:// or https://'],
  [{ url: 'http://user:pass@auth/' }, 'must be a URL without user name and password'],
  [{ url: 'http://auth/#a' }, 'must be a URL without fragment'],
  [{ url: 'http://auth/a b' }, 'must be a URL without spaces'],
  [{ url: 'http://auth:99999/' }, 'must be a URL with a valid host and port'],
  [{ url: 'http://a', method: 'PUT' }, 'method: '],
  [{ url: 'http://a', request_headers: ['Content-Length'] }, 'request_headers.0: must not be "content-length"'],
  [{ url: 'http://a', request_headers: ['Transfer-Encoding'] }, 'must not be "transfer-encoding"'],
  [{ url: 'http://a', response_headers: ['Host'] }, 'response_headers.0: must not be "host"'],
  [{ url: 'http://a', response_headers: ['X Y'] }, 'must be the name of a header field'],
  [{ url: 'http://a', client_headers: ['Content-Length'] }, 'must not be "content-length"'],
  [{ url: 'http://a', client_headers: ['Content-Encoding'] }, 'must not be "content-encoding"'],
  [{ url: 'http://a', required_headers: ['X-Key'] }, '"x-key" must stand in "request_headers", too'],
  [{ url: 'http://a', consumer: { roles: 'x' } }, 'consumer.id: '],
  [{ url: 'http://a', cache: {} }, 'cache.ttl: '],
  [{ url: 'http://a', timeout: '0s' }, 'must be at least 1ms'],
])('refuses %j', (config, message) => expect(faults(forwardAuth, config)).toContain(message))

test('refuses files for TLS that are not there', () => {
  expect(() =>
    compile(forwardAuth, { url: 'https://a', tls: { ca: 'missing.pem' } }, {}, { ...live.deps, configDir: '/nowhere' }),
  ).toThrow("the file /nowhere/missing.pem can't be read: ENOENT")
})
