import { request } from 'undici'
import { afterEach, expect, test } from 'vitest'
import { launchGateway, oneRoute, startGateway, stopGateways } from '../support/gateway.ts'
import { type Echo, startUpstream, stopUpstreams } from '../support/upstream.ts'

afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

test('from a file to an answer of the upstream', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  const { statusCode, body } = await request(`${gateway.url}/users/1?full=1`, { method: 'POST', body: 'hello' })
  expect(statusCode).toBe(200)
  expect((await body.json()) as Echo).toMatchObject({ method: 'POST', url: '/users/1?full=1', body: 'hello' })
  expect(await gateway.waitForLog('ready')).toMatchObject({
    level: 'info',
    role: 'primary',
    version: 1,
    workers: 2,
    routes: 1,
  })
  expect(await gateway.stop()).toBe(0)
})

test('--workers goes before the file', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address, { workers: 3 }), { workers: 1 })
  expect((await gateway.status()).workers).toHaveLength(1)
})

test('16 kB of header fields work', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 1 })
  const { statusCode } = await request(gateway.url, { headers: { 'x-long': 'x'.repeat(15_000) } })
  expect(statusCode).toBe(200)
})

test('a second gateway on the same port ends with one clear line', async () => {
  const upstream = await startUpstream()
  const first = await startGateway(oneRoute(upstream.address), { workers: 2 })
  const address = first.addresses[0] as string
  const second = launchGateway(oneRoute(upstream.address, { listeners: [{ address }] }))
  expect(await second.ended).toBe(1)
  await second.waitForLog(`${address} is already in use`, { level: 'fatal' })
  expect(second.output().trim().split('\n')).toHaveLength(1)
  expect((await request(first.url)).statusCode).toBe(200)
  const third = launchGateway(oneRoute(upstream.address, { admin: { address: `127.0.0.1:${first.adminPort}` } }))
  expect(await third.ended).toBe(1)
  await third.waitForLog(`127.0.0.1:${first.adminPort} is already in use`, { level: 'fatal' })
})

test('a file with faults names all of them and starts nothing', async () => {
  const gateway = launchGateway('routes:\n  - name: all\n    methods: GET GET\n    upstream: nowhere\nworkers: none\n')
  expect(await gateway.ended).toBe(1)
  const fatal = await gateway.waitForLog('the configuration is not valid, nothing was started')
  expect(fatal.level).toBe('fatal')
  const faults = gateway
    .logs()
    .filter(({ level }) => level === 'error')
    .map(({ msg }) => msg)
  expect(faults).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/sluice\.yaml:4:\d+ .*nowhere/),
      expect.stringMatching(/sluice\.yaml:5:\d+ workers: /),
    ]),
  )
})

test('a custom plugin that the file names must be there', async () => {
  const gateway = launchGateway('plugins: [{ use: ./absent.js }]\nroutes: []\n')
  expect(await gateway.ended).toBe(1)
  expect(gateway.logs().map(({ msg }) => msg)).toEqual([
    expect.stringMatching(/sluice\.yaml:1:\d+ plugins\[0\]\.use: .*absent\.js/),
    'the configuration is not valid, nothing was started',
  ])
})

test('the environment sets the level of the log', async () => {
  const gateway = launchGateway('routes: []\nworkers: none\n', { env: { SLUICE_LOG_LEVEL: 'fatal' } })
  expect(await gateway.ended).toBe(1)
  expect(gateway.logs().map(({ level }) => level)).toEqual(['fatal'])
})
