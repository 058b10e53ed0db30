import { type InnerList, type Item, serializeInnerList, serializeItem } from 'structured-headers'
import type { AccessContext } from '../../core/context.ts'
import { type HeaderList, isToken } from '../../core/headers.ts'

/** What of a request a signature can cover. */
export type Message = Pick<
  AccessContext,
  'method' | 'scheme' | 'authority' | 'path' | 'query' | 'bodyLength' | 'headers'
>

/**
 * The text that is signed (RFC 9421 §2.5). `null` when the request lacks one of the components, or has it twice, or when a component
 * is none that is supported here: derived ones of requests, and fields without parameters.
 *
 * The request is taken as it goes on from here, so that nothing else is forwarded than what was signed: a client that wrote its path
 * another way (`/a/../b`) is refused, and so is one that signed a field or query that another plugin has taken a credential from.
 */
export function signedText(message: Message, signed: InnerList): string | null {
  const seen = new Set<string>()
  let text = ''
  for (const component of signed[0]) {
    const identifier = serializeItem(component)
    const value = seen.has(identifier) ? null : valueOf(message, component)
    if (value === null) return null
    seen.add(identifier)
    text += `${identifier}: ${value}\n`
  }
  return `${text}"@signature-params": ${serializeInnerList(signed)}`
}

function valueOf(message: Message, [name, parameters]: Item): string | null {
  if (typeof name !== 'string') return null
  if (name === '@query-param') {
    const wanted = parameters.get('name')
    return parameters.size === 1 && typeof wanted === 'string' ? queryParameter(message.query, wanted) : null
  }
  if (parameters.size > 0) return null
  return name.startsWith('@') ? derived(message, name) : fieldValue(message, name)
}

/** RFC 9421 §2.2. */
function derived(message: Message, name: string): string | null {
  const { method, scheme, path, query } = message
  const target = query === '' ? path : `${path}?${query}`
  switch (name) {
    case '@method':
      return method
    case '@scheme':
      return scheme
    case '@authority':
      return authorityOf(message)
    case '@path':
      return path
    case '@query':
      return `?${query}`
    case '@request-target':
      return target
    case '@target-uri':
      return `${scheme}://${authorityOf(message)}${target}`
    default:
      return null
  }
}

/** Lower-case and without the port that the scheme implies (RFC 9110 §4.2.3). */
function authorityOf({ authority, scheme }: Message): string {
  const lower = authority.toLowerCase()
  const implied = scheme === 'https' ? ':443' : ':80'
  return lower.endsWith(implied) ? lower.slice(0, -implied.length) : lower
}

/** The value of a parameter that is there once (§2.2.8). Name and value are encoded in one way, however the client does it. */
function queryParameter(query: string, wanted: string): string | null {
  let found: string | null = null
  for (const [name, value] of new URLSearchParams(query)) {
    if (encoded(name) !== wanted) continue
    if (found !== null) return null
    found = encoded(value)
  }
  return found
}

function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** All values of a field (§2.1). Those that the gateway takes out of a request stand in its context. */
function fieldValue({ headers, authority, bodyLength }: Message, name: string): string | null {
  if (name === 'host') return authority
  if (name === 'content-length') return bodyLength === -1 ? null : String(bodyLength)
  return isToken(name) && name === name.toLowerCase() ? joined(headers, name) : null
}

function joined(headers: Readonly<HeaderList>, name: string): string | null {
  let value: string | null = null
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue
    const line = (headers[i + 1] as string).trim()
    value = value === null ? line : `${value}, ${line}`
  }
  return value
}
