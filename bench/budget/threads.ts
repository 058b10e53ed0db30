import { readdirSync, readFileSync } from 'node:fs'

/** Nanoseconds of processor time of each thread of a process; empty where the system doesn't tell (only Linux does). */
export function threadTimes(pid: number): Map<number, number> {
  const times = new Map<number, number>()
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      times.set(Number(thread), Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]))
    }
  } catch {
    // No such system, or the process has ended.
  }
  return times
}

/** Processor time between two looks, in nanoseconds: of the thread that gave the process its id, and of all others. */
export function timeBetween(
  pid: number,
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
): { main: number; others: number } {
  let main = 0
  let others = 0
  for (const [thread, time] of after) {
    const spent = time - (before.get(thread) ?? 0)
    if (thread === pid) main += spent
    else others += spent
  }
  return { main, others }
}

/** Ticks that a process spent in its own code and in the kernel. */
export function userAndKernel(pid: number): readonly [user: number, kernel: number] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return [Number(fields[11]), Number(fields[12])]
}

/** The processes that a process has forked. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8')
      return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]) === pid ? [Number(name)] : []
    } catch {
      return []
    }
  })
}
