import { isInstalled, loadCore, startProcess } from '../processes.ts'

/** System calls of a process while `work` runs, by name; `null` where strace is missing or may not look. */
export async function countSyscalls(pid: number, work: () => Promise<void>): Promise<Map<string, number> | null> {
  if (!isInstalled('strace')) return null
  const started = startProcess(loadCore, 'strace', ['-c', '-f', '-p', String(pid)])
  const gone = new Promise<void>((settle) => started.process.once('close', () => settle()))
  await new Promise((resolve) => setTimeout(resolve, 500))
  if (started.process.exitCode !== null) return null
  await work()
  started.process.kill('SIGINT')
  await gone
  const counts = new Map<string, number>()
  // % time, seconds, usecs/call, calls, [errors], name
  for (const line of started.stderr().split('\n')) {
    const match = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z_0-9]+)$/.exec(line)
    if (match !== null && match[2] !== 'total') counts.set(match[2] as string, Number(match[1]))
  }
  return counts.size === 0 ? null : counts
}
