import { afterEach, beforeEach, expect, test } from 'vitest'
import { launchGateway, type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { gatewayClient, IdentityProvider } from '../support/identity-provider.ts'
import { audience, issuer, signingKey, token } from '../support/token.ts'
import { type Echo, startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'
import { call } from '../support/wire.ts'

const key = signingKey('ES256', 'a')

let upstream: TestUpstream
let provider: IdentityProvider
let bearer: string
beforeEach(async () => {
  upstream = await startUpstream()
  provider = await IdentityProvider.start()
  bearer = await token(key)
  provider.tokens.set(bearer, { active: true, sub: 'user-1' })
})
afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

const jwt = { name: 'jwt', config: { issuer, audience, jwks: { keys: [key.jwk] } } }

function exchange(config: object = {}): object {
  return {
    name: 'token-exchange',
    config: { url: provider.token, ...gatewayClient, audience: 'payments', scope: 'payment:read', ...config },
  }
}

function configOf(...plugins: object[]): object {
  return {
    access_log: { path: 'stdout' },
    routes: [{ name: 'pay', paths: ['/pay/*'], upstream: 'service', plugins }],
    upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
  }
}

function pay(gateway: RunningGateway, presented = bearer) {
  return call(gateway.port, 'GET /pay/1', [`authorization: Bearer ${presented}`])
}

test('the service gets a token of its own, made for this caller, and never the one of the client', async () => {
  const gateway = await startGateway(configOf(jwt, exchange()), { workers: 1 })
  const answers = await Promise.all(Array.from({ length: 20 }, () => pay(gateway)))
  for (const { status, body } of answers) {
    expect(status).toBe(200)
    const { headers } = JSON.parse(body) as Echo
    expect(headers).toMatchObject({ authorization: `Bearer issued-1-for-${bearer}`, 'x-user-id': 'user-1' })
  }
  expect(provider.calls).toHaveLength(1)
  expect(provider.calls[0]?.form.get('audience')).toBe('payments')
  // Who can not prove who it is costs the provider nothing.
  expect((await pay(gateway, 'forged')).status).toBe(401)
  expect((await call(gateway.port, 'GET /pay/1')).status).toBe(401)
  expect(provider.calls).toHaveLength(1)
}, 60_000)

test('the client token stays here when it can not be exchanged', async () => {
  const forwarding = { ...jwt, config: { ...jwt.config, forward_token: true } }
  const gateway = await startGateway(configOf(forwarding, exchange({ timeout: '300ms', cache: { negative_ttl: 0 } })), {
    workers: 1,
  })
  const troubles: readonly [() => unknown, number][] = [
    [() => provider.answerText(400, '{"error":"invalid_request"}'), 401],
    [() => provider.answerText(400, '{"error":"invalid_target"}'), 403],
    [() => provider.answerText(401, '{"error":"invalid_client"}'), 503],
    [() => provider.answerText(200, '<html>'), 503],
    [() => provider.answer(() => {}), 503],
    [() => provider.close(), 503],
  ]
  for (const [cause, status] of troubles) {
    await cause()
    expect((await pay(gateway)).status).toBe(status)
  }
  expect(upstream.requests).toBe(0)
  expect(gateway.output()).not.toContain(bearer)
  expect(gateway.output()).not.toContain('hush+hush')
}, 60_000)

test('works on opaque tokens, too', async () => {
  provider.tokens.set('opaque', { active: true, sub: 'ann' })
  const introspection = { name: 'oauth2-introspection', config: { url: provider.introspection, ...gatewayClient } }
  const gateway = await startGateway(configOf(introspection, exchange()), { workers: 1 })
  const { status, body } = await pay(gateway, 'opaque')
  expect(status).toBe(200)
  expect((JSON.parse(body) as Echo).headers).toMatchObject({
    authorization: 'Bearer issued-1-for-opaque',
    'x-user-id': 'ann',
  })
}, 60_000)

test('a route where nobody checks tokens is refused', async () => {
  for (const plugins of [[exchange()], [{ ...jwt, config: { ...jwt.config, optional: true } }, exchange()]]) {
    const gateway = launchGateway(configOf(...plugins))
    expect(await gateway.ended).toBe(1)
    const words = 'token-exchange needs "token", which no plugin before it on route "pay" provides'
    expect(gateway.logs().some(({ msg }) => msg.endsWith(words))).toBe(true)
  }
}, 60_000)
