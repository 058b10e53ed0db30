import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { plugins } from './index.ts'

const folders = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

test('every folder is in the list, and nothing else', () => {
  expect(plugins.map((plugin) => plugin.name).sort()).toEqual(folders.sort())
})

/** What a request meets, pinned: a change here is a change for everybody who runs the gateway. */
test('the order', () => {
  expect(plugins.map(({ name, priority }) => `${name} ${priority}`)).toEqual([
    'correlation-id 1',
    'cors 2000',
    'ip-restriction 990',
    'jwt 1450',
    'key-auth 1250',
    'basic-auth 1100',
    'hmac-auth 1030',
    'oauth2-introspection 1700',
    'forward-auth 1040',
    'acl 950',
    'rate-limiting 910',
    'token-exchange 900',
    'request-size-limiting 951',
    'request-transformer 801',
    'response-transformer 800',
    'security-headers 790',
    'request-termination 2',
  ])
})

interface Described {
  readonly description?: string
  readonly properties?: Readonly<Record<string, Described>>
  readonly anyOf?: readonly Described[]
  readonly additionalProperties?: unknown
}

function undescribed(schema: Described, path: string): string[] {
  const inner = Object.entries(schema.properties ?? {}).flatMap(([key, field]) => [
    ...(field.description === undefined ? [`${path}.${key}`] : []),
    ...undescribed(field, `${path}.${key}`),
  ])
  return [...inner, ...(schema.anyOf ?? []).flatMap((choice) => undescribed(choice, path))]
}

describe.each(plugins.map((plugin) => [plugin.name, plugin] as const))('%s', (name, plugin) => {
  const folder = `${import.meta.dirname}/${name}`

  test('has one sentence for the reference', () => {
    expect(plugin.summary).toMatch(/^[A-Z].*\.$/)
  })

  test('has a JSON Schema in which every field is described', () => {
    const schema = z.toJSONSchema(plugin.schema as unknown as z.ZodType, { io: 'input' }) as Described
    expect(schema.additionalProperties).toBe(false)
    expect(undescribed(schema, name)).toEqual([])
  })

  test('has an example whose configuration it takes', () => {
    expect(existsSync(`${folder}/example.yaml`)).toBe(true)
    const document = parse(readFileSync(`${folder}/example.yaml`, 'utf8')) as {
      routes: { plugins?: { name: string; config: unknown }[] }[]
    }
    const used = document.routes.flatMap((route) => route.plugins ?? []).filter((entry) => entry.name === name)
    expect(used.length).toBeGreaterThan(0)
    for (const { config } of used) expect(() => plugin.schema.parse(config)).not.toThrow()
  })

  test('makes plain data of it, which travels to the workers', () => {
    const document = parse(readFileSync(`${folder}/example.yaml`, 'utf8')) as {
      routes: { plugins?: { name: string; config: unknown }[] }[]
    }
    for (const entry of document.routes.flatMap((route) => route.plugins ?? [])) {
      if (entry.name !== name) continue
      const config = plugin.schema.parse(entry.config)
      expect(structuredClone(config)).toEqual(config)
    }
  })
})
