import { request } from 'undici'
import { afterEach, expect, test } from 'vitest'
import { launchGateway, oneRoute, startGateway, stopGateways } from '../support/gateway.ts'
import { startUpstream, stopUpstreams } from '../support/upstream.ts'

afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

test('tells how the gateway is', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  expect((await request(`${gateway.adminUrl}/health/live`)).statusCode).toBe(200)
  expect((await request(`${gateway.adminUrl}/health/ready`)).statusCode).toBe(200)
  for (let i = 0; i < 5; i++) await (await request(gateway.url)).body.dump()
  const status = await gateway.status()
  expect(status).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    state: 'ready',
    pid: gateway.pid,
    configuration: { version: 1, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
    workers: [
      { state: 'active', restarts: 0, version: 1 },
      { state: 'active', restarts: 0, version: 1 },
    ],
    upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
  })
  const metrics = await gateway.metrics()
  expect(metrics).toMatch(/^sluice_requests_total\{[^}]*route="all"[^}]*\} 5$/m)
  expect(metrics).toMatch(/^sluice_config_version 1$/m)
  expect(metrics).toMatch(/^sluice_workers_missing 0$/m)
})

test('everything but health wants the token', async () => {
  const upstream = await startUpstream()
  const secret = 'a-token-of-the-operator'
  const admin = { address: '127.0.0.1:0', token: '${env:ADMIN_TOKEN}' }
  const gateway = await startGateway(oneRoute(upstream.address, { admin }), {
    workers: 1,
    env: { ADMIN_TOKEN: secret },
  })
  expect((await request(`${gateway.adminUrl}/health/ready`)).statusCode).toBe(200)
  expect((await request(`${gateway.adminUrl}/status`)).statusCode).toBe(401)
  expect((await request(`${gateway.adminUrl}/reload`, { method: 'POST' })).statusCode).toBe(401)
  const authorization = `Bearer ${secret}`
  const status = await request(`${gateway.adminUrl}/status`, { headers: { authorization } })
  expect(status.statusCode).toBe(200)
  expect(await status.body.text()).not.toContain(secret)
  expect(gateway.output()).not.toContain(secret)
})

test('moves with a reload, and can be switched off', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 1 })
  const before = gateway.adminUrl
  const lines = gateway.logs().length
  gateway.configure(oneRoute(upstream.address, { admin: { address: '127.0.0.2:0' } }))
  const { address } = await gateway.waitForLog('admin listening', {}, lines)
  expect((await request(`http://${address as string}/health/ready`)).statusCode).toBe(200)
  await expect(request(`${before}/health/ready`)).rejects.toThrow()
  gateway.configure(oneRoute(upstream.address, { admin: 'off' }))
  await gateway.waitForLog('configuration activated', { version: 3 })
  await expect(request(`http://${address as string}/health/ready`)).rejects.toThrow()
  expect((await request(gateway.url)).statusCode).toBe(200)
})

test('is not opened to everybody without a token', async () => {
  const gateway = launchGateway(oneRoute('127.0.0.1:1', { admin: { address: '0.0.0.0:0' } }))
  expect(await gateway.ended).toBe(1)
  expect(gateway.output()).toContain('token')
})
