import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Packr } from 'msgpackr'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Bounds } from './bounds.ts'
import { Link } from './link.ts'
import { type Packed, Supervisor, type SupervisorSettings } from './supervisor.ts'

const script = fileURLToPath(new URL('../../test/support/tiny-worker.mjs', import.meta.url))
const packr = new Packr({ structuredClone: true, moreTypes: true })

let supervisor: Supervisor | null = null
let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-'))
})

afterEach(async () => {
  const pids = supervisor?.status().map(({ pid }) => pid) ?? []
  supervisor?.kill()
  supervisor = null
  await until(() => !pids.some(isRunning))
  rmSync(folder, { recursive: true })
})

function snapshot(version: number, content: object = {}): Packed {
  return { version, bytes: packr.pack(content) }
}

function start(first: Packed, bounds: Partial<Bounds> = {}, more: Partial<SupervisorSettings> = {}): Supervisor {
  supervisor = new Supervisor(
    {
      script,
      env: process.env,
      log: pino({ level: 'silent' }),
      link: new Link(),
      onHopeless: () => expect.unreachable('the supervisor gave up'),
      onReport: () => {},
      onGone: () => {},
      bounds: { backoff: 20, longest: 50, slack: 500, ...bounds },
      ...more,
    },
    first,
  )
  return supervisor
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Generous: the machine may be busy. */
const until = (condition: () => boolean): Promise<boolean> => vi.waitUntil(condition, { timeout: 15_000, interval: 10 })

const versions = (): number[] => supervisor?.status().map(({ version }) => version) ?? []
const pids = (): number[] => supervisor?.status().map(({ pid }) => pid) ?? []

test('brings every worker to the first snapshot', async () => {
  const workers = start(snapshot(1))
  workers.resize(2, 100)
  expect(workers.ready).toBe(false)
  await workers.serving()
  expect(workers.ready).toBe(true)
  expect(workers.status()).toEqual([
    { pid: expect.any(Number), state: 'active', restarts: 0, version: 1, uptime: expect.any(Number) },
    { pid: expect.any(Number), state: 'active', restarts: 0, version: 1, uptime: expect.any(Number) },
  ])
})

test('replaces a worker that was killed, with the snapshot that is current by then', async () => {
  const workers = start(snapshot(1))
  workers.resize(2, 100)
  await workers.serving()
  const staging = await workers.stage(snapshot(2))
  if (staging.outcome !== 'staged') throw new Error('not staged')
  await staging.commit()
  const [killed, other] = pids() as [number, number]
  process.kill(killed, 'SIGKILL')
  await until(() => workers.ready && pids()[0] !== killed)
  expect(versions()).toEqual([2, 2])
  expect(pids()[1]).toBe(other)
  expect(workers.status().map(({ restarts }) => restarts)).toEqual([1, 0])
})

test('a staged snapshot is served by nobody before the commit, and by all after it', async () => {
  const workers = start(snapshot(1))
  workers.resize(2, 100)
  await workers.serving()
  const staging = await workers.stage(snapshot(2))
  expect(versions()).toEqual([1, 1])
  if (staging.outcome !== 'staged') throw new Error('not staged')
  await staging.commit()
  expect(versions()).toEqual([2, 2])
  expect(workers.ready).toBe(true)
})

test('one refusal keeps everybody on the old snapshot, and the next one goes through', async () => {
  const workers = start(snapshot(1))
  workers.resize(3, 100)
  await workers.serving()
  const before = pids()
  const refused = await workers.stage(snapshot(2, { on: 'prepare', do: 'refuse' }))
  expect(refused).toEqual({ outcome: 'refused', reasons: ['it does not compile'] })
  expect(versions()).toEqual([1, 1, 1])
  const staging = await workers.stage(snapshot(3))
  if (staging.outcome !== 'staged') throw new Error('not staged')
  await staging.commit()
  expect(versions()).toEqual([3, 3, 3])
  expect(pids()).toEqual(before)
})

test('who has compiled what others refuse is told to forget it', async () => {
  const reports: unknown[] = []
  const workers = start(snapshot(1), {}, { onReport: ({ metrics }) => reports.push(JSON.parse(String(metrics))) })
  workers.resize(3, 100)
  await workers.serving()
  const refused = await workers.stage(snapshot(2, { on: 'prepare', do: 'refuse', butFirst: join(folder, 'first') }))
  expect(refused.outcome).toBe('refused')
  await workers.collect(10_000)
  expect(reports).toEqual(Array(3).fill({ active: {}, candidate: null }))
})

test('a snapshot that kills is tried by one worker only', async () => {
  const workers = start(snapshot(1))
  workers.resize(3, 100)
  await workers.serving()
  const before = pids()
  const died = await workers.stage(snapshot(2, { on: 'prepare', do: 'crash' }))
  expect(died).toEqual({ outcome: 'died', reasons: ['exit code 9'] })
  await until(() => workers.ready)
  expect(pids().filter((pid) => before.includes(pid))).toHaveLength(2)
  expect(versions()).toEqual([1, 1, 1])
})

test('a worker that does not answer a snapshot in time is killed and replaced', async () => {
  const workers = start(snapshot(1), { prepare: 1000 })
  workers.resize(2, 100)
  await workers.serving()
  const [deaf] = pids()
  const died = await workers.stage(snapshot(2, { on: 'prepare', do: 'hang' }))
  expect(died).toEqual({ outcome: 'died', reasons: ['did not answer a snapshot within 1 s'] })
  await until(() => workers.ready)
  expect(pids()).not.toContain(deaf)
})

test('a worker that is born during a reload ends up on the new snapshot', async () => {
  const workers = start(snapshot(1))
  workers.resize(2, 100)
  await workers.serving()
  const staging = await workers.stage(snapshot(2))
  if (staging.outcome !== 'staged') throw new Error('not staged')
  const [victim] = pids() as [number]
  process.kill(victim, 'SIGKILL')
  await until(() => pids()[0] !== victim && workers.status()[0]?.state === 'active')
  expect(versions()).toEqual([1, 1])
  await staging.commit()
  expect(versions()).toEqual([2, 2])
})

test('a worker that fails to swap is replaced by one that serves the new snapshot', async () => {
  const workers = start(snapshot(1))
  workers.resize(2, 100)
  await workers.serving()
  const staging = await workers.stage(snapshot(2, { on: 'activate', do: 'refuse', once: join(folder, 'once') }))
  if (staging.outcome !== 'staged') throw new Error('not staged')
  await staging.commit()
  await until(() => workers.ready)
  expect(versions()).toEqual([2, 2])
  expect(workers.restarts).toBe(1)
})

test('gives up when workers die before they can serve', async () => {
  let reason = ''
  const workers = start(
    snapshot(1),
    {},
    {
      env: { ...process.env, TINY_WORKER: 'crash' },
      onHopeless: (why) => (reason = why),
    },
  )
  workers.resize(1, 100)
  await until(() => reason !== '')
  expect(reason).toBe('workers die before they can serve: exit code 7')
})

test('gives up when the first snapshot is refused, with the reason', async () => {
  const reasons: string[] = []
  const workers = start(snapshot(1, { on: 'prepare', do: 'refuse' }), {}, { onHopeless: (why) => reasons.push(why) })
  workers.resize(2, 100)
  await until(() => reasons.length > 0)
  expect(reasons).toEqual(['it does not compile'])
})

test('does not give up while a worker still serves', async () => {
  const env: NodeJS.ProcessEnv = { ...process.env }
  const workers = start(snapshot(1), { stillborn: 2, longest: 20 }, { env })
  workers.resize(2, 100)
  await workers.serving()
  // Workers forked from now on die at their start.
  env.TINY_WORKER = 'crash'
  process.kill(pids()[0] as number, 'SIGKILL')
  await until(() => (workers.status()[0]?.restarts ?? 0) > 3)
  expect(workers.status()[1]?.state).toBe('active')
  expect(workers.ready).toBe(false)
  delete env.TINY_WORKER
  await until(() => workers.ready)
})

test('a worker whose event loop hangs is seen, and killed in the end', async () => {
  const reports: number[] = []
  const workers = start(
    snapshot(1, { on: 'collect', do: 'hang', once: join(folder, 'once') }),
    { ping: 50, hung: 2, lost: 30 },
    { onReport: ({ pid }) => reports.push(pid) },
  )
  workers.resize(2, 100)
  await workers.serving()
  const before = pids()
  expect(await workers.collect(500)).toBe(1)
  expect(reports).toHaveLength(1)
  await until(() => workers.status().some(({ state }) => state === 'hung'))
  await until(() => workers.ready && pids().some((pid) => !before.includes(pid)))
  expect(await workers.collect(5000)).toBe(0)
})

test('resizes both ways', async () => {
  const workers = start(snapshot(1))
  workers.resize(1, 100)
  await workers.serving()
  const [first] = pids()
  workers.resize(3, 100)
  await workers.serving()
  expect(pids()).toHaveLength(3)
  const leaving = pids().slice(1)
  workers.resize(1, 100)
  await until(() => !leaving.some(isRunning))
  expect(pids()).toEqual([first])
  expect(workers.ready).toBe(true)
})

test('drains, and kills who does not end in time', async () => {
  const workers = start(snapshot(1, { on: 'drain', do: 'ignore', once: join(folder, 'once') }), { slack: 100 })
  workers.resize(2, 100)
  await workers.serving()
  const before = pids()
  await workers.drain(100)
  await until(() => !before.some(isRunning))
  expect(workers.status().map(({ state }) => state)).toEqual(['dead', 'dead'])
})
