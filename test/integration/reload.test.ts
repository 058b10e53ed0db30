import { existsSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { request } from 'undici'
import { afterEach, expect, test, vi } from 'vitest'
import { oneRoute, type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { startLoad } from '../support/load.ts'
import { answer, startUpstream, stopUpstreams } from '../support/upstream.ts'
import { Wire } from '../support/wire.ts'

afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

async function get(gateway: RunningGateway, path = '/'): Promise<string> {
  const { statusCode, body } = await request(gateway.url + path)
  return `${statusCode} ${await body.text()}`
}

/** One more request on this connection. */
async function ask(client: Wire): Promise<string | undefined> {
  client.request('GET /')
  return (await client.response())?.body
}

test('a route that is changed takes effect by SIGHUP, by the file alone, and by POST /reload', async () => {
  const [one, two] = [await startUpstream(answer('one')), await startUpstream(answer('two'))]
  const gateway = await startGateway(oneRoute(one.address), { workers: 2 })
  expect(await get(gateway)).toBe('200 one')

  gateway.configure(oneRoute(two.address))
  await gateway.waitForLog('configuration activated', { trigger: 'file', version: 2 })
  expect(await get(gateway)).toBe('200 two')

  const reload = await gateway.reload(oneRoute(one.address))
  expect(reload).toMatchObject({ status: 200, faults: [] })
  expect(await get(gateway)).toBe('200 one')

  const before = gateway.logs().length
  gateway.configure(oneRoute(two.address))
  gateway.signal('SIGHUP')
  await gateway.waitForLog('configuration activated', {}, before)
  expect(await get(gateway)).toBe('200 two')
  const status = await gateway.until('everybody on the last version', ({ workers, configuration }) =>
    workers.every(({ version }) => version === configuration.version),
  )
  expect(status.workers.map(({ restarts }) => restarts)).toEqual([0, 0])
})

test('the same configuration again is a no-op, and says so', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 1 })
  const { configuration } = await gateway.status()
  expect(await gateway.postReload()).toMatchObject({
    status: 200,
    outcome: 'unchanged',
    version: 1,
    hash: configuration.hash,
  })
  await gateway.waitForLog('configuration unchanged', { trigger: 'admin' })
  // Other text, same meaning.
  const free = { listeners: [{ address: '127.0.0.1:0' }], admin: '127.0.0.1:0' }
  const text = `${JSON.stringify(oneRoute(upstream.address, free), null, 2)}\n# nothing\n`
  expect((await gateway.reload(text)).outcome).toBe('unchanged')
})

test('an invalid file changes nothing, and every fault is logged and answered with its line', async () => {
  const upstream = await startUpstream(answer('one'))
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 1 })
  const before = gateway.logs().length
  const result = await gateway.reload(`
routes:
  - name: all
    pahts: ["/*"]
    upstream: nowhere
timeouts: { connect: soon }
`)
  expect(result).toMatchObject({ status: 422, outcome: 'invalid', version: 1 })
  expect(result.faults.length).toBeGreaterThanOrEqual(3)
  for (const [line, word] of [
    [4, 'pahts'],
    [5, 'nowhere'],
    [6, 'soon'],
  ] as const) {
    expect(result.faults.join('\n')).toMatch(new RegExp(`sluice\\.yaml:${line}:\\d+ .*${word}`))
  }
  await gateway.waitForLog('configuration rejected, the former one stays in force', { trigger: 'admin' }, before)
  const logged = gateway
    .logs()
    .slice(before)
    .map(({ msg }) => msg)
  for (const fault of result.faults) expect(logged).toContain(fault)
  expect(await get(gateway)).toBe('200 one')
  expect((await gateway.status()).configuration.version).toBe(1)
})

test('reload after reload under full load: no request fails, no connection is cut', async () => {
  const [one, two] = [await startUpstream(answer('one')), await startUpstream(answer('two'))]
  const gateway = await startGateway(oneRoute(one.address), { workers: 2 })
  const load = startLoad({ port: gateway.port, connections: 12 })
  await load.more(200)
  for (let round = 1; round <= 10; round++) {
    const result = await gateway.reload(oneRoute(round % 2 === 0 ? one.address : two.address))
    expect(result).toMatchObject({ status: 200, faults: [] })
    await load.more(100)
  }
  const result = await load.stop()
  expect(Object.keys(result.statuses)).toEqual(['200'])
  expect(Object.keys(result.bodies).sort()).toEqual(['one', 'two'])
  expect(result).toMatchObject({ refused: 0, reset: 0, unaccepted: 0, incomplete: 0, lastAnswers: 0 })
})

test('after the answer to POST /reload nobody gets the old configuration any more', async () => {
  const [one, two] = [await startUpstream(answer('one')), await startUpstream(answer('two'))]
  const gateway = await startGateway(oneRoute(one.address), { workers: 2 })
  const clients = await Promise.all(Array.from({ length: 8 }, () => Wire.open(gateway.port)))
  for (const client of clients) expect(await ask(client)).toBe('one')
  await gateway.reload(oneRoute(two.address))
  for (const client of clients) expect(await ask(client)).toBe('two')
  for (const client of clients) client.close()
})

test('a long request ends on the configuration that it began with', async () => {
  let finish = (): void => {}
  const slow = await startUpstream((_req, res) => {
    res.write('begun ')
    finish = () => res.end('and finished')
  })
  const two = await startUpstream(answer('two'))
  const gateway = await startGateway(oneRoute(slow.address), { workers: 1 })
  const client = await Wire.open(gateway.port)
  const answered = ask(client)
  await vi.waitUntil(() => slow.requests === 1, { timeout: 10_000 })
  expect((await gateway.reload(oneRoute(two.address))).outcome).toBe('activated')
  expect(await get(gateway)).toBe('200 two')
  finish()
  expect(await answered).toBe('begun and finished')
  // The connection lives on, and its next request meets the new configuration.
  expect(await ask(client)).toBe('two')
  client.close()
})

test('listeners come and go', async () => {
  const upstream = await startUpstream(answer('one'))
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2 })
  const two = { listeners: [{ address: '127.0.0.1:0' }, { address: '127.0.0.1:0' }] }
  expect((await gateway.reload(oneRoute(upstream.address, two))).outcome).toBe('activated')
  const [first, second] = await gateway.waitFor('the second listener', () =>
    gateway.addresses.length === 2 ? (gateway.addresses as [string, string]) : undefined,
  )
  const kept = await Wire.open(Number(second.split(':')[1]))
  expect(await ask(kept)).toBe('one')
  expect(await get(gateway)).toBe('200 one')
  expect(second).not.toBe(first)

  expect((await gateway.reload(oneRoute(upstream.address))).outcome).toBe('activated')
  expect(await get(gateway)).toBe('200 one')
  await expect(Wire.open(Number(second.split(':')[1]))).rejects.toThrow('ECONNREFUSED')
  // Nobody new gets in; who was connected stays.
  expect(await ask(kept)).toBe('one')
  kept.close()
})

test('an address that is taken refuses the whole reload', async () => {
  const upstream = await startUpstream(answer('one'))
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 1 })
  const taken = { listeners: [{ address: '127.0.0.1:0' }, { address: upstream.address }] }
  expect(await gateway.reload(oneRoute(upstream.address, taken))).toMatchObject({
    status: 409,
    outcome: 'refused',
    faults: [`${upstream.address} is already in use`],
  })
  expect(await get(gateway)).toBe('200 one')
})

test('what only workers can find out refuses the whole reload', async () => {
  const upstream = await startUpstream(answer('one'))
  const plugin = `export default {
    name: 'picky', summary: 'Fails in workers.', class: 'traffic', priority: 1, schema: { parse: (input) => input },
    create() {
      if (process.env.SLUICE_WORKER === '1') throw new Error('this worker does not like it')
      return {}
    },
  }`
  const gateway = await startGateway(oneRoute(upstream.address), { workers: 2, files: { 'picky.js': plugin } })
  const result = await gateway.reload(oneRoute(upstream.address, { plugins: [{ use: './picky.js' }] }))
  expect(result).toMatchObject({ status: 409, outcome: 'refused', version: 1 })
  expect(result.faults.join()).toContain('this worker does not like it')
  expect(await get(gateway)).toBe('200 one')
  const { workers } = await gateway.status()
  expect(workers.map(({ restarts, version }) => [restarts, version])).toEqual([
    [0, 1],
    [0, 1],
  ])
})

test('more workers, then fewer, without a failed request', async () => {
  const upstream = await startUpstream(answer('one'))
  const gateway = await startGateway(oneRoute(upstream.address, { workers: 1 }))
  const load = startLoad({ port: gateway.port, connections: 8 })
  await load.more(50)
  await gateway.reload(oneRoute(upstream.address, { workers: 3 }))
  await gateway.until('three workers', ({ workers, state }) => workers.length === 3 && state === 'ready')
  await load.more(100)
  await gateway.reload(oneRoute(upstream.address, { workers: 1 }))
  expect((await gateway.status()).workers).toHaveLength(1)
  await load.more(100)
  const result = await load.stop()
  expect(Object.keys(result.statuses)).toEqual(['200'])
  expect(result).toMatchObject({ refused: 0, reset: 0, incomplete: 0 })
  // Those that left have reported everything that they had counted.
  const counted = /^sluice_requests_total\{route="all",[^}]*status="200"[^}]*\} (\d+)$/m
  await vi.waitUntil(async () => Number(counted.exec(await gateway.metrics())?.[1]) === result.statuses[200], {
    timeout: 10_000,
  })
})

test('a file that the configuration refers to is a reason to reload, a link that is swapped too', async () => {
  const upstream = await startUpstream()
  const header = {
    plugins: [{ name: 'response-transformer', config: { add: { headers: ['x-secret: ${file:secret.txt}'] } } }],
  }
  const gateway = await startGateway(oneRoute(upstream.address, header), {
    workers: 1,
    files: { 'secret.txt': 'one', 'v2/secret.txt': 'two' },
  })
  const secret = async (): Promise<unknown> => {
    const { headers, body } = await request(gateway.url)
    await body.dump()
    return headers['x-secret']
  }
  expect(await secret()).toBe('one')
  symlinkSync(join(gateway.folder, 'v2/secret.txt'), join(gateway.folder, 'tmp'))
  renameSync(join(gateway.folder, 'tmp'), join(gateway.folder, 'secret.txt'))
  await gateway.waitForLog('configuration activated', { trigger: 'file', version: 2 })
  expect(await secret()).toBe('two')
  const before = gateway.logs().length
  writeFileSync(join(gateway.folder, 'v2/secret.txt'), 'three')
  await gateway.waitForLog('configuration activated', { trigger: 'file' }, before)
  expect(await secret()).toBe('three')
})

test('the access log moves with a reload, and goes on in a new file after SIGUSR2', async () => {
  const upstream = await startUpstream()
  const gateway = await startGateway(oneRoute(upstream.address, { access_log: 'one.log' }), { workers: 2 })
  const paths = (name: string): unknown[] => {
    const file = join(gateway.folder, name)
    const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
    return text.split('\n').flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { path: string }).path]))
  }
  const logged = (name: string, path: string): Promise<boolean> =>
    vi.waitUntil(() => paths(name).includes(path), { timeout: 10_000 })

  await get(gateway, '/first')
  await logged('one.log', '/first')
  await gateway.reload(oneRoute(upstream.address, { access_log: 'two.log' }))
  await get(gateway, '/second')
  await logged('two.log', '/second')
  expect(paths('one.log')).toEqual(['/first'])

  renameSync(join(gateway.folder, 'two.log'), join(gateway.folder, 'two.log.1'))
  gateway.signal('SIGUSR2')
  await vi.waitUntil(() => existsSync(join(gateway.folder, 'two.log')), { timeout: 10_000 })
  await vi.waitUntil(
    async () => {
      await get(gateway, '/third')
      return paths('two.log').includes('/third')
    },
    { timeout: 10_000 },
  )
})
