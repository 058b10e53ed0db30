import { formatFault } from '../config/fault.ts'
import { type Loaded, loadConfig } from '../config/load.ts'
import { count, type Output, styled } from './output.ts'

/** The configuration, or `null` after all its faults have been written. Warnings are written in any case. */
export async function loadOrTell(file: string, output: Output): Promise<Loaded | null> {
  const result = await loadConfig(file)
  if ('faults' in result) {
    for (const fault of result.faults) output.err(`${formatFault(fault)}\n`)
    output.err(`${styled(output, 'red', `${file}: ${count(result.faults.length, 'fault')}`)}\n`)
    return null
  }
  for (const warning of result.warnings) output.err(`${styled(output, 'yellow', 'warning:')} ${formatFault(warning)}\n`)
  return result
}
