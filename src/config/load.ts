import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { serialize } from 'node:v8'
import { parseConfig } from './document.ts'
import { type Fault, sortFaults } from './fault.ts'
import { reasonOf } from './fill.ts'
import type { Config } from './schema.ts'
import { validate } from './validate.ts'

export type LoadResult = Loaded | Refused

export interface Loaded {
  readonly config: Config
  /** Names the configuration with all that it depends on: equal hash, nothing to reload. */
  readonly hash: string
  readonly warnings: readonly Fault[]
  /** Absolute paths of the file and of all that it refers to: a change of one may change the configuration. */
  readonly files: readonly string[]
  /** What was filled in by references: for `redact`. */
  readonly secrets: readonly string[]
}

export interface Refused {
  /** In the order of the file; at least one. */
  readonly faults: readonly Fault[]
  readonly files: readonly string[]
}

/** Reads and validates a configuration file. Never throws for what is wrong with it. */
export async function loadConfig(file: string): Promise<LoadResult> {
  const path = resolve(file)
  const refused = (message: string): Refused => ({
    faults: [{ file, line: 0, column: 0, path: '', message }],
    files: [path],
  })
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    return refused(`can't be read: ${reasonOf(error)}`)
  }
  const dir = dirname(path)
  const document = parseConfig(text, file, dir)
  const { config, faults, warnings, files: others } = await validate(document, dir)
  const files = [path, ...others]
  if (config === null) return { faults: sortFaults(faults), files }
  try {
    return { config, hash: hashOf(config, others), warnings, files, secrets: [...document.secrets] }
  } catch (error) {
    return refused(`a file that it refers to went away while it was read: ${reasonOf(error)}`)
  }
}

function hashOf(config: Config, files: readonly string[]): string {
  const hash = createHash('sha256').update(serialize(config))
  for (const file of [...files].sort()) hash.update(file).update(readFileSync(file))
  return hash.digest('hex')
}
