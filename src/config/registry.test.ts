import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loadModule, loadRegistry, pluginOf } from './registry.ts'
import type { PluginEntry } from './schema.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-registry-'))
afterAll(() => rmSync(dir, { recursive: true }))

const write = (name: string, source: string): string => {
  const file = join(dir, name)
  writeFileSync(file, source)
  return file
}

/** Written far away from this package, as an operator's module is. */
const source = (summary: string): string => `
  import { definePlugin, z } from 'sluice'
  export default definePlugin({
    name: 'mine', summary: ${JSON.stringify(summary)}, class: 'traffic', priority: 1,
    schema: z.strictObject({ a: z.int().default(1) }), create: () => ({}),
  })`

describe('loadModule', () => {
  test('finds what it imports from sluice, wherever it lies', async () => {
    const plugin = await loadModule(write('mine.mjs', source('first')))
    expect(plugin).toMatchObject({ name: 'mine', summary: 'first' })
    expect(plugin.schema.parse({})).toEqual({ a: 1 })
  })

  test('brings new code when the file has changed, and the same plugin when it has not', async () => {
    const file = write('changing.mjs', source('old'))
    const before = await loadModule(file)
    expect(await loadModule(file)).toBe(before)
    write('changing.mjs', source('new'))
    expect((await loadModule(file)).summary).toBe('new')
  })

  test.each([
    ['export const a = 1', 'has no default export'],
    ['export default 5', 'must have a plugin'],
    ['export default {}', 'whose "name" is a name'],
    ['export default { name: "a b" }', 'whose "name" is a name'],
    ['export default { name: "a" }', 'whose "summary" is a sentence'],
    ['export default { name: "a", summary: "", class: "other" }', 'whose "class" is one of security, traffic'],
    ['export default { name: "a", summary: "", class: "traffic" }', 'whose "priority" is a number'],
    [
      'export default { name: "a", summary: "", class: "traffic", priority: 1, schema: {} }',
      'whose "schema" is a zod schema',
    ],
    [
      'export default { name: "a", summary: "", class: "traffic", priority: 1, schema: { parse() {} } }',
      'whose "create" is a function',
    ],
    [
      'export default { name: "a", summary: "", class: "traffic", priority: 1, schema: { parse() {} }, create() {}, requires: [] }',
      'whose "requires" is a function',
    ],
    ['export default {', "can't be loaded: Unexpected end of input"],
    ['throw new Error("at once")', "can't be loaded: at once"],
    ['import "./nowhere.mjs"', "can't be loaded: Cannot find module"],
  ])('%s: %s', async (text, expected) => {
    await expect(loadModule(write(`bad-${Math.random()}.mjs`, text))).rejects.toThrow(expected)
  })

  test('a missing file', async () => {
    await expect(loadModule(join(dir, 'nope.mjs'))).rejects.toThrow("can't be read: no such file")
  })
})

test('loadRegistry loads every module that a configuration uses', async () => {
  const file = write('used.mjs', source('used'))
  const use = (path: string): PluginEntry =>
    ({
      name: 'mine',
      use: path,
      config: null,
      enabled: true,
      timeout: null,
      on_timeout: 'fail',
      before: null,
      after: null,
    }) as const
  const registry = await loadRegistry({ plugins: [], routes: [{ plugins: [use(file)] } as never], upstreams: [] })
  expect(pluginOf(registry, use(file))?.summary).toBe('used')
  expect(pluginOf(registry, { name: 'cors', use: null })?.name).toBe('cors')
  expect(pluginOf(registry, { name: 'mine', use: null })).toBeUndefined()
  await expect(loadRegistry({ plugins: [use(join(dir, 'nope.mjs'))], routes: [], upstreams: [] })).rejects.toThrow(
    'no such file',
  )
})
