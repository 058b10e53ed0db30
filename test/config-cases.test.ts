import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { formatFault } from '../src/config/fault.ts'
import { loadConfig } from '../src/config/load.ts'

/**
 * Pairs of a file and what is said of it: `name.yaml` and `name.txt`. A comment `# env NAME=value` at the top of a file
 * sets a variable of the environment.
 */
const folder = join(import.meta.dirname, 'config-cases')
const names = readdirSync(folder)
  .filter((name) => /\.(?:yaml|json)$/.test(name))
  .sort()

afterEach(() => {
  vi.unstubAllEnvs()
})

describe('config cases', () => {
  test.each(names)('%s', async (name) => {
    const file = join(folder, name)
    for (const [, variable = '', value = ''] of readFileSync(file, 'utf8').matchAll(/^# env (\w+)=(.*)$/gm))
      vi.stubEnv(variable, value)
    await expect(await verdict(file)).toMatchFileSnapshot(join(folder, name.replace(/\.\w+$/, '.txt')))
  })

  test('has an expectation for every file, and nothing else', () => {
    const expected = names.flatMap((name) => [name, name.replace(/\.\w+$/, '.txt')])
    expect(
      readdirSync(folder)
        .filter((name) => name !== 'files')
        .sort(),
    ).toEqual(expected.sort())
  })
})

/** What `sluice check` says, with paths from the folder of the file. */
async function verdict(file: string): Promise<string> {
  const result = await loadConfig(file)
  const lines =
    'faults' in result
      ? result.faults.map(formatFault)
      : [...result.warnings.map((warning) => `warning: ${formatFault(warning)}`), 'ok']
  return `${lines.join('\n').replaceAll(`${folder}/`, '')}\n`
}
