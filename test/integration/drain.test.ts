import { request } from 'undici'
import { afterEach, expect, test, vi } from 'vitest'
import { oneRoute, startGateway, stopGateways } from '../support/gateway.ts'
import { startLoad } from '../support/load.ts'
import { answer, startUpstream, stopUpstreams } from '../support/upstream.ts'
import { call } from '../support/wire.ts'

afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

test.each(['SIGTERM', 'SIGINT'] as const)('%s under load: no request that was accepted fails', async (signal) => {
  const upstream = await startUpstream(answer('one'))
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  const load = startLoad({ port: gateway.port, connections: 16 })
  await load.more(300)
  gateway.signal(signal)
  expect(await gateway.ended).toBe(0)
  const result = await load.stop()
  expect(Object.keys(result.statuses)).toEqual(['200'])
  expect(result).toMatchObject({ reset: 0, incomplete: 0 })
  // Every connection was told to go before it was closed.
  expect(result.lastAnswers).toBeGreaterThanOrEqual(16)
  expect(gateway.logs().map(({ msg }) => msg)).toEqual(expect.arrayContaining(['draining', 'stopped']))
})

test('what is in flight is finished before the exit', async () => {
  let finish = (): void => {}
  const upstream = await startUpstream((_req, res) => {
    res.write('begun ')
    finish = () => res.end('and finished')
  })
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 1 })
  const response = call(gateway.port, 'GET /')
  await vi.waitUntil(() => upstream.requests === 1, { timeout: 10_000 })
  gateway.signal('SIGTERM')
  await gateway.waitForLog('draining')
  await vi.waitUntil(async () => !(await gateway.accepts()), { timeout: 10_000 })
  expect((await request(`${gateway.adminUrl}/health/ready`)).statusCode).toBe(503)
  expect((await request(`${gateway.adminUrl}/health/live`)).statusCode).toBe(200)
  expect(await gateway.postReload()).toMatchObject({ status: 409, faults: ['the gateway is shutting down'] })
  finish()
  expect(await response).toMatchObject({ status: 200, body: 'begun and finished', complete: true })
  expect(await gateway.ended).toBe(0)
})

test('what is not finished within shutdown_timeout is cut, and the exit code is still 0', async () => {
  const upstream = await startUpstream((_req, res) => void res.write('begun '))
  const gateway = await startGateway(oneRoute(upstream.address, { shutdown_timeout: '1s' }), { workers: 1 })
  const response = call(gateway.port, 'GET /')
  await vi.waitUntil(() => upstream.requests === 1, { timeout: 10_000 })
  expect(await gateway.stop()).toBe(0)
  expect(await response).toMatchObject({ status: 200, body: 'begun ', complete: false })
})

test('shutdown_delay: not ready any more, and still serving', async () => {
  const upstream = await startUpstream(answer('one'))
  const gateway = await startGateway(oneRoute(upstream.address, { shutdown_delay: '60s' }), { workers: 1 })
  gateway.signal('SIGTERM')
  await gateway.waitForLog('draining')
  expect((await request(`${gateway.adminUrl}/health/ready`)).statusCode).toBe(503)
  const { statusCode, body } = await request(gateway.url)
  expect([statusCode, await body.text()]).toEqual([200, 'one'])
  gateway.signal('SIGTERM')
  expect(await gateway.ended).toBe(1)
})

test('a second signal ends at once', async () => {
  const upstream = await startUpstream((_req, res) => void res.write('begun '))
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  const response = call(gateway.port, 'GET /')
  await vi.waitUntil(() => upstream.requests === 1, { timeout: 10_000 })
  gateway.signal('SIGTERM')
  await gateway.waitForLog('draining')
  gateway.signal('SIGINT')
  expect(await gateway.ended).toBe(1)
  expect((await response).complete).toBe(false)
})
