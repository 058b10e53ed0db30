import { type AddressInfo, connect, createServer } from 'node:net'
import { request } from 'undici'
import { afterEach, expect, test } from 'vitest'
import { Admin, type AdminSource } from './admin.ts'
import { claimAddresses } from './claim.ts'
import type { ReloadResult } from './reload.ts'

const result: ReloadResult = { outcome: 'activated', version: 2, hash: 'abc', faults: [], warnings: [] }

let admin: Admin | null = null

afterEach(() => admin?.close())

async function start(token: string | null = null, source: Partial<AdminSource> = {}): Promise<string> {
  const port = await freePort()
  admin = new Admin({
    state: () => 'ready',
    metrics: async () => 'sluice_up 1\n',
    status: async () => ({ version: '1.2.3' }),
    reload: async () => result,
    revocations: null as never,
    ...source,
  })
  const change = await admin.stage({ host: '127.0.0.1', port, token })
  if ('fault' in change) throw new Error(change.fault)
  change.commit()
  return `http://${admin.address}`
}

async function freePort(): Promise<number> {
  const claim = await claimAddresses([{ host: '127.0.0.1', port: 0 }])
  return 'ports' in claim ? (claim.ports[0] as number) : 0
}

/** Sends bytes as they are and resolves with everything that comes back. */
function raw(url: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text))
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
  })
}

const statusOf = (answer: string): number => Number(answer.slice(9, 12))

test('answers its endpoints', async () => {
  const url = await start()
  const live = await request(`${url}/health/live`)
  expect([live.statusCode, await live.body.json()]).toEqual([200, { status: 'live' }])
  const ready = await request(`${url}/health/ready?verbose`)
  expect([ready.statusCode, await ready.body.json()]).toEqual([200, { status: 'ready' }])
  const metrics = await request(`${url}/metrics`)
  expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(await metrics.body.text()).toBe('sluice_up 1\n')
  const status = await request(`${url}/status`)
  expect(await status.body.json()).toEqual({ version: '1.2.3' })
  const reload = await request(`${url}/reload`, { method: 'POST' })
  expect([reload.statusCode, await reload.body.json()]).toEqual([200, result])
})

test.each(['starting', 'degraded', 'draining'] as const)('is alive but not ready while %s', async (state) => {
  const url = await start(null, { state: () => state })
  expect((await request(`${url}/health/live`)).statusCode).toBe(200)
  const ready = await request(`${url}/health/ready`)
  expect([ready.statusCode, await ready.body.json()]).toEqual([503, { status: state }])
})

test.each([
  ['invalid', 422],
  ['refused', 409],
  ['unchanged', 200],
] as const)('a reload that ends as %s answers %i', async (outcome, status) => {
  const faults = ['sluice.yaml:1:1 routes: must be a list']
  const url = await start(null, { reload: async () => ({ ...result, outcome, faults }) })
  const answer = await request(`${url}/reload`, { method: 'POST' })
  expect([answer.statusCode, await answer.body.json()]).toEqual([status, { ...result, outcome, faults }])
})

test('wants the token for all but health', async () => {
  const url = await start('s3cret')
  for (const path of ['/metrics', '/status', '/nothing']) {
    for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic s3cret', 'Bearer s3cret2', 'Bearer s3cre']) {
      const answer = await request(url + path, authorization === '' ? {} : { headers: { authorization } })
      expect(answer.statusCode).toBe(401)
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="sluice admin"')
    }
  }
  expect((await request(`${url}/reload`, { method: 'POST' })).statusCode).toBe(401)
  expect((await request(`${url}/status`, { headers: { authorization: 'Bearer s3cret' } })).statusCode).toBe(200)
  expect(
    (await request(`${url}/status`, { headers: { authorization: 'bearer s3cret', host: 'gateway.example' } }))
      .statusCode,
  ).toBe(200)
  expect((await request(`${url}/health/ready`)).statusCode).toBe(200)
})

test('without a token, refuses foreign host names and web pages', async () => {
  const url = await start()
  const status = async (headers: Record<string, string>, path = '/status') =>
    (await request(url + path, { headers })).statusCode
  expect(await status({ host: 'rebound.example' })).toBe(403)
  expect(await status({ host: 'localhost.example:9080' })).toBe(403)
  expect(await status({ origin: 'http://127.0.0.1:3000' })).toBe(403)
  expect(await status({ 'sec-fetch-site': 'cross-site' })).toBe(403)
  expect(await status({ host: 'localhost:9080' })).toBe(200)
  expect(await status({ host: '[::1]:9080' })).toBe(200)
  expect(await status({ host: '10.0.0.7' })).toBe(200)
  expect(await status({ host: 'probe.example' }, '/health/live')).toBe(200)
})

test('knows its methods and paths', async () => {
  const url = await start()
  const post = await request(`${url}/status`, { method: 'POST' })
  expect([post.statusCode, post.headers.allow]).toEqual([405, 'GET, HEAD'])
  const get = await request(`${url}/reload`)
  expect([get.statusCode, get.headers.allow]).toEqual([405, 'POST'])
  const head = await request(`${url}/metrics`, { method: 'HEAD' })
  expect([head.statusCode, await head.body.text()]).toEqual([200, ''])
  for (const path of ['/', '/health', '/__proto__', '/constructor', '/metrics/']) {
    const unknown = await request(url + path)
    expect([unknown.statusCode, await unknown.body.json()]).toEqual([
      404,
      { error: 'not_found', message: 'There is no such endpoint.' },
    ])
  }
})

test('takes no more than it needs', async () => {
  const url = await start()
  expect(statusOf(await raw(url, `GET /status HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(9000)}\r\n\r\n`))).toBe(
    431,
  )
  const big = 'x'.repeat(70_000)
  expect(
    statusOf(await raw(url, `POST /reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 70000\r\n\r\n${big}`)),
  ).toBe(413)
  expect(
    statusOf(
      await raw(
        url,
        `POST /reload HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n11170\r\n${big}\r\n0\r\n\r\n`,
      ),
    ),
  ).toBe(413)
  expect((await request(`${url}/reload`, { method: 'POST', body: 'x'.repeat(1000) })).statusCode).toBe(200)
})

test('an endpoint that fails answers 500 and tells nothing', async () => {
  const url = await start(null, { metrics: () => Promise.reject(new Error('at /opt/sluice')) })
  const answer = await request(`${url}/metrics`)
  expect(answer.statusCode).toBe(500)
  expect(await answer.body.json()).toEqual({ error: 'internal_error', message: 'The endpoint failed.' })
})

test('moves to another address when told, not before', async () => {
  const before = await start()
  const port = await freePort()
  const change = await admin?.stage({ host: '127.0.0.1', port, token: null })
  if (change === undefined || 'fault' in change) throw new Error('not staged')
  expect((await request(`${before}/health/live`)).statusCode).toBe(200)
  change.commit()
  expect(admin?.address).toBe(`127.0.0.1:${port}`)
  expect((await request(`http://127.0.0.1:${port}/health/live`)).statusCode).toBe(200)
  await expect(request(`${before}/health/live`)).rejects.toThrow()
})

test('a discarded move changes nothing, a new token counts at once', async () => {
  const url = await start()
  const port = await freePort()
  const move = await admin?.stage({ host: '127.0.0.1', port, token: null })
  if (move === undefined || 'fault' in move) throw new Error('not staged')
  move.discard()
  await expect(request(`http://127.0.0.1:${port}/health/live`)).rejects.toThrow()
  const same = Number(new URL(url).port)
  const change = await admin?.stage({ host: '127.0.0.1', port: same, token: 'new' })
  if (change === undefined || 'fault' in change) throw new Error('not staged')
  change.commit()
  expect((await request(`${url}/status`)).statusCode).toBe(401)
})

test('says that its address is taken', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await start()
  expect(await admin?.stage({ host: '127.0.0.1', port, token: null })).toEqual({
    fault: `admin: 127.0.0.1:${port} is already in use`,
  })
  await new Promise((resolve) => server.close(resolve))
})
