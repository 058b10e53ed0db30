import type { AccessContext } from '../../core/context.ts'
import { type Rejection, reject } from '../../core/errors.ts'
import { isFieldValue } from '../../core/headers.ts'
import { ConfigFault, definePlugin, type Fact } from '../../core/plugin.ts'
import { type EditKind, editHeaders, type HeaderEdit, splitPair } from '../header-edit.ts'
import { clientFields } from './client-fields.ts'
import { compilePath, compileRewrite, safePath } from './path.ts'
import { editQuery, encodeQuery, type QueryEdit } from './query.ts'
import { type Config, schema } from './schema.ts'
import { compileTemplate, type Part, parseTemplate } from './template.ts'

/**
 * Changes what goes to the upstream: header fields, query, path.
 *
 * Values are made before anything is changed, so that they show the request as it came to this plugin. A value that
 * can't be had (a claim that the token lacks) or that may not stand in a header (a line break in a claim) is not
 * written; `set` and `replace` then take away what they would have written over.
 */
export const requestTransformer = definePlugin<Config>({
  name: 'request-transformer',
  summary: 'Changes header fields, query and path of the request that goes to the upstream.',
  class: 'transformation',
  priority: 801,
  phases: ['access'],
  schema,

  requires(config) {
    const facts = new Set<Fact>()
    for (const { parts } of templatesOf(config)) {
      for (const part of parts) {
        if (typeof part === 'string') continue
        if (part.source === 'claim') facts.add('claims')
        if (part.source === 'consumer') facts.add('consumer')
      }
    }
    return [...facts]
  },

  injects({ set, add }) {
    const names = [...set.headers, ...add.headers].map((text) => splitPair(text)[0].toLowerCase())
    return [...new Set(names)].filter((name) => !clientFields.has(name) && name !== 'x-request-id')
  },

  create(config, { route }) {
    for (const { parts, path } of templatesOf(config)) checkParams(parts, route.paramNames, path)
    const changeHeaders = compileHeaders(config)
    const changeQuery = compileQuery(config)
    const changePath = compilePathChange(config)
    if (changeHeaders === null && changeQuery === null && changePath === null) return {}

    return {
      access(ctx) {
        const rejection = changePath?.(ctx)
        if (rejection !== undefined) return rejection
        const query = changeQuery === null ? null : changeQuery(ctx)
        changeHeaders?.(ctx)
        if (query !== null) ctx.query = query
        return undefined
      },
    }
  },
})

const order: readonly EditKind[] = ['remove', 'rename', 'replace', 'set', 'add', 'append']
const writing = ['replace', 'set', 'add', 'append'] as const

/** Every template of a configuration, with its place. */
function templatesOf(config: Config): { parts: readonly Part[]; path: readonly (string | number)[] }[] {
  const texts: [text: string | undefined, path: (string | number)[]][] = writing.flatMap((kind) => [
    ...config[kind].headers.map((pair, i): [string, (string | number)[]] => [splitPair(pair)[1], [kind, 'headers', i]]),
    ...config[kind].querystring.map((pair, i): [string, (string | number)[]] => [
      splitPair(pair)[1],
      [kind, 'querystring', i],
    ]),
  ])
  texts.push([config.replace.path, ['replace', 'path']])
  texts.push([config.replace.uri, ['replace', 'uri']])
  texts.push([config.path?.replacement, ['path', 'replacement']])
  return texts.flatMap(([text, path]) => (text === undefined ? [] : [{ parts: partsOf(text), path }]))
}

/** The schema has let only sound templates through. */
function partsOf(text: string): readonly Part[] {
  return parseTemplate(text).parts ?? []
}

function checkParams(parts: readonly Part[], names: readonly string[], path: readonly (string | number)[]): void {
  for (const part of parts) {
    if (typeof part === 'string' || part.source !== 'param' || names.includes(part.name)) continue
    const known = names.length === 0 ? 'its paths have none' : `its paths have ${names.join(', ')}`
    throw new ConfigFault(`must use parameters of the route, not "${part.name}": ${known}`, path)
  }
}

type Values = (ctx: AccessContext) => readonly (string | null)[]

/** All values at once; the same list for every request when nothing in them depends on it. */
function compileValues(templates: readonly ReturnType<typeof compileTemplate>[]): Values {
  if (templates.every((template) => typeof template === 'string')) {
    const constants = templates
    return () => constants
  }
  return (ctx) => {
    const values: (string | null)[] = []
    for (let i = 0; i < templates.length; i++) {
      const template = templates[i] as (typeof templates)[number]
      values.push(typeof template === 'string' ? template : template(ctx))
    }
    return values
  }
}

function compileHeaders(config: Config): ((ctx: AccessContext) => void) | null {
  const edits: HeaderEdit[] = []
  const templates: ReturnType<typeof compileTemplate>[] = []
  for (const kind of order) {
    for (const entry of config[kind].headers) {
      const [name, text] = kind === 'remove' ? [entry, ''] : splitPair(entry)
      const edit = { kind, name: name.toLowerCase(), to: '', slot: -1 }
      if (kind === 'add' && edit.name === 'x-request-id') continue
      if (kind === 'remove') edits.push(edit)
      else if (kind === 'rename') edits.push({ ...edit, to: text.toLowerCase() })
      else {
        edits.push({ ...edit, slot: templates.length })
        templates.push(compileTemplate(partsOf(text), (literal) => literal, fieldValue))
      }
    }
  }
  if (edits.length === 0) return null
  const values = compileValues(templates)
  return (ctx) => editHeaders(ctx.headers, edits, values(ctx))
}

function fieldValue(text: string): string | null {
  return isFieldValue(text) ? text : null
}

function compileQuery(config: Config): ((ctx: AccessContext) => string) | null {
  const edits: QueryEdit[] = []
  const templates: ReturnType<typeof compileTemplate>[] = []
  for (const kind of order) {
    for (const entry of config[kind].querystring) {
      const [name, text] = kind === 'remove' ? [entry, ''] : splitPair(entry)
      if (kind === 'remove') edits.push({ kind, name, written: '', slot: -1 })
      else if (kind === 'rename') edits.push({ kind, name, written: encodeQuery(text), slot: -1 })
      else {
        edits.push({ kind, name, written: encodeQuery(name), slot: templates.length })
        templates.push(compileTemplate(partsOf(text), encodeQuery, encodeQuery))
      }
    }
  }
  if (edits.length === 0) return null
  const values = compileValues(templates)
  return (ctx) => editQuery(ctx.query, edits, values(ctx))
}

const missingValue = reject('bad_path', {
  close: false,
  detail: 'request-transformer: a value for the path is missing',
})
const unsafeValue = reject('ambiguous_path', {
  close: false,
  detail: 'request-transformer: a value does not fit the path',
})

function compilePathChange({ path: rewrite, replace }: Config): ((ctx: AccessContext) => Rejection | undefined) | null {
  const template = replace.path ?? replace.uri
  if (template !== undefined) {
    const write = compilePath(partsOf(template))
    return (ctx) => take(ctx, write(ctx))
  }
  if (rewrite === undefined) return null
  const replaceIn = compileRewrite(rewrite.regex, rewrite.replacement)
  return (ctx) => {
    const path = replaceIn(ctx.upstreamPath ?? ctx.path, ctx)
    return path === undefined ? undefined : take(ctx, path)
  }
}

function take(ctx: AccessContext, path: string | null): Rejection | undefined {
  if (path === null) return missingValue
  const safe = safePath(path)
  if (safe === null) return unsafeValue
  ctx.upstreamPath = safe
  return undefined
}
