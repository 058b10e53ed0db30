import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ToGuard } from './guard.ts'

/** The repository. This file runs from .cache/loadtest/loadtest/bed. */
export const root = join(import.meta.dirname, '../../../..')

/** Processes and folders that must not outlive the load test. */
const running = new Set<ChildProcess>()
const folders = new Set<string>()
let guard: ChildProcess | null = null

process.on('exit', endEverything)

export interface Started {
  readonly pid: number
  readonly process: ChildProcess
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>
  readonly hasEnded: boolean
  /** The last of what it wrote, on both outputs. */
  output(): string
  signal(name: NodeJS.Signals): void
  /** Asks it to end, and ends it after `patience` milliseconds; exit code, or the signal's name. */
  stop(patience?: number): Promise<number | string>
}

export interface StartOptions {
  readonly env?: NodeJS.ProcessEnv
  /** A channel for messages. */
  readonly ipc?: boolean
}

/** Starts a command in a group of its own: Ctrl-C reaches only the load test, which then ends it in order. */
export function startProcess(command: string, args: readonly string[], options: StartOptions = {}): Started {
  const child = spawn(command, args, {
    env: { ...process.env, ...options.env },
    stdio: options.ipc === true ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
    serialization: 'advanced',
    detached: true,
  })
  let output = ''
  const take = (text: string): void => {
    output = (output + text).slice(-200_000)
  }
  child.stdout?.setEncoding('utf8').on('data', take)
  child.stderr?.setEncoding('utf8').on('data', take)
  running.add(child)
  watch({ group: child.pid ?? 0 })
  let hasEnded = false
  const ended = new Promise<number | string>((resolve) => {
    const gone = (how: number | string): void => {
      hasEnded = true
      running.delete(child)
      watch({ group: child.pid ?? 0, gone: true })
      resolve(how)
    }
    child.once('error', (error) => {
      take(String(error))
      gone(-1)
    })
    child.once('exit', (code, signal) => gone(code ?? signal ?? -1))
  })
  return {
    pid: child.pid ?? 0,
    process: child,
    ended,
    get hasEnded() {
      return hasEnded
    },
    output: () => output,
    signal: (name) => signalGroup(child, name),
    async stop(patience = 10_000) {
      // To the leader alone: the gateway's workers are for the gateway to end.
      if (!hasEnded) child.kill('SIGTERM')
      const late = setTimeout(() => signalGroup(child, 'SIGKILL'), patience)
      const how = await ended
      clearTimeout(late)
      // What it leaves behind, if anything.
      signalGroup(child, 'SIGKILL')
      return how
    },
  }
}

/** Starts a module of the load test, with a channel for messages. */
export function startModule(path: string, args: readonly string[] = []): Started {
  return startProcess(process.execPath, [join(import.meta.dirname, '..', path), ...args], { ipc: true })
}

export function createFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-loadtest-'))
  folders.add(folder)
  watch({ folder })
  return folder
}

/** Ends everything at once. */
export function endEverything(): void {
  for (const child of running) signalGroup(child, 'SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
}

/** A free port below those that outgoing connections take, so that it stays free while its owner is gone for a while. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 20_000)
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer()
      probe.once('error', () => resolve(false))
      probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, name)
  } catch {
    // The group is gone already.
  }
}

function watch(message: ToGuard): void {
  if (guard === null) {
    guard = spawn(process.execPath, [join(import.meta.dirname, 'guard.js')], {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      detached: true,
    })
    // It must not keep the load test from ending.
    guard.unref()
    guard.channel?.unref()
  }
  guard.send(message)
}
