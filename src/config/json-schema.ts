import { z } from 'zod'
import type { Plugin } from '../core/plugin.ts'
import { plugins as builtIn } from '../plugins/index.ts'
import { schema } from './schema.ts'

/** As much of JSON Schema (2020-12) as is looked at here. */
export interface JsonSchema {
  $schema?: string
  $ref?: string
  $defs?: Record<string, JsonSchema>
  title?: string
  description?: string
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  default?: unknown
  pattern?: string
  examples?: unknown[]
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  properties?: Record<string, JsonSchema>
  required?: string[]
  additionalProperties?: boolean | JsonSchema
  items?: JsonSchema
  anyOf?: JsonSchema[]
  allOf?: JsonSchema[]
  if?: JsonSchema
  then?: JsonSchema
  /** `duration` or `size`: amounts with a unit, or plain numbers. Stays out of what users see. */
  unit?: string
  /** The amount may also be `off`. */
  off?: boolean
}

/** The JSON Schema of what a zod schema takes in; `undefined` for a schema that is not zod's. */
export function jsonSchemaOf(source: unknown): JsonSchema | undefined {
  if (!isZod(source)) return undefined
  return z.toJSONSchema(source, { io: 'input', unrepresentable: 'any' }) as JsonSchema
}

/** The JSON Schema of the configuration file with those of the plugins in their places, for editors. */
export function configJsonSchema(plugins: readonly Plugin[] = builtIn): JsonSchema {
  const whole = jsonSchemaOf(schema) as JsonSchema
  const definitions: Record<string, JsonSchema> = {}
  const perPlugin = plugins.flatMap(({ name, schema: own }): JsonSchema[] => {
    const config = jsonSchemaOf(own)
    if (config === undefined) return []
    delete config.$schema
    definitions[name] = config
    return [
      {
        if: { type: 'object', properties: { name: { const: name } }, required: ['name'] },
        // oxlint-disable-next-line unicorn/no-thenable -- the keyword of JSON Schema
        then: { properties: { config: { $ref: `#/$defs/${name}` } } },
      },
    ]
  })
  visit(whole, (node) => {
    if (isPluginEntry(node)) {
      node.allOf = perPlugin
      for (const branch of node.anyOf ?? [])
        if (branch.type === 'string') branch.examples = plugins.map(({ name }) => name)
    }
  })
  const schemas = { ...whole, title: 'Sluice configuration', $defs: definitions }
  visit(schemas, loosen)
  return schemas
}

function isZod(source: unknown): source is z.ZodType {
  return typeof source === 'object' && source !== null && '_zod' in source
}

function isPluginEntry({ anyOf }: JsonSchema): boolean {
  return (
    anyOf?.some(({ properties }) => properties !== undefined && 'on_timeout' in properties && 'use' in properties) ===
    true
  )
}

/** A reference, which is text until it is filled in. */
const reference = '\\$\\{(env|file):'

/** Amounts with a unit are checked by editors, too; every value may be a reference. */
function loosen(node: JsonSchema): void {
  const { unit, off, pattern, type, minimum, maximum, exclusiveMinimum, ...rest } = node
  const mayBeText = type === 'integer' || type === 'number' || type === 'boolean'
  if (unit !== undefined) {
    const units = unit === 'duration' ? '(ms|s|m|h|d)?' : '([kKmMgG]?[bB])?'
    node.pattern = `^[0-9]+(\\.[0-9]+)?${units}$${off === true ? '|^off$' : ''}|${reference}`
    node.minimum = 0
    delete node.unit
    delete node.off
  } else if (pattern !== undefined) {
    node.pattern = `${pattern}|${reference}`
  } else if (mayBeText && rest.const === undefined && rest.enum === undefined) {
    for (const key of ['type', 'minimum', 'maximum', 'exclusiveMinimum'] as const) delete node[key]
    const own = { type, minimum, maximum, exclusiveMinimum }
    node.anyOf = [
      Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)),
      { type: 'string', pattern: reference },
    ]
  }
}

function visit(node: unknown, touch: (node: JsonSchema) => void): void {
  if (Array.isArray(node)) for (const item of node) visit(item, touch)
  else if (typeof node === 'object' && node !== null) {
    for (const [key, item] of Object.entries(node)) if (key !== 'default' && key !== 'examples') visit(item, touch)
    touch(node)
  }
}
