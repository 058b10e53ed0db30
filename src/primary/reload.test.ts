import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Address } from '../config/address.ts'
import type { Config } from '../config/schema.ts'
import { Admin, type AdminSource } from './admin.ts'
import { Addresses, claimAddresses } from './claim.ts'
import { Link } from './link.ts'
import { type Loaded, packConfig, Reload } from './reload.ts'
import { Supervisor } from './supervisor.ts'

const script = fileURLToPath(new URL('../../test/support/tiny-worker.mjs', import.meta.url))

let folder: string
let supervisor: Supervisor
let reload: Reload
let lines: { level: string; msg: string }[]
let changes: number[]
let loads: number
let followed: readonly string[]
/** What the next load finds. */
let file: () => Loaded | Promise<Loaded>

/** A configuration as the tiny worker understands it. */
function config(content: object = {}): Config {
  return { listeners: [], admin: null, ...content } as unknown as Config
}

const found = (hash: string, content: object = {}): Loaded => ({
  config: config(content),
  hash,
  warnings: [],
  files: [],
})

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  lines = []
  changes = []
  loads = 0
  const log = pino(
    { formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => lines.push(JSON.parse(line)) },
  )
  const first = { version: 1, hash: 'one', config: config(), since: Date.now() }
  supervisor = new Supervisor(
    {
      script,
      env: process.env,
      log,
      link: new Link(),
      onHopeless: () => expect.unreachable('the supervisor gave up'),
      onReport: () => {},
      onGone: () => {},
    },
    packConfig(1, first.config),
  )
  supervisor.resize(2, 100)
  await supervisor.serving()
  reload = new Reload(
    {
      load: async () => {
        loads += 1
        return file()
      },
      addresses: new Addresses(),
      admin: new Admin({} as AdminSource),
      supervisor,
      log,
      onRead: (files) => (followed = files),
      onChange: ({ version }, previous) => changes.push(previous.version, version),
    },
    first,
  )
})

afterEach(async () => {
  await supervisor.drain(100)
  rmSync(folder, { recursive: true })
})

const versions = (): number[] => supervisor.status().map(({ version }) => version)
const logged = (level: string): string[] => lines.filter((line) => line.level === level).map(({ msg }) => msg)

test('puts another configuration in force on every worker', async () => {
  file = () => found('two')
  expect(await reload.request('admin')).toEqual({
    outcome: 'activated',
    version: 2,
    hash: 'two',
    faults: [],
    warnings: [],
  })
  expect(versions()).toEqual([2, 2])
  expect(reload.current).toMatchObject({ version: 2, hash: 'two' })
  expect(changes).toEqual([1, 2])
})

test('does nothing when nothing has changed', async () => {
  file = () => found('one')
  expect(await reload.request('file')).toEqual({
    outcome: 'unchanged',
    version: 1,
    hash: 'one',
    faults: [],
    warnings: [],
  })
  expect(versions()).toEqual([1, 1])
  expect(logged('info')).toEqual(['configuration unchanged'])
})

test('an invalid file changes nothing and every fault is logged', async () => {
  const faults = ['sluice.yaml:3:5 routes[0].paths: must be a list', 'sluice.yaml:9:1 rutes: unknown key']
  file = () => ({ faults, files: ['/etc/sluice.yaml', '/etc/tls.crt'] })
  expect(await reload.request('signal')).toEqual({ outcome: 'invalid', version: 1, hash: 'one', faults, warnings: [] })
  expect(logged('error')).toEqual([...faults, 'configuration rejected, the former one stays in force'])
  expect(versions()).toEqual([1, 1])
  expect(changes).toEqual([])
  // The missing file that is the fault may come.
  expect(followed).toEqual(['/etc/sluice.yaml', '/etc/tls.crt'])
})

test('a load that throws is a fault and no end', async () => {
  file = () => Promise.reject(new Error('the disk is gone'))
  expect(await reload.request('signal')).toMatchObject({ outcome: 'refused', faults: ['the disk is gone'] })
  file = () => found('two')
  expect(await reload.request('signal')).toMatchObject({ outcome: 'activated' })
})

test('what a worker refuses is in force nowhere', async () => {
  file = () => found('two', { on: 'prepare', do: 'refuse' })
  expect(await reload.request('admin')).toMatchObject({
    outcome: 'refused',
    version: 1,
    hash: 'one',
    faults: ['it does not compile'],
  })
  expect(versions()).toEqual([1, 1])
  file = () => found('three')
  expect(await reload.request('admin')).toMatchObject({ outcome: 'activated', hash: 'three' })
})

test('an admin port that came with what a worker refuses is closed again', async () => {
  const claim = await claimAddresses([{ host: '127.0.0.1', port: 0 }])
  const port = 'ports' in claim ? claim.ports[0] : 0
  const admin = { host: '127.0.0.1', port, token: null }
  file = () => found('two', { admin, on: 'prepare', do: 'refuse' })
  expect(await reload.request('admin')).toMatchObject({ outcome: 'refused' })
  expect(await claimAddresses([admin as Address])).toEqual({ ports: [port] })
})

test('tries once more when a worker died meanwhile', async () => {
  file = () => found('two', { on: 'prepare', do: 'crash', once: join(folder, 'once') })
  expect(await reload.request('admin')).toMatchObject({ outcome: 'activated', hash: 'two', faults: [] })
  await vi.waitUntil(() => supervisor.ready, { timeout: 15_000 })
  expect(new Set(versions())).toEqual(new Set([reload.current.version]))
})

test('gives up on a configuration that kills workers', async () => {
  file = () => found('two', { on: 'prepare', do: 'crash' })
  expect(await reload.request('admin')).toMatchObject({ outcome: 'refused', faults: ['exit code 9'] })
  await vi.waitUntil(() => supervisor.ready, { timeout: 15_000 })
  expect(versions()).toEqual([1, 1])
})

test('an address that is taken changes nothing', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  file = () => found('two', { listeners: [{ host: '127.0.0.1', port }] })
  expect(await reload.request('admin')).toMatchObject({
    outcome: 'refused',
    faults: [`127.0.0.1:${port} is already in use`],
  })
  file = () => found('three', { admin: { host: '127.0.0.1', port, token: null } })
  expect(await reload.request('admin')).toMatchObject({
    outcome: 'refused',
    faults: [`127.0.0.1:${port} is already in use`],
  })
  await new Promise((resolve) => server.close(resolve))
  expect(versions()).toEqual([1, 1])
})

test('requests during a reload lead to exactly one further', async () => {
  let proceed: (loaded: Loaded) => void = () => {}
  file = () => new Promise((resolve) => (proceed = resolve))
  const first = reload.request('file')
  await vi.waitUntil(() => loads === 1)
  const later = [reload.request('signal'), reload.request('admin'), reload.request('file')]
  file = () => found('three')
  proceed(found('two'))
  expect(await first).toMatchObject({ version: 2, hash: 'two' })
  expect(await Promise.all(later)).toMatchObject([{ hash: 'three' }, { hash: 'three' }, { hash: 'three' }])
  expect(loads).toBe(2)
  expect(changes).toEqual([1, 2, 2, 3])
})

test('refuses when it is closed', async () => {
  file = () => found('two')
  reload.close()
  expect(await reload.request('admin')).toMatchObject({ outcome: 'refused', faults: ['the gateway is shutting down'] })
  expect(loads).toBe(0)
})
