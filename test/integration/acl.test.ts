import { createHmac } from 'node:crypto'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createKey, hashKey } from '../../src/core/api-key.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream()
})
afterEach(stopGateways)
afterAll(stopUpstreams)

const keys = { acme: createKey('sk', 'acme'), initech: createKey('sk', 'initech'), office: createKey('sk', 'office') }
const entries = Object.entries(keys).map(([id, key]) => ({ id, hash: hashKey(key), consumer: id }))
const keyAuth = { name: 'key-auth', config: { keys: entries } }
const consumers = [
  { id: 'acme', groups: ['partners'] },
  { id: 'initech', groups: ['partners', 'late'] },
  { id: 'office', roles: ['admin'] },
]

interface Answer {
  readonly status: number
  readonly challenge: unknown
  readonly body: Record<string, unknown>
}

async function ask(gateway: RunningGateway, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const { statusCode, headers: fields, body } = await request(gateway.url + path, { headers })
  return {
    status: statusCode,
    challenge: fields['www-authenticate'],
    body: (await body.json()) as Record<string, unknown>,
  }
}

test('lets in whom it should, and says why not in the log only', async () => {
  const acl = { name: 'acl', config: { allow: { groups: ['partners'], roles: ['admin'] }, deny: ['late'] } }
  const routes = [
    { name: 'orders', paths: ['/orders/*'], upstream: upstream.url, plugins: [keyAuth, acl] },
    {
      name: 'open',
      paths: ['/open/*'],
      upstream: upstream.url,
      auth: { anonymous: 'guest' },
      plugins: [
        keyAuth,
        { name: 'acl', config: { deny: { consumers: ['initech'] }, allow: ['partners', 'visitors'] } },
      ],
    },
  ]
  const config = { consumers: [...consumers, { id: 'guest', groups: ['visitors'] }], routes }
  const gateway = await startGateway(config, { workers: 2 })
  const as = (name: keyof typeof keys): Record<string, string> => ({ 'x-api-key': keys[name] })

  expect((await ask(gateway, '/orders/1', as('acme'))).status).toBe(200)
  expect((await ask(gateway, '/orders/1', as('office'))).status).toBe(200)
  const denied = await ask(gateway, '/orders/late', as('initech'))
  expect(denied).toMatchObject({ status: 403, body: { error: 'access_denied' } })
  expect(JSON.stringify(denied)).not.toMatch(/late|group/)
  expect((await ask(gateway, '/orders/1')).status).toBe(401)

  expect((await ask(gateway, '/open/1')).status).toBe(200)
  expect((await ask(gateway, '/open/1', as('acme'))).status).toBe(200)
  expect((await ask(gateway, '/open/1', as('office'))).status).toBe(403)
  expect((await ask(gateway, '/open/1', { 'x-api-key': 'bad' })).status).toBe(401)

  const line = await gateway.waitFor('its line', () => gateway.accessLog().find(({ path }) => path === '/orders/late'))
  expect(line).toMatchObject({ consumer: 'initech', failure: 'access_denied', failure_detail: 'group_denied' })

  // Groups are those of the configuration that is in force.
  const forgiven = config.consumers.map((consumer) => ({ ...consumer, groups: ['partners'] }))
  expect((await gateway.reload({ ...config, consumers: forgiven })).outcome).toBe('activated')
  expect((await ask(gateway, '/orders/1', as('initech'))).status).toBe(200)
})

test('tells who came with a token which scopes it lacks', async () => {
  const secret = 'a secret of thirty-two bytes or more'
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const token = (scope: string): string => {
    const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: 'alice', scope, exp: Date.now() / 1000 + 600 })}`
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
  }
  const plugins = [
    { name: 'jwt', config: { secret } },
    { name: 'acl', config: { scopes: ['orders:read', 'orders:write'] } },
  ]
  const gateway = await startGateway({ routes: [{ name: 'all', upstream: upstream.url, plugins }] }, { workers: 1 })
  const ask1 = (scope: string): Promise<Answer> => ask(gateway, '/', { authorization: `Bearer ${token(scope)}` })
  expect((await ask1('orders:write orders:read')).status).toBe(200)
  expect(await ask1('orders:read')).toMatchObject({
    status: 403,
    challenge: 'Bearer error="insufficient_scope", scope="orders:read orders:write"',
  })
})

test('is refused at check where nobody finds out who calls', async () => {
  const acl = { name: 'acl', config: { allow: ['partners'] } }
  const optional = { name: 'key-auth', config: { keys: entries, optional: true } }
  const route = (plugins: object[]): object => ({
    consumers,
    routes: [{ name: 'all', upstream: upstream.url, plugins }],
  })
  const gateway = await startGateway(route([keyAuth, acl]), { workers: 1 })
  for (const plugins of [[acl], [optional, acl]]) {
    const answer = await gateway.reload(route(plugins))
    expect(answer).toMatchObject({ outcome: 'invalid' })
    expect(answer.faults.join()).toContain('acl needs "consumer"')
  }
})
