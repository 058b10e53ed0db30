import { request } from 'undici'
import { afterEach, expect, test, vi } from 'vitest'
import { launchGateway, oneRoute, startGateway, stopGateways } from '../support/gateway.ts'
import { startLoad } from '../support/load.ts'
import { answer, startUpstream, stopUpstreams } from '../support/upstream.ts'
import { call } from '../support/wire.ts'

afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

/** A module of the operator; `body` runs whenever the plugin is created, in the primary too. */
function plugin(body: string): string {
  return `export default {
    name: 'own', summary: 'For tests.', class: 'traffic', priority: 1, schema: { parse: (input) => input },
    create() {
      const isWorker = process.env.SLUICE_WORKER === '1'
      ${body}
      return {}
    },
  }`
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('kill -9 of a worker under load costs only its own connections, and the worker returns', async () => {
  const upstream = await startUpstream(answer('one'))
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  const connections = 16
  const load = startLoad({ port: gateway.port, connections })
  await load.more(200)
  const [killed, other] = (await gateway.workerPids()) as [number, number]
  process.kill(killed, 'SIGKILL')
  await gateway.waitForLog('worker died', { worker: killed, reason: 'signal SIGKILL' })
  const status = await gateway.until(
    'whole again',
    ({ workers, state }) => state === 'ready' && workers[0]?.pid !== killed,
  )
  expect(status.workers.map(({ pid, restarts }) => [pid, restarts])).toEqual([
    [expect.any(Number), 1],
    [other, 0],
  ])
  expect(status.workers[0]?.version).toBe(1)
  await load.more(200)
  const result = await load.stop()
  expect(Object.keys(result.statuses)).toEqual(['200'])
  // Each connection is lost at most once; a new one may have been on its way to the dying worker.
  expect(result.reset + result.incomplete).toBeLessThanOrEqual(connections)
  expect(result.unaccepted).toBeLessThanOrEqual(connections)
  expect(result.refused).toBe(0)
})

test('a worker that returns after a reload serves the new configuration', async () => {
  const [one, two] = [await startUpstream(answer('one')), await startUpstream(answer('two'))]
  const gateway = await startGateway(oneRoute(one.address), { workers: 1 })
  await gateway.reload(oneRoute(two.address))
  const [killed] = (await gateway.workerPids()) as [number]
  process.kill(killed, 'SIGKILL')
  await gateway.until('whole again', ({ workers, state }) => state === 'ready' && workers[0]?.pid !== killed)
  const { body } = await request(gateway.url)
  expect(await body.text()).toBe('two')
})

test('readiness and metrics tell of a worker that is missing', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  for (let count = 0; count < 5; count++) await (await request(gateway.url)).body.dump()
  const [frozen] = (await gateway.workerPids()) as [number]
  expect(await gateway.metrics()).toMatch(/^sluice_workers_missing 0$/m)
  process.kill(frozen, 'SIGSTOP')
  // The answer comes without the worker's part.
  expect(await gateway.metrics()).toMatch(/^sluice_workers_missing 1$/m)
  process.kill(frozen, 'SIGKILL')
  await gateway.until('whole again', ({ workers, state }) => state === 'ready' && workers[0]?.pid !== frozen)
  const metrics = await gateway.metrics()
  expect(metrics).toMatch(/^sluice_worker_restarts_total 1$/m)
  // What the dead one had counted is not lost.
  expect(metrics).toMatch(/^sluice_requests_total\{route="all",[^}]*\} 5$/m)
})

test('workers that crash before they serve end the gateway with the reason', async () => {
  const gateway = launchGateway(oneRoute('127.0.0.1:1', { plugins: [{ use: './own.js' }] }), {
    workers: 2,
    files: { 'own.js': plugin('if (isWorker) process.exit(3)') },
  })
  expect(await gateway.ended).toBe(1)
  const last = await gateway.waitForLog('workers die before they can serve: exit code 3')
  expect(last.level).toBe('fatal')
  expect(gateway.output()).not.toContain('    at ')
})

test('a first configuration that workers refuse ends the gateway with the reason', async () => {
  const gateway = launchGateway(oneRoute('127.0.0.1:1', { plugins: [{ use: './own.js' }] }), {
    workers: 2,
    files: { 'own.js': plugin("if (isWorker) throw new Error('not in a worker')") },
  })
  expect(await gateway.ended).toBe(1)
  const fatal = gateway.logs().filter(({ level }) => level === 'fatal')
  expect(fatal.map(({ msg }) => msg)).toEqual([expect.stringContaining('not in a worker')])
})

test('an exception that nobody catches costs one worker, which says why', async () => {
  const upstream = await startUpstream(answer('one'))
  const body = `if (isWorker) setTimeout(() => { if (!globalThis.thrown) throw new Error('a bug in a timer') }, 500)`
  const gateway = await startGateway(oneRoute(upstream.address, { plugins: [{ use: './own.js' }] }), {
    workers: 1,
    files: { 'own.js': plugin(body) },
  })
  const died = await gateway.waitForLog('worker died')
  expect(died.reason).toBe('a bug in a timer (exit code 1)')
  expect(await gateway.waitForLog('the worker failed: a bug in a timer', { role: 'worker' })).toMatchObject({
    level: 'fatal',
  })
})

test('when the primary is killed its workers finish what they have and go, and the port is free', async () => {
  let finish = (): void => {}
  const upstream = await startUpstream((req, res) => {
    if (req.url === '/slow') finish = () => res.end('slow')
    else res.end('quick')
  })
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  const { port } = gateway
  const pids = await gateway.workerPids()
  const slow = call(port, 'GET /slow')
  await vi.waitUntil(() => upstream.requests === 1, { timeout: 10_000 })
  gateway.kill()
  await gateway.ended
  // Nobody accepts any more, yet the request under way is answered.
  await vi.waitUntil(async () => !(await gateway.accepts()), { timeout: 10_000 })
  finish()
  expect((await slow).body).toBe('slow')
  await vi.waitUntil(() => !pids.some(isRunning), { timeout: 10_000 })
  const next = await startGateway(oneRoute(upstream.address, { listeners: [{ address: `127.0.0.1:${port}` }] }), {
    workers: 1,
  })
  const { body } = await request(next.url)
  expect(await body.text()).toBe('quick')
})
