/**
 * Runs the micro benches: `micro/*.bench.ts`, each with `export const suite = { name, cases: { [case]: () => void } }`,
 * one operation a call. In a process of its own, with the collector in hand. Writes the results as JSON.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { median } from './statistics.ts'

export interface Suite {
  readonly name: string
  readonly cases: Readonly<Record<string, () => void>>
}

export interface MicroRow {
  readonly suite: string
  readonly case: string
  /** Median over the batches. */
  readonly nanoseconds: number
  readonly bytes: number
}

interface Effort {
  readonly batches: number
  /** Milliseconds that a batch takes. */
  readonly batch: number
  readonly warmup: number
}

const efforts = {
  full: { batches: 31, batch: 20, warmup: 300 },
  quick: { batches: 3, batch: 2, warmup: 10 },
} satisfies Record<string, Effort>

/** Operations whose allocations are added up: few enough to stay within the young generation. */
const counted = 2_000

function repeat(operation: () => void, count: number): void {
  for (let i = 0; i < count; i++) operation()
}

function timeOf(operation: () => void, count: number): number {
  const begin = process.hrtime.bigint()
  repeat(operation, count)
  return Number(process.hrtime.bigint() - begin)
}

function nanosecondsOf(operation: () => void, { batches, batch, warmup }: Effort): number {
  let count = 1
  for (let spent = 0; spent < warmup * 1e6; ) {
    const time = timeOf(operation, count)
    spent += time
    if (time < batch * 1e6)
      count = Math.max(count + 1, Math.floor(count * Math.min(10, (batch * 1e6) / Math.max(time, 1))))
  }
  return median(Array.from({ length: batches }, () => timeOf(operation, count) / count))
}

function bytesOf(operation: () => void, collect: () => void): number {
  const samples = Array.from({ length: 5 }, () => {
    collect()
    const before = process.memoryUsage().heapUsed
    repeat(operation, counted)
    return (process.memoryUsage().heapUsed - before) / counted
  })
  // Reading the memory costs a little itself.
  return Math.max(0, Math.round(median(samples) - 2))
}

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined) throw new Error('needs --expose-gc')
const effort = process.argv.includes('--quick') ? efforts.quick : efforts.full
const folder = join(import.meta.dirname, 'micro')
const rows: MicroRow[] = []
for (const file of readdirSync(folder).filter((name) => name.endsWith('.bench.js'))) {
  const { suite } = (await import(join(folder, file))) as { suite: Suite }
  for (const [name, operation] of Object.entries(suite.cases)) {
    const nanoseconds = nanosecondsOf(operation, effort)
    rows.push({ suite: suite.name, case: name, nanoseconds, bytes: bytesOf(operation, collect) })
  }
}
console.log(JSON.stringify(rows))
