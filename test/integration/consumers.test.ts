import { createHmac } from 'node:crypto'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createKey, hashKey } from '../../src/core/api-key.ts'
import { hashPassword } from '../../src/core/password.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type Echo, startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream()
})
afterEach(stopGateways)
afterAll(stopUpstreams)

const secret = 'a secret of thirty-two bytes or more'
const key = createKey('sk', 'k1')
const plugins = [
  { name: 'jwt', config: { secret } },
  { name: 'key-auth', config: { keys: [{ id: 'k1', hash: hashKey(key), consumer: 'acme' }] } },
  { name: 'basic-auth', config: { users: [{ username: 'acme', password_hash: hashPassword('open sesame') }] } },
]

function configured(consumers: object[], match: 'any' | 'all' = 'any', used = plugins): object {
  return { consumers, routes: [{ name: 'all', upstream: upstream.url, auth: match, plugins: used }] }
}

function token(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'HS256' })}.${part({ exp: Date.now() / 1000 + 600, ...claims })}`
  return `Bearer ${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

/** What the upstream is told of who sent these fields. */
async function told(gateway: RunningGateway, headers: Record<string, string>): Promise<Record<string, unknown>> {
  const { statusCode, body } = await request(gateway.url, { headers })
  expect(statusCode).toBe(200)
  const echo = (await body.json()) as Echo
  return Object.fromEntries(
    Object.entries(echo.headers).filter(([name]) => /^x-(?:user|tenant|consumer|api-key)/.test(name)),
  )
}

const basic = `Basic ${Buffer.from('acme:open sesame').toString('base64')}`
const acme = { id: 'acme', tier: 'gold', tenant: 'hamburg', roles: ['buyer', 'seller'], scopes: ['orders:read'] }

test('what is known of a consumer completes what its credentials say, whichever it uses', async () => {
  const gateway = await startGateway(configured([acme]), { workers: 2 })
  const known = { 'x-tenant-id': 'hamburg', 'x-user-roles': 'buyer,seller', 'x-user-scopes': 'orders:read' }
  expect(await told(gateway, { 'x-api-key': key })).toEqual({ 'x-api-key-id': 'k1', 'x-consumer-id': 'acme', ...known })
  expect(await told(gateway, { authorization: basic })).toEqual({
    'x-user-id': 'acme',
    'x-consumer-id': 'acme',
    ...known,
  })
  expect(await told(gateway, { authorization: token({ sub: 'acme' }) })).toMatchObject({
    'x-user-id': 'acme',
    ...known,
  })
  expect(await told(gateway, { authorization: token({ sub: 'acme', scope: 'a b', tenant: 'kiel' }) })).toMatchObject({
    'x-user-scopes': 'a b',
  })

  await gateway.reload(configured([{ ...acme, tenant: 'kiel', roles: [], scopes: [] }]))
  expect(await told(gateway, { 'x-api-key': key })).toEqual({
    'x-api-key-id': 'k1',
    'x-consumer-id': 'acme',
    'x-tenant-id': 'kiel',
  })
  await gateway.reload(configured([]))
  expect(await told(gateway, { 'x-api-key': key })).toEqual({ 'x-api-key-id': 'k1', 'x-consumer-id': 'acme' })
})

test('of two credentials the first names the caller, and the second tells of itself only', async () => {
  const both = plugins.slice(0, 2)
  const gateway = await startGateway(configured([{ ...acme, tenant: 'hamburg' }], 'all', both), { workers: 1 })
  const headers = { authorization: token({ sub: 'alice', scope: 'a' }), 'x-api-key': key }
  expect(await told(gateway, headers)).toEqual({
    'x-user-id': 'alice',
    'x-user-scopes': 'a',
    'x-api-key-id': 'k1',
    'x-consumer-id': 'acme',
  })
  for (const one of [{ authorization: headers.authorization }, { 'x-api-key': key }]) {
    const { statusCode, body } = await request(gateway.url, { headers: one })
    expect(statusCode).toBe(401)
    await body.dump()
  }
  const line = await gateway.waitFor('its line', () => gateway.accessLog().find(({ status }) => status === 200))
  expect(line).toMatchObject({ consumer: 'alice' })
})

test('where one credential is enough, the upstream gets none that nobody has checked', async () => {
  const forwarding = [{ name: 'jwt', config: { secret, forward_token: true } }, ...plugins.slice(1)]
  const gateway = await startGateway(configured([], 'any', forwarding), { workers: 1 })
  const forwarded = async (headers: Record<string, string>): Promise<object> => {
    const { statusCode, body } = await request(gateway.url, { headers })
    expect(statusCode).toBe(200)
    const { headers: sent } = (await body.json()) as Echo
    return { authorization: sent.authorization, key: sent['x-api-key'] }
  }
  const good = token({ sub: 'alice' })
  const none = { authorization: undefined, key: undefined }
  expect(await forwarded({ authorization: good, 'x-api-key': 'sk_wrong' })).toEqual({ ...none, authorization: good })
  expect(await forwarded({ authorization: `${good}x`, 'x-api-key': key })).toEqual(none)
  expect(await forwarded({ authorization: basic, 'x-api-key': key })).toEqual(none)
})
