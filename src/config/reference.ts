import { type JsonSchema, jsonSchemaOf } from './json-schema.ts'
import { schema } from './schema.ts'

/** One table of the configuration reference. */
export interface ReferenceTable {
  /** `routes[]`; `''` for the top level. */
  readonly path: string
  /** What it is about, in a sentence. */
  readonly description: string
  /** Markdown. */
  readonly table: string
}

/** Tables of all configuration keys, from the schema: the top level, then one for each mapping or list of mappings. */
export function referenceTables(): ReferenceTable[] {
  const whole = jsonSchemaOf(schema) as JsonSchema
  const tables: ReferenceTable[] = [{ path: '', description: 'Top level.', table: markdown(rowsOf(whole, '', false)) }]
  for (const [key, node] of Object.entries(whole.properties ?? {})) {
    const mapping = mappingIn(node)
    if (mapping !== null && key !== 'plugins') {
      const { path, inner } = mapping
      tables.push({
        path: `${key}${path}`,
        description: node.description ?? '',
        table: markdown(rowsOf(inner, '', true)),
      })
    }
    if (key === 'routes') tables.push(pluginTable(mapping?.inner))
  }
  return tables
}

/** A Markdown table of the keys that a zod schema takes: name, type, default, description. `''` when there are none. */
export function schemaTable(source: unknown): string {
  const node = jsonSchemaOf(source)
  const mapping = node === undefined ? null : mappingIn(node)
  return mapping === null ? '' : markdown(rowsOf(mapping.inner, '', true))
}

interface Row {
  readonly key: string
  readonly type: string
  readonly fallback: string
  readonly description: string
}

/** Entries of `plugins` look alike everywhere and are told of once. */
function pluginTable(route: JsonSchema | undefined): ReferenceTable {
  const plugins = route?.properties?.['plugins']
  const entry = plugins === undefined ? null : mappingIn(plugins)
  return {
    path: 'plugins[]',
    description:
      'An entry of any list of plugins: at the top level, on a route or on an upstream. A bare name stands for `{ name }`.',
    table: entry === null ? '' : markdown(rowsOf(entry.inner, '', true)),
  }
}

function rowsOf(mapping: JsonSchema, prefix: string, deep: boolean): Row[] {
  return Object.entries(mapping.properties ?? {}).flatMap(([key, node]) => {
    const own: Row = {
      key: `${prefix}${key}`,
      type: typeOf(node),
      fallback: mapping.required?.includes(key) === true ? 'required' : fallbackOf(node),
      description: node.description ?? '',
    }
    const inner = deep && key !== 'plugins' ? mappingIn(node) : null
    // An upstream in place is written as those of `upstreams` are.
    if (inner === null || key === 'upstream') return [own]
    return [own, ...rowsOf(inner.inner, `${own.key}${inner.path}.`, true)]
  })
}

/** The mapping that a value is, or that its items are. */
function mappingIn(node: JsonSchema): { path: string; inner: JsonSchema } | null {
  if (node.properties !== undefined) return { path: '', inner: node }
  if (node.items !== undefined) {
    const item = mappingIn(node.items)
    return item === null ? null : { path: `[]${item.path}`, inner: item.inner }
  }
  for (const branch of node.anyOf ?? []) {
    const mapping = mappingIn(branch)
    if (mapping !== null) return mapping
  }
  return null
}

function typeOf(node: JsonSchema): string {
  if (node.unit !== undefined) return node.off === true ? `${node.unit} or \`off\`` : node.unit
  if (node.const !== undefined) return code(node.const)
  if (node.enum !== undefined) return node.enum.map(code).join(' or ')
  if (node.anyOf !== undefined) return alternatives(node.anyOf.map(typeOf))
  if (node.items !== undefined) return `list of ${plural(typeOf(node.items))}`
  if (node.properties !== undefined) return 'mapping'
  if (Array.isArray(node.type)) return node.type.join(' or ')
  switch (node.type) {
    case 'object':
      return typeof node.additionalProperties === 'object'
        ? `mapping of ${plural(typeOf(node.additionalProperties))}`
        : 'mapping'
    case 'boolean':
      return '`true` or `false`'
    case undefined:
      return 'anything'
    default:
      return node.type
  }
}

/** `false` is accepted wherever `off` is, as YAML 1.1 had it: not worth a word. */
function alternatives(types: readonly string[]): string {
  const words = [...new Set(types.flatMap((type) => type.split(' or ')))]
  return words.filter((word) => word !== '`false`' || !words.includes('`off`')).join(' or ')
}

function plural(type: string): string {
  return type.includes(' or ') || type.includes('`') ? `(${type})` : `${type}s`
}

function fallbackOf(node: JsonSchema): string {
  const { default: value } = node
  if (value === undefined) return ''
  // A default of `{}` only says that every key within has one.
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0) return ''
  if (Array.isArray(value) && value.length === 0) return 'none'
  return code(value)
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

function markdown(rows: readonly Row[]): string {
  if (rows.length === 0) return ''
  const lines = rows.map(
    ({ key, type, fallback, description }) =>
      `| \`${key}\` | ${cell(type)} | ${cell(fallback)} | ${cell(description)} |`,
  )
  return ['| key | type | default | |', '| --- | --- | --- | --- |', ...lines, ''].join('\n')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
