import { join } from 'node:path'
import type { MicroRow } from '../micro.ts'
import { loadCore, outputOf, startProcess } from '../processes.ts'
import { table } from '../report.ts'
import type { Workload } from './workload.ts'

export const micro: Workload = {
  name: 'micro',
  title: 'Micro benches',
  about: 'Single operations of the request path (bench/micro): nanoseconds, and bytes allocated.',
  minutes: 2,
  extra: true,
  async run({ quick }) {
    // The large young generation keeps the collector out of the counts of allocated bytes.
    const flags = ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256']
    const file = join(import.meta.dirname, '../micro.js')
    const started = startProcess(loadCore, process.execPath, [...flags, file, ...(quick ? ['--quick'] : [])])
    const rows = JSON.parse(await outputOf(started, 'the micro benches')) as MicroRow[]
    const cells = rows.map((row) => [row.suite, row.case, row.nanoseconds.toFixed(1), String(row.bytes)])
    return { groups: [], data: rows, text: table(['suite', 'case', 'ns/op', 'bytes/op'], cells) }
  },
}
