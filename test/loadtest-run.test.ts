/** The load test as a whole: real processes, and what it says and leaves behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
// As built for the tests: sources that change meanwhile are nothing to this test.
const main = process.env['SLUICE_MAIN'] ?? join(root, 'dist/main.js')
/** The gateway without Redis, few requests, for a short while. */
const brief = ['--store', 'node', '--workers', '2', '--rate', '150', '--seconds', '2']

let folder: string
let server: Server | null = null
const started = new Set<ChildProcess>()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-test-loadtest-'))
})

afterEach(() => {
  for (const child of started) child.kill('SIGKILL')
  started.clear()
  server?.close()
  server = null
  rmSync(folder, { recursive: true, force: true })
})

interface Ended {
  readonly code: number | null
  readonly output: string
}

function start(args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  // Where the load test keeps its files is known, so that what it leaves there is seen.
  const env = { ...process.env, SLUICE_MAIN: main, TMPDIR: folder }
  const child = spawn(process.execPath, ['loadtest/run.mjs', ...args, '--out', join(folder, 'out')], { cwd: root, env })
  started.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      child.emit('output', output)
    })
  }
  return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, output })) }
}

function run(...args: string[]): Promise<Ended> {
  return start(args).ended
}

function objectives(text: string): string {
  const path = join(folder, 'objectives.yaml')
  writeFileSync(path, text)
  return path
}

interface Report {
  readonly passed: boolean
  readonly objectives: readonly { readonly objective: string; readonly seen: number; readonly result: string }[]
  readonly phases: readonly { readonly name: string; readonly answers: object }[]
}

function report(): Report {
  const [name = ''] = readdirSync(join(folder, 'out'))
  return JSON.parse(readFileSync(join(folder, 'out', name), 'utf8')) as Report
}

test('a run that meets its objectives passes, and its report is kept', async () => {
  const file = objectives('every: { wrong_answers: 0, lost_answers: 0, exit_code: 0, repeated_writes: 0 }')
  const { code, output } = await run('steady', ...brief, '--objectives', file)
  expect(output).toContain('passed, report:')
  expect(output).toMatch(/\d+\/\d+ s .*\d+ of \d+\/s .*failed 0/)
  expect(code).toBe(0)
  expect(report()).toMatchObject({
    passed: true,
    phases: [{ name: 'warm-up' }, { name: 'direct' }, { name: 'steady' }],
  })
}, 60_000)

test.each([
  [['steddy'], 'there is no scenario "steddy" (did you mean "steady"?)'],
  [['steady', '--secnds', '3'], "Unknown option '--secnds'"],
  [['steady', '--url', 'https://example.com'], 'example.com is not this machine: add --i-own-the-target'],
  [['reload-storm', '--url', 'http://127.0.0.1:9'], "reload-storm disturbs the gateway's processes or files"],
])('%j is refused with a reason', async (args, reason) => {
  const { code, output } = await run(...args)
  expect(output).toContain(reason)
  expect(code).toBe(2)
})

test('an objective with a mistyped name is refused before anything is started', async () => {
  const { code, output } = await run('steady', '--objectives', objectives('steady: { p99ms: { at_most: 5 } }'))
  expect(output).toContain('steady.p99ms: there is no such measure (did you mean "p99_ms"?)')
  expect(code).toBe(2)
})

test('Ctrl-C ends all that was started', async () => {
  const { child, ended } = start(['steady', '--store', 'node', '--rate', '100', '--seconds', '60'])
  await new Promise<void>((resolve, reject) => {
    child.on('output', (output: string) => {
      if (output.includes('warm-up')) resolve()
    })
    void ended.then(({ output }) => reject(new Error(`it ended by itself\n${output}`)))
  })
  const all = descendants(child.pid as number)
  // The gateway, its workers, the origin, a load process and the guard.
  expect(all.length).toBeGreaterThanOrEqual(6)
  child.kill('SIGINT')
  expect((await ended).code).toBe(130)
  await expect.poll(() => all.filter((pid) => isRunning(pid)), { timeout: 10_000 }).toEqual([])
  await expect.poll(() => readdirSync(folder), { timeout: 10_000 }).toEqual([])
}, 60_000)

test('a gateway that runs already is judged by what it answers', async () => {
  server = createServer((request, response) => {
    response.statusCode = request.url?.startsWith('/bad') === true ? 500 : 200
    response.end('hello')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const file = objectives('steady: { failed_percent: { at_most: 1 }, status_500_percent: { at_least: 40 } }')
  const args = ['--url', url, '--path', '/good/{n}', '--path', '/bad/{n}', '--rate', '100', '--seconds', '1']
  const { code, output } = await run('steady', ...args, '--objectives', file)
  expect(output).toMatch(/failed_percent +≤ 1 % +50 % +FAIL/)
  expect(code).toBe(1)
  const [failed, errors] = report().objectives
  expect(failed).toMatchObject({ result: 'fail', seen: 50 })
  expect(errors).toMatchObject({ result: 'pass', seen: 50 })
}, 60_000)

function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return children === '' ? [] : children.split(' ').flatMap((child) => [Number(child), ...descendants(Number(child))])
}

/** A process that has ended and that nobody has looked after does not run. */
function isRunning(pid: number): boolean {
  const file = `/proc/${pid}/stat`
  return existsSync(file) && !/\) [ZX] /.test(readFileSync(file, 'utf8'))
}
