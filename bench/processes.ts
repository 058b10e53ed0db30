import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { request as requestSecurely } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

/** Processes and folders that must not outlive the bench. */
const running = new Set<ChildProcess>()
const folders = new Set<string>()

/** The gateway and its rivals get core 0 for themselves, load and origin share core 1. */
export const gatewayCore = 0
export const loadCore = 1
export const canPin = availableParallelism() > 1 && isInstalled('taskset')

export function isInstalled(command: string): boolean {
  return spawnSync('which', [command]).status === 0
}

/** Files, and so connections, that a process may have open at most. */
export function openFiles(): number {
  const limit = spawnSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).stdout.trim()
  return limit === 'unlimited' ? 1_000_000 : Number(limit)
}

export interface Started {
  readonly process: ChildProcess
  /** What it wrote to standard error, the end of it. */
  stderr(): string
  /** Ends the process and its children; settles when it is gone. */
  stop(): Promise<void>
}

/** Starts a command on a core, or wherever it likes (`null`). Its group ends with the bench, whatever happens. */
export function startProcess(
  core: number | null,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  /** File that standard output goes to, in place of a pipe. */
  outputFile: string | null = null,
): Started {
  const [file, ...rest] =
    canPin && core !== null ? ['taskset', '-c', String(core), command, ...args] : [command, ...args]
  const child = spawn(file, rest, {
    env: { ...process.env, ...env },
    stdio: ['pipe', outputFile === null ? 'pipe' : openSync(outputFile, 'a'), 'pipe'],
    // A group of its own: the workers that it forks can be reached too.
    detached: true,
  })
  running.add(child)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-20_000)))
  const gone = new Promise<void>((resolve) => {
    child.once('error', (err) => {
      stderr += String(err)
      running.delete(child)
      resolve()
    })
    child.once('exit', () => {
      running.delete(child)
      resolve()
    })
  })
  return {
    process: child,
    stderr: () => stderr,
    async stop() {
      signal(child, 'SIGTERM')
      const late = setTimeout(() => signal(child, 'SIGKILL'), 3_000)
      await gone
      clearTimeout(late)
    },
  }
}

/** All that a process writes, once it has ended. Throws when it fails; `what` says who that was. */
export async function outputOf(started: Started, what: string): Promise<string> {
  let output = ''
  started.process.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const status = await new Promise<number | null>((resolve) => {
    started.process.once('close', resolve)
    started.process.once('error', () => resolve(null))
  })
  if (status !== 0) throw new Error(`${what} failed\n${output}${started.stderr()}`)
  return output
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, name)
  } catch {
    // The group is gone already.
  }
}

export function createFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  folders.add(folder)
  return folder
}

/** Ends everything at once. For the way out. */
export function endEverything(): void {
  for (const child of running) signal(child, 'SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
}

/** A port that is free at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Waits until `url` answers 200. Returns the milliseconds that it took. Throws when the process ends before. */
export async function untilReady(
  started: Started,
  url: string,
  credential: string | null = null,
  patience = 60_000,
): Promise<number> {
  const begin = performance.now()
  while (performance.now() - begin < patience) {
    const { exitCode, signalCode } = started.process
    if (exitCode !== null || signalCode !== null) throw new Error(`ended before it was ready\n${started.stderr()}`)
    const status = await statusOf(url, credential)
    if (status === 200) return performance.now() - begin
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`not ready after ${patience / 1000} s: ${url}\n${started.stderr()}`)
}

/** Status of the answer, whatever certificate it comes with; 0: none. */
function statusOf(url: string, credential: string | null): Promise<number> {
  const headers = credential === null ? {} : { authorization: credential }
  return new Promise((resolve) => {
    const take = (res: IncomingMessage): void => {
      res.resume().once('close', () => resolve(res.statusCode ?? 0))
    }
    const options = { headers, agent: false, timeout: 5_000 }
    const req = url.startsWith('https:')
      ? requestSecurely(url, { ...options, rejectUnauthorized: false }, take)
      : request(url, options, take)
    req.once('timeout', () => req.destroy())
    req.once('error', () => resolve(0))
    req.end()
  })
}

/** Processor time of a process and its descendants so far, in microseconds; 0 where /proc is missing. */
export function processorTime(pid: number): number {
  let ticks = 0
  for (const one of family(pid)) {
    const fields = statOf(one)
    if (fields !== null) ticks += Number(fields[11]) + Number(fields[12])
  }
  // Linux counts in hundredths of a second, whatever the kernel's own clock is.
  return ticks * 10_000
}

/** Resident memory of the largest of a process and its descendants, in bytes: the worker's, not the primary's. */
export function largestResident(pid: number): number {
  let largest = 0
  for (const one of family(pid)) {
    try {
      const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${one}/status`, 'utf8'))
      largest = Math.max(largest, Number(match?.[1] ?? 0) * 1024)
    } catch {
      // It ended just now.
    }
  }
  return largest
}

function family(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of safely(() => readdirSync('/proc'), [])) {
    if (!/^\d+$/.test(name)) continue
    const fields = statOf(Number(name))
    if (fields !== null) parents.set(Number(name), Number(fields[1]))
  }
  const found = [pid]
  for (let i = 0; i < found.length; i++) {
    for (const [child, parent] of parents) if (parent === found[i]) found.push(child)
  }
  return found
}

/** The fields of /proc/PID/stat behind the name, which may hold spaces: state, parent, … */
function statOf(pid: number): string[] | null {
  const text = safely(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '')
  return text === '' ? null : text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function safely<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
