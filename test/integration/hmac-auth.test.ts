import { createHash, createHmac } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type Echo, startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'
import { call } from '../support/wire.ts'

const secret = 'a secret of thirty-two bytes or more'

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream()
})
afterEach(stopGateways)
afterAll(stopUpstreams)

function configured(keys: object[], more: object = {}): object {
  const plugins = [{ name: 'hmac-auth', config: { keys, ...more } }]
  return { routes: [{ name: 'all', upstream: upstream.url, strip_path: '/api', paths: ['/api/*'], plugins }] }
}

const acme = { id: 'k1', consumer: 'acme', secret }

/** The fields of a signature, made as a client does: by the letter of RFC 9421, not by our code. */
function signature(components: readonly (readonly [string, string])[], keyid = 'k1'): string[] {
  const list = components.map(([name]) => `"${name}"`).join(' ')
  const input = `(${list});created=${Math.floor(Date.now() / 1000)};keyid="${keyid}"`
  const base = [...components.map(([name, value]) => `"${name}": ${value}`), `"@signature-params": ${input}`].join('\n')
  const value = createHmac('sha256', secret).update(base).digest('base64')
  return [`Signature-Input: sig=${input}`, `Signature: sig=:${value}:`]
}

function signedGet(gateway: RunningGateway, path: string, query: string): string[] {
  return signature([
    ['@method', 'GET'],
    ['@authority', `localhost:${gateway.port}`],
    ['@path', path],
    ['@query', `?${query}`],
  ])
}

async function statusOf(
  gateway: RunningGateway,
  line: string,
  fields: readonly string[],
  body = '',
): Promise<{ status: number; headers: Echo['headers']; url: string }> {
  // The client writes the host in another case: what is signed is the lower-case form.
  const answer = await call(gateway.port, line, [`Host: LOCALHOST:${gateway.port}`, ...fields], body)
  const echo = answer.status === 200 ? (JSON.parse(answer.body) as Echo) : { headers: {}, url: '' }
  return { status: answer.status, headers: echo.headers, url: echo.url }
}

test('what is signed arrives, and nothing else', async () => {
  const gateway = await startGateway(configured([acme]), { workers: 2 })
  const fields = signedGet(gateway, '/api/orders', 'a=b&c=%20d')
  const { status, headers, url } = await statusOf(gateway, 'GET /api/orders?a=b&c=%20d', fields)
  expect(status).toBe(200)
  expect(url).toBe('/orders?a=b&c=%20d')
  expect(headers).toMatchObject({ 'x-consumer-id': 'acme' })
  expect(headers).not.toHaveProperty('signature')
  expect(headers).not.toHaveProperty('signature-input')

  for (const line of [
    'GET /api/orders?a=b&c=%20e',
    'GET /api/orders?a=b&c=+d',
    'GET /api/orders',
    'GET /api/orders/1?a=b&c=%20d',
    'POST /api/orders?a=b&c=%20d',
  ])
    expect((await statusOf(gateway, line, fields)).status, line).toBe(401)
  expect((await statusOf(gateway, 'GET /api/orders?a=b&c=%20d', fields.slice(0, 1))).status).toBe(401)
  expect((await statusOf(gateway, 'GET /api/orders?a=b&c=%20d', [])).status).toBe(401)
})

test('a path that can be read in two ways is good in one of them only', async () => {
  const gateway = await startGateway(configured([acme]), { workers: 1 })
  const plain = signedGet(gateway, '/api/b', '')
  expect((await statusOf(gateway, 'GET /api/b', plain)).status).toBe(200)
  // What was signed is what arrives, however it is written on the way.
  expect((await statusOf(gateway, 'GET /api/a/../b', plain)).url).toBe('/b')
  const written = signedGet(gateway, '/api/a/../b', '')
  expect((await statusOf(gateway, 'GET /api/a/../b', written)).status).toBe(401)
  expect((await statusOf(gateway, 'GET /api/b', written)).status).toBe(401)
})

test('a body needs a digest that is signed', async () => {
  const gateway = await startGateway(configured([acme]), { workers: 1 })
  const body = '{"hello": "world"}'
  const digest = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
  const components = [
    ['@method', 'POST'],
    ['@target-uri', `http://localhost:${gateway.port}/api/orders`],
  ] as const
  const length = `Content-Length: ${body.length}`
  const without = await statusOf(gateway, 'POST /api/orders', [length, ...signature(components)], body)
  expect(without.status).toBe(401)
  const fields = [`Content-Digest: ${digest}`, ...signature([...components, ['content-digest', digest]])]
  const good = await statusOf(gateway, 'POST /api/orders', [length, ...fields], body)
  expect(good.status).toBe(200)
  expect(good.headers).toMatchObject({ 'content-digest': digest })
  const chunked = ['Transfer-Encoding: chunked', ...signature(components)]
  expect((await statusOf(gateway, 'POST /api/orders', chunked, '2\r\n{}\r\n0\r\n\r\n')).status).toBe(401)
  await gateway.waitFor('its line', () =>
    gateway.accessLog().find((line) => line['failure_detail'] === 'component_not_covered'),
  )
})

test('a key that is taken away is good no more', async () => {
  const gateway = await startGateway(configured([acme, { ...acme, id: 'k2' }]), { workers: 2 })
  const fields = signedGet(gateway, '/api/b', '')
  expect((await statusOf(gateway, 'GET /api/b', fields)).status).toBe(200)
  await gateway.reload(configured([{ ...acme, id: 'k2' }]))
  for (let i = 0; i < 8; i++) expect((await statusOf(gateway, 'GET /api/b', fields)).status).toBe(401)
})
