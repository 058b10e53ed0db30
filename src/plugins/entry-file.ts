import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { z } from 'zod'
import { ConfigFault } from '../core/plugin.ts'

/** One entry of a file, and where it stands: `line 3`. */
export interface FileEntry<T> {
  readonly place: string
  readonly value: T
}

/** The text of a file of entries. Throws a `ConfigFault` at the key `file` when it can't be read. */
export function readEntryFile(file: string, configDir: string): string {
  try {
    return readFileSync(resolve(configDir, file), 'utf8')
  } catch (error) {
    throw new ConfigFault(`the file ${file} can't be read: ${(error as NodeJS.ErrnoException).code}`, ['file'])
  }
}

/**
 * The entries of such a text: a JSON array, or one JSON object a line, so that one more can be written at its end. Throws a
 * `ConfigFault` that names the place of the first fault, and no values: they may be secrets.
 */
export function parseEntries<T>(text: string, schema: z.ZodType<T>): FileEntry<T>[] {
  const entries = text.trimStart().startsWith('[') ? itemsOf(text) : linesOf(text)
  return entries.map(({ place, value }) => {
    const result = schema.safeParse(value)
    if (result.success) return { place, value: result.data }
    const [issue] = result.error.issues
    const where = [place, ...(issue?.path ?? [])].join(' ')
    throw new ConfigFault(`${where}: ${issue?.message ?? 'is not valid'}`, ['file'])
  })
}

function itemsOf(text: string): FileEntry<unknown>[] {
  const list = parseJson(text, 'it') as unknown[]
  return list.map((value, i) => ({ place: `item ${i + 1}`, value }))
}

function linesOf(text: string): FileEntry<unknown>[] {
  return text.split('\n').flatMap((line, i) => {
    const place = `line ${i + 1}`
    return line.trim() === '' ? [] : [{ place, value: parseJson(line, place) }]
  })
}

/** The parser's own words are not passed on: they quote what they choke on. */
function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ConfigFault(`${place} is no JSON: write an array, or one object per line`, ['file'])
  }
}
