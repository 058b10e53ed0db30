import { readdirSync, readFileSync } from 'node:fs'

/** Figures of the kernel about a gateway at one moment. Times in seconds since the start, sizes in bytes. */
export interface Sample {
  /** Seconds from the begin of the load. */
  readonly at: number
  /** Memory of all its processes. */
  readonly resident: number
  readonly openFiles: number
  readonly gatewayCpu: number
  /** What the load test itself uses: load, origins, Redis. */
  readonly ownCpu: number
  /** Of all processors together: busy, and altogether. */
  readonly busy: number
  readonly total: number
}

/** The kernel counts in hundredths of a second. */
const tick = 0.01

/** `null` where there is no /proc, or no such process. */
export function takeSample(at: number, gateway: number, own: readonly number[]): Sample | null {
  try {
    const pids = family(gateway)
    const sizes = pids.map(residentOf)
    const [busy, total] = machineTime()
    return {
      at,
      resident: sizes.reduce((sum, size) => sum + size, 0),
      openFiles: pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0),
      gatewayCpu: pids.reduce((sum, pid) => sum + cpuOf(pid), 0),
      ownCpu: [process.pid, ...own].reduce((sum, pid) => sum + cpuOf(pid), 0),
      busy,
      total,
    }
  } catch {
    // A worker ended between two looks: the next sample is a second away.
    return null
  }
}

/** A process and its descendants. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return [pid, ...(children === '' ? [] : children.split(' ').flatMap((child) => family(Number(child))))]
}

function residentOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
}

/** With that of its children that have ended. 0 for a process that is gone: one that the scenario has killed, perhaps. */
function cpuOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) * tick
  } catch {
    return 0
  }
}

function machineTime(): [busy: number, total: number] {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
  const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, hard = 0, soft = 0, stolen = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  const busy = user + nice + system + hard + soft + stolen
  return [busy * tick, (busy + idle + waiting) * tick]
}
