import { join } from 'node:path'
import type { MicroRow } from '../micro.ts'
import { loadCore, startProcess } from '../processes.ts'
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
    let output = ''
    started.process.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
    const status = await new Promise((settle) => started.process.once('close', settle))
    if (status !== 0) throw new Error(`the micro benches failed\n${started.stderr()}`)
    const rows = JSON.parse(output) as MicroRow[]
    const cells = rows.map((row) => [row.suite, row.case, row.nanoseconds.toFixed(1), String(row.bytes)])
    return { groups: [], data: rows, text: table(['suite', 'case', 'ns/op', 'bytes/op'], cells) }
  },
}
