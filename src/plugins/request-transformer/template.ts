import { randomUUID } from 'node:crypto'
import { unescape } from 'node:querystring'
import type { AccessContext } from '../../core/context.ts'
import { paramOf } from '../../core/context.ts'
import { getHeaderJoined, isToken } from '../../core/headers.ts'
import { queryValue } from './query.ts'

/** A text with placeholders, taken apart: literal text, and what is known only of a request. */
export type Part = string | Placeholder

export interface Placeholder {
  /** `claim`, `param`, `uuid`… */
  readonly source: string
  /** What stands behind the dot; `''` where there is none. */
  readonly name: string
}

/** Reads one value; `null` when the request has none. */
type Reader = (ctx: AccessContext) => string | null

const bare: Readonly<Record<string, Reader>> = {
  uuid: () => randomUUID(),
  client_ip: (ctx) => ctx.clientIp,
  request_id: (ctx) => ctx.requestId,
  host: (ctx) => ctx.hostname,
  path: (ctx) => ctx.path,
  method: (ctx) => ctx.method,
}

const named: Readonly<Record<string, (name: string) => Reader>> = {
  claim: (name) => {
    const keys = name.split('.')
    return (ctx) => claimText(ctx.claims, name, keys)
  },
  consumer: (name) => (ctx) => (ctx.consumer === null ? null : ctx.consumer[name as 'id' | 'name' | 'tier']),
  param: (name) => (ctx) => {
    const value = paramOf(ctx, name)
    return value === undefined ? null : unescape(value)
  },
  header: (name) => {
    const lower = name.toLowerCase()
    return (ctx) => getHeaderJoined(ctx.headers, lower) ?? null
  },
  query: (name) => (ctx) => queryValue(ctx.query, name),
}

/** Without the text itself: it may hold a secret. */
const words =
  'must use no placeholders but uuid, client_ip, request_id, host, path, method, claim.NAME, consumer.id, consumer.name, consumer.tier, ' +
  'param.NAME, header.NAME or query.NAME'

/** Takes a text apart. A fault is a sentence that says what is wrong; `{{` and `}}` stand for the braces themselves. */
export function parseTemplate(text: string): { parts: Part[]; fault: null } | { parts: null; fault: string } {
  const parts: Part[] = []
  let literal = ''
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string
    if (character !== '{' && character !== '}') literal += character
    else if (text[i + 1] === character) {
      literal += character
      i++
    } else {
      const end = character === '{' ? text.indexOf('}', i) : -1
      if (end === -1)
        return {
          parts: null,
          fault: `must have a pair of braces around each placeholder; write a brace itself as "${character}${character}"`,
        }
      const placeholder = placeholderOf(text.slice(i + 1, end))
      if (typeof placeholder === 'string') return { parts: null, fault: placeholder }
      if (literal !== '') parts.push(literal)
      parts.push(placeholder)
      literal = ''
      i = end
    }
  }
  if (literal !== '') parts.push(literal)
  return { parts, fault: null }
}

function placeholderOf(text: string): Placeholder | string {
  const dot = text.indexOf('.')
  const source = dot === -1 ? text : text.slice(0, dot)
  const name = dot === -1 ? '' : text.slice(dot + 1)
  if (dot === -1 ? Object.hasOwn(bare, source) : Object.hasOwn(named, source) && name !== '') {
    if (source === 'consumer' && !['id', 'name', 'tier'].includes(name))
      return 'must use consumer.id, consumer.name or consumer.tier'
    if (source === 'header' && !isToken(name)) return 'must name a header field after "header."'
    return { source, name }
  }
  return words
}

/**
 * A template ready for requests: its text, or `null` when a value in it is missing or can't stand where it goes.
 * `literal` prepares what is known now, `value` what a request brings.
 */
export function compileTemplate(
  parts: readonly Part[],
  literal: (text: string) => string,
  value: (text: string, source: string) => string | null,
): string | Reader {
  const pieces = parts.map((part) => (typeof part === 'string' ? literal(part) : reader(part, value)))
  if (pieces.every((piece) => typeof piece === 'string')) return pieces.join('')
  return (ctx) => {
    let text = ''
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i] as string | Reader
      const part = typeof piece === 'string' ? piece : piece(ctx)
      if (part === null) return null
      text += part
    }
    return text
  }
}

function reader({ source, name }: Placeholder, value: (text: string, source: string) => string | null): Reader {
  const read = name === '' ? (bare[source] as Reader) : (named[source] as (name: string) => Reader)(name)
  return (ctx) => {
    const text = read(ctx)
    return text === null ? null : value(text, source)
  }
}

/**
 * A claim as text: `claim.a.b` is the claim `a.b`, or `b` in the claim `a`. Lists are joined by commas; what has no
 * plain text (an object, a list of lists) is missing.
 */
function claimText(
  claims: Readonly<Record<string, unknown>> | null,
  name: string,
  keys: readonly string[],
): string | null {
  if (claims === null) return null
  if (Object.hasOwn(claims, name)) return scalarText(claims[name])
  let value: unknown = claims
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return null
    value = (value as Record<string, unknown>)[key]
  }
  return scalarText(value)
}

function scalarText(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (!Array.isArray(value)) return null
  const texts = value.map((item) => (Array.isArray(item) ? null : scalarText(item)))
  return texts.includes(null) ? null : texts.join(',')
}
