import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { plugins } from '../plugins/index.ts'
import { configJsonSchema, type JsonSchema } from './json-schema.ts'
import { referenceTables, schemaTable } from './reference.ts'

describe('tables', () => {
  test('every key has a description, and every table a place', () => {
    const tables = referenceTables()
    expect(tables.map(({ path }) => path)).toEqual([
      '',
      'listeners[]',
      'admin',
      'redis',
      'timeouts',
      'limits',
      'access_log',
      'security',
      'consumers[]',
      'routes[]',
      'plugins[]',
      'upstreams[]',
    ])
    for (const { path, table } of tables) {
      const rows = table.split('\n').filter((line) => line.startsWith('| `'))
      expect(rows.length, path).toBeGreaterThan(0)
      for (const row of rows) expect(row, path).toMatch(/^\| `[\w.[\]]+` \| .+ \| .* \| \S.*\. \|$/)
    }
  })

  test('of a plugin', () => {
    const schema = z.strictObject({
      limit: z.int().positive().describe('Most requests.'),
      by: z.enum(['ip', 'consumer']).default('ip').describe('Who | shares.'),
      store: z
        .strictObject({ url: z.string().describe('Where.') })
        .optional()
        .describe('Shared.'),
      rules: z
        .array(z.strictObject({ name: z.string().describe('Its name.') }))
        .default([])
        .describe('More.'),
    })
    expect(schemaTable(schema)).toBe(
      [
        '| key | type | default | |',
        '| --- | --- | --- | --- |',
        '| `limit` | integer | required | Most requests. |',
        '| `by` | `ip` or `consumer` | `ip` | Who \\| shares. |',
        '| `store` | mapping |  | Shared. |',
        '| `store.url` | string | required | Where. |',
        '| `rules` | list of mappings | none | More. |',
        '| `rules[].name` | string | required | Its name. |',
        '',
      ].join('\n'),
    )
  })

  test('of something without keys, or without zod', () => {
    expect([schemaTable(z.strictObject({})), schemaTable({ parse() {} })]).toEqual(['', ''])
  })
})

describe('JSON Schema', () => {
  const schema = configJsonSchema()
  const entryOf = (node: JsonSchema | undefined): JsonSchema | undefined => node?.properties?.['plugins']?.items

  test('knows the settings of each plugin, wherever plugins stand', () => {
    const routes = schema.properties?.['routes']?.items
    for (const entry of [entryOf(schema), entryOf(routes), entryOf(schema.properties?.['upstreams']?.items)]) {
      expect(entry?.allOf?.map((rule) => rule.if?.properties?.['name']?.const)).toEqual(plugins.map(({ name }) => name))
      expect(entry?.allOf?.[1]?.then?.properties?.['config']?.$ref).toBe('#/$defs/cors')
    }
    expect(Object.keys(schema.$defs?.['cors']?.properties ?? {})).toContain('origins')
    expect(Object.keys(schema.$defs ?? {})).toEqual(plugins.map(({ name }) => name))
  })

  test('takes amounts with units, and references where there will be a number', () => {
    const pattern = new RegExp(schema.properties?.['timeouts']?.properties?.['connect']?.pattern ?? '')
    expect(['5s', '50ms', '1.5h', '10', '${env:CONNECT}'].every((text) => pattern.test(text))).toBe(true)
    expect(['5 s', 'off', 'ten', '${CONNECT}'].some((text) => pattern.test(text))).toBe(false)
    expect(schema.properties?.['limits']?.properties?.['header_count']?.anyOf).toEqual([
      { type: 'integer', minimum: 1, maximum: 100 },
      { type: 'string', pattern: '\\$\\{(env|file):' },
    ])
  })

  test('has nothing in it that only Sluice understands', () => {
    expect(JSON.stringify(schema)).not.toMatch(/"unit"|"off":/)
  })
})
