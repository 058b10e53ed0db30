import { spawnSync } from 'node:child_process'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createFolder, isInstalled, loadCore, startProcess } from '../processes.ts'
import type { Frame, Stack } from './stack.ts'

/** Samples a second; not a round number, so that nothing periodic is always or never met. */
const frequency = 997

/**
 * Flags of a process whose JavaScript perf shall be able to name. Functions that the engine has inlined count as those that call
 * them: to forbid inlining would name them, and make a request a fifth dearer than it is.
 */
export const perfFlags: readonly string[] = ['--perf-basic-prof']

/** Whether perf is there and may look into the kernel. */
export function canPerf(): boolean {
  if (!isInstalled('perf')) return false
  const file = join(createFolder(), 'perf.data')
  const args = ['record', '-e', 'cpu-clock', '-g', '-o', file, '--', 'true']
  return spawnSync('perf', args, { stdio: 'ignore' }).status === 0
}

export interface Sample {
  readonly thread: number
  readonly stack: Stack
}

/** Nanoseconds that a sample stands for. */
export const samplePeriod = 1e9 / frequency

/** A recording that goes on until it is stopped. The samples are read with `samplesOf`, while the process lives. */
export interface Recording {
  stop(): Promise<void>
}

/** Begins to record what a process does into `file`; settles once nothing is missed any more. */
export async function record(pid: number, file: string): Promise<Recording> {
  const event = ['-e', 'cpu-clock', '-F', String(frequency), '-g']
  const started = startProcess(loadCore, 'perf', ['record', '-B', '-N', ...event, '-p', String(pid), '-o', file])
  const gone = new Promise<void>((settle) => started.process.once('close', () => settle()))
  const begun = performance.now()
  // It writes the head of the file when all is set up.
  while ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) {
    if (started.process.exitCode !== null || performance.now() - begun > 10_000)
      throw new Error(`perf did not start\n${started.stderr()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    stop() {
      started.process.kill('SIGINT')
      return gone
    },
  }
}

/** Calls `take` with each sample of a recording. */
export async function samplesOf(file: string, take: (sample: Sample) => void): Promise<void> {
  const args = ['script', '-i', file, '-F', 'tid,ip,sym,dso']
  const started = startProcess(loadCore, 'perf', args)
  const ended = new Promise((settle) => started.process.once('close', settle))
  let thread = 0
  let stack: Frame[] = []
  const end = (): void => {
    if (stack.length > 0) take({ thread, stack })
    stack = []
  }
  const lines = createInterface({ input: started.process.stdout as NodeJS.ReadableStream })
  for await (const line of lines) {
    const head = /^\s*(\d+)\s*$/.exec(line)
    if (line === '') end()
    else if (head !== null) thread = Number(head[1])
    else {
      const frame = frameOf(line)
      if (frame !== null) stack.push(frame)
    }
  }
  end()
  if ((await ended) !== 0) throw new Error(`perf script failed\n${started.stderr()}`)
}

/** Removes what the engine wrote for perf. */
export function forgetSymbols(pid: number): void {
  rmSync(`/tmp/perf-${pid}.map`, { force: true })
}

/** `ffffffff81b9 __sys_sendto ([kernel.kallsyms])`, `7f78 JS:*flush file:///…/send-buffer.js:120:3 (/tmp/perf-1.map)`. */
function frameOf(line: string): Frame | null {
  const match = /^\s*[0-9a-f]+ (.*) \(([^()]*)\)$/.exec(line)
  if (match === null) return null
  const [symbol, library] = match.slice(1) as [string, string]
  if (!symbol.startsWith('JS:'))
    return { name: symbol, file: '', library: library.includes('kernel') ? 'kernel' : library }
  const script = /^JS:[*^~+]?(.*?) ?(\S+?):\d+:\d+$/.exec(symbol)
  return script === null ? null : { name: script[1] as string, file: script[2] as string, library: '' }
}
