import { z } from 'zod'
import { identityHeaders, isFieldValue, isToken } from '../../core/headers.ts'
import { gatewayFields } from '../fields.ts'
import { headerNameFault, pair } from '../header-edit.ts'
import { pathTextFault, rewriteFault } from './path.ts'
import { type Part, parseTemplate } from './template.ts'

const headerPlaceholderHints: Readonly<Record<string, string>> = {
  host: '{host}',
  'x-request-id': '{request_id}',
  'x-forwarded-for': '{client_ip}',
}

function templateFault(text: string): string | null {
  const { parts, fault } = parseTemplate(text)
  if (fault !== null) return fault
  for (const part of parts) {
    if (typeof part === 'string' || part.source !== 'header') continue
    const hint = headerPlaceholderHints[part.name.toLowerCase()]
    if (hint !== undefined) return `must use ${hint} in place of {header.${part.name}}`
  }
  return null
}

function headerFault(name: string, value: string): string | null {
  const fault = headerNameFault(name, gatewayFields) ?? templateFault(value)
  return fault ?? (isFieldValue(value) ? null : 'must not hold control characters')
}

/** Kong users add an X-Request-ID; every request has one here, so there is nothing to add, and nothing wrong with it. */
function addedHeaderFault(name: string, value: string): string | null {
  return name.toLowerCase() === 'x-request-id' ? templateFault(value) : headerFault(name, value)
}

function renamedHeaderFault(name: string, to: string): string | null {
  const fault = headerNameFault(name, gatewayFields)
  if (fault !== null) return fault
  if (!isToken(to)) return 'must end with the name of a header field'
  if (gatewayFields.has(to.toLowerCase())) return `must not touch "${to}": the gateway sets that itself`
  if (identityHeaders.includes(to.toLowerCase()))
    return `must not make "${to}" of what a client sends: services trust that header`
  return null
}

const headerToRemove = z.string().superRefine((name, context) => {
  const fault = headerNameFault(name, gatewayFields)
  if (fault !== null) context.addIssue(fault)
})

const parameter = (name: string): string | null => (name === '' ? 'must begin with the name of a parameter' : null)
const header = pair(headerFault)
const queryParameter = pair((name, value) => parameter(name) ?? templateFault(value))

const path = z.string().superRefine((text, context) => {
  const { parts, fault } = parseTemplate(text)
  const message = fault ?? pathFault(parts)
  if (message !== null) context.addIssue(message)
})

function pathFault(parts: readonly Part[] | null): string | null {
  const [first] = parts ?? []
  if (typeof first === 'string' ? !first.startsWith('/') : first?.source !== 'path') return 'must begin with "/"'
  for (const part of parts ?? []) {
    const fault = typeof part === 'string' ? pathTextFault(part) : null
    if (fault !== null) return fault
  }
  return null
}

const written = (what: string) =>
  z
    .strictObject({
      headers: z.array(header).default([]).describe(`Headers ${what}: \`name:value\`.`),
      querystring: z.array(queryParameter).default([]).describe(`Query parameters ${what}: \`name:value\`.`),
    })
    .prefault({})

const replacedPath = path
  .optional()
  .describe('The path that the upstream gets, e.g. `/v2/users/{param.id}`. `strip_path` does not apply to it.')

export const schema = z
  .strictObject({
    remove: z
      .strictObject({
        headers: z.array(headerToRemove).default([]).describe('Headers to take away.'),
        querystring: z.array(z.string().min(1)).default([]).describe('Query parameters to take away.'),
      })
      .prefault({})
      .describe('First, things are taken away.'),
    rename: z
      .strictObject({
        headers: z.array(pair(renamedHeaderFault)).default([]).describe('Headers to rename: `old:new`.'),
        querystring: z
          .array(pair((name, to) => parameter(name) ?? parameter(to)))
          .default([])
          .describe('Query parameters to rename: `old:new`.'),
      })
      .prefault({})
      .describe('Then things are renamed.'),
    replace: written('to write anew, where the request has them')
      .unwrap()
      .extend({ path: replacedPath, uri: replacedPath.describe("Kong's name for `path`.") })
      .prefault({})
      .describe('Then what is there gets new values.'),
    set: written('to write, whether the request has them or not').describe('Then things are set.'),
    add: z
      .strictObject({
        headers: z
          .array(pair(addedHeaderFault))
          .default([])
          .describe('Headers to write where the request has none of the name: `name:value`.'),
        querystring: z
          .array(queryParameter)
          .default([])
          .describe('Query parameters to write where the request has none of the name: `name:value`.'),
      })
      .prefault({})
      .describe('Then what is missing is added.'),
    append: written('to write besides those that are there').describe('Last, further values are appended.'),
    path: z
      .strictObject({
        regex: z.string().min(1).describe('Regular expression that is looked for in the path.'),
        replacement: z
          .string()
          .describe(
            'What its first find becomes; `$1` and `$<name>` stand for its groups. `strip_path` does not apply then.',
          ),
      })
      .superRefine(({ regex, replacement }, context) => {
        const fault = rewriteFault(regex, replacement)
        if (fault !== null) context.addIssue({ code: 'custom', path: [fault.key], message: fault.message })
      })
      .optional()
      .describe('Rewrites the path that the upstream gets.'),
  })
  .superRefine(({ replace, path: rewrite }, context) => {
    const ways = [replace.path, replace.uri, rewrite].filter((way) => way !== undefined)
    if (ways.length > 1) context.addIssue('must write the path in one way: "path", "replace.path" or "replace.uri"')
  })

export type Config = z.output<typeof schema>
