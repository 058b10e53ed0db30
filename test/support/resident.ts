import { readFileSync } from 'node:fs'

/** Memory that a process holds, in bytes, from the kernel's own books. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  if (line === null) throw new Error(`process ${pid} is gone`)
  return Number(line[1]) * 1024
}
