import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { AccessLogConfig } from '../config/schema.ts'
import { RequestContext } from '../core/context.ts'
import { AccessLogFiles } from './access-log-files.ts'

let folder: string
let files: AccessLogFiles

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  files = new AccessLogFiles({ info() {}, warn() {}, error() {} })
})

afterEach(async () => {
  vi.useRealTimers()
  await files.close()
  rmSync(folder, { recursive: true })
})

function config(name: string, query = false): AccessLogConfig {
  return { path: join(folder, name), sample: 1, request_headers: [], response_headers: [], query }
}

function finished(): RequestContext {
  return Object.assign(new RequestContext(), { method: 'GET', path: '/', query: 'a=1', status: 200 })
}

const lines = (name: string): string[] => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n')

test('no access log, no file', () => {
  expect(files.open(null)).toBeNull()
})

test('snapshots that log into the same file share it, each by its own settings', async () => {
  const [old, next] = [files.open(config('access.log')), files.open(config('access.log', true))]
  expect(next?.file).toBe(old?.file)
  old?.line(finished(), 1)
  next?.line(finished(), 1)
  await files.close()
  expect(lines('access.log').map((line) => 'query' in (JSON.parse(line) as object))).toEqual([false, true])
})

test('requests in flight still end in the former file, which is closed later', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const old = files.open(config('old.log'))
  const next = files.open(config('new.log'))
  files.keep(next)
  old?.line(finished(), 1)
  await old?.file.flush()
  expect(lines('old.log')).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(300_000)
  vi.useRealTimers()
  await vi.waitUntil(() => {
    old?.line(finished(), 1)
    return (old?.file.dropped ?? 0) > 0
  })
  expect(files.open(config('old.log'))?.file).not.toBe(old?.file)
})

test('a file that is used again stays open', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const old = files.open(config('access.log'))
  files.keep(null)
  const again = files.open(config('access.log'))
  files.keep(again)
  await vi.advanceTimersByTimeAsync(300_000)
  expect(again?.file).toBe(old?.file)
  again?.line(finished(), 1)
  await again?.file.flush()
  expect(lines('access.log')).toHaveLength(1)
})

test('goes on in a new file after a rotation', async () => {
  const log = files.open(config('access.log'))
  log?.line(finished(), 1)
  await log?.file.flush()
  renameSync(join(folder, 'access.log'), join(folder, 'access.log.1'))
  files.reopen()
  await vi.waitUntil(() => existsSync(join(folder, 'access.log')), { timeout: 10_000 })
  await vi.waitUntil(
    async () => {
      log?.line(finished(), 1)
      await log?.file.flush()
      return readFileSync(join(folder, 'access.log'), 'utf8') !== ''
    },
    { timeout: 10_000 },
  )
})
