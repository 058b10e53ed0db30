import { request } from 'undici'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { gatewayClient, IdentityProvider } from '../support/identity-provider.ts'
import { type Echo, startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'
import { call, Wire } from '../support/wire.ts'

let upstream: TestUpstream
let provider: IdentityProvider
beforeEach(async () => {
  upstream = await startUpstream()
  provider = await IdentityProvider.start()
  provider.tokens.set('opaque-1', { active: true, sub: 'ann', scope: 'read', jti: 'id-1' })
})
afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

function configOf(config: object = {}, more: object = {}): object {
  return {
    access_log: { path: 'stdout' },
    consumers: [{ id: 'ann', tier: 'gold', groups: ['staff'] }],
    routes: [
      {
        name: 'api',
        paths: ['/api/*'],
        upstream: 'service',
        plugins: [
          { name: 'oauth2-introspection', config: { url: provider.introspection, ...gatewayClient, ...config } },
        ],
      },
    ],
    upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
    ...more,
  }
}

function get(gateway: RunningGateway, bearer: string, fields: readonly string[] = []) {
  return call(gateway.port, 'GET /api/a', [`authorization: Bearer ${bearer}`, 'connection: close', ...fields])
}

test('an opaque token gets in while its provider says so; the service learns who calls and never sees the token', async () => {
  const gateway = await startGateway(configOf({ cache: { ttl: '50ms', negative_ttl: '50ms' } }), { workers: 1 })
  const first = await get(gateway, 'opaque-1', ['x-user-id: root', 'x-user-role: admin'])
  expect(first.status).toBe(200)
  const { headers } = JSON.parse(first.body) as Echo
  expect(headers).toMatchObject({ 'x-user-id': 'ann', 'x-user-scopes': 'read' })
  expect(headers['x-user-role']).toBeUndefined()
  expect(headers['authorization']).toBeUndefined()

  const other = await get(gateway, 'opaque-2')
  expect(other.status).toBe(401)
  expect(other.field('www-authenticate')).toBe('Bearer realm="api", error="invalid_token"')
  expect(JSON.parse(other.body)).toMatchObject({ error: 'credentials_invalid' })
  expect((await call(gateway.port, 'GET /api/a')).field('www-authenticate')).toBe('Bearer realm="api"')

  // The provider ends it: within the life of what is remembered it is refused.
  provider.tokens.delete('opaque-1')
  while ((await get(gateway, 'opaque-1')).status === 200);
  provider.tokens.set('opaque-1', { active: true, sub: 'ann' })
  while ((await get(gateway, 'opaque-1')).status !== 200);
}, 60_000)

test('asks once for many requests at once, and not again while it remembers, reloads included', async () => {
  const gateway = await startGateway(configOf(), { workers: 1 })
  const answers = await Promise.all(Array.from({ length: 50 }, () => get(gateway, 'opaque-1')))
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  expect(provider.calls).toHaveLength(1)
  expect((await gateway.reload(configOf({}, { limits: { header_count: 60 } }))).status).toBe(200)
  expect((await get(gateway, 'opaque-1')).status).toBe(200)
  expect(provider.calls).toHaveLength(1)
  // Other rules are another matter.
  expect((await gateway.reload(configOf({ scopes: ['write'] }))).status).toBe(200)
  const refused = await get(gateway, 'opaque-1')
  expect(refused.status).toBe(403)
  expect(refused.field('www-authenticate')).toContain('error="insufficient_scope", scope="write"')
  expect(provider.calls).toHaveLength(2)
}, 60_000)

test('a provider that hangs, lies or is gone lets nobody in who is not known, and holds nobody up who is', async () => {
  const gateway = await startGateway(configOf({ timeout: '300ms', breaker: { max_failures: 0 } }), { workers: 1 })
  expect((await get(gateway, 'opaque-1')).status).toBe(200)
  const troubles: readonly [() => unknown, string][] = [
    [() => provider.answer(() => {}), 'service_timeout'],
    [() => provider.answerText(200, '<html>'), 'service_answer_invalid'],
    [() => provider.answerText(200, '{"active":"yes","sub":"root"}'), 'service_answer_invalid'],
    [() => provider.answerText(500, '{"active":true,"sub":"root"}'), 'service_status_500'],
    [() => provider.answerText(200, `{"active":true,"sub":"${'x'.repeat(1_000_000)}"}`), 'service_answer_too_large'],
    [() => provider.close(), 'service_unreachable'],
  ]
  for (const [i, [cause, detail]] of troubles.entries()) {
    await cause()
    const [unknown, known] = await Promise.all([get(gateway, `new-${i}`), get(gateway, 'opaque-1')])
    expect([unknown.status, known.status]).toEqual([503, 200])
    expect(JSON.parse(unknown.body)).toMatchObject({ error: 'auth_unavailable' })
    const id = unknown.field('x-request-id')
    const line = await gateway.waitFor('its line in the access log', () =>
      gateway.accessLog().find((one) => one['request_id'] === id),
    )
    expect(JSON.stringify(line)).toContain(detail)
  }
  expect(gateway.output()).not.toContain('hush+hush')
  expect(gateway.output()).not.toContain('opaque-1')
  expect(await gateway.metrics()).toMatch(/^sluice_service_calls_total\{service="[^"]+",outcome="timeout"\} 1$/m)
}, 60_000)

test('a flood of tokens that nobody knows holds nobody up who is known', async () => {
  const gateway = await startGateway(configOf({ max_connections: 2, timeout: '10s' }), { workers: 1 })
  expect((await get(gateway, 'opaque-1')).status).toBe(200)
  provider.answer(() => {})
  const wires = await Promise.all(Array.from({ length: 20 }, () => Wire.open(gateway.port)))
  let refused = 0
  for (const [i, wire] of wires.entries()) {
    wire.request('GET /api/a', [`authorization: Bearer flood-${i}`])
    void wire.response().then((response) => {
      if (response?.status === 503) refused += 1
    })
  }
  // Two calls run and two wait for a connection: the rest is told so at once.
  while (refused < 16) await new Promise(setImmediate)
  expect((await get(gateway, 'opaque-1')).status).toBe(200)
  expect(provider.calls).toHaveLength(3)
  for (const wire of wires) wire.close()
}, 60_000)

test('clients that go away while the provider is asked leave nothing behind', async () => {
  const gateway = await startGateway(configOf(), { workers: 1 })
  let release = (): void => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  provider.answer((_req, res) => void held.then(() => res.end('{"active":true,"sub":"bob"}')))
  const wires = await Promise.all(Array.from({ length: 10 }, () => Wire.open(gateway.port)))
  for (const wire of wires) wire.request('GET /api/a', ['authorization: Bearer slow'])
  while (provider.calls.length === 0) await new Promise(setImmediate)
  for (const wire of wires) wire.reset()
  release()
  const { status, body } = await get(gateway, 'slow')
  expect(status).toBe(200)
  expect((JSON.parse(body) as Echo).headers['x-user-id']).toBe('bob')
  expect(provider.calls).toHaveLength(1)
  expect(upstream.requests).toBe(1)
}, 60_000)

test('a token that is revoked at the gateway is refused, though the provider still likes it', async () => {
  const security = { revocations: { file: './revoked.jsonl' } }
  const gateway = await startGateway(configOf({}, { security }), { workers: 2, files: { 'revoked.jsonl': '' } })
  for (let i = 0; i < 8; i++) expect((await get(gateway, 'opaque-1')).status).toBe(200)
  const { statusCode, body } = await request(`${gateway.adminUrl}/revocations`, {
    method: 'POST',
    body: JSON.stringify({ jti: 'id-1' }),
  })
  await body.dump()
  expect(statusCode).toBe(200)
  for (let i = 0; i < 8; i++) expect((await get(gateway, 'opaque-1')).status).toBe(401)
}, 60_000)
