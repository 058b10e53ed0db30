import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Cores that this process may use: those it is allowed on, less what a container's CPU quota leaves of them. */
export function countCores(): number {
  return Math.max(1, Math.min(availableParallelism(), readQuota('/sys/fs/cgroup/cpu.max')))
}

/** Cores granted by a cgroup v2 `cpu.max` file (`200000 100000`, `max 100000`), rounded up; Infinity without limit. */
export function readQuota(file: string): number {
  try {
    const [quota = 'max', period = '100000'] = readFileSync(file, 'utf8').trim().split(' ')
    const cores = Math.ceil(Number(quota) / Number(period))
    return cores > 0 ? cores : Infinity
  } catch {
    return Infinity
  }
}
