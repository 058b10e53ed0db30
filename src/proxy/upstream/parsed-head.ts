import { STATUS_CODES } from 'node:http'
import type { HeaderList } from '../../core/headers.ts'
import type { ResponseHead } from './client.ts'
import { fieldName, role } from './field-name.ts'

/** How the end of a response's body is known (RFC 9112 §6.3). */
export const framing = { none: 0, length: 1, chunked: 2, close: 3 } as const
export type Framing = (typeof framing)[keyof typeof framing]

/** A response head with what the connection must know of it. Immutable, shared by equal heads. */
export class ParsedHead implements ResponseHead {
  readonly status: number
  readonly headers: Readonly<HeaderList>
  readonly contentLength: number
  readonly block: string
  readonly ascii: boolean
  /** For a request other than HEAD. */
  readonly framing: Framing
  /** The upstream will take another request on this connection. */
  readonly keepAlive: boolean
  /** Milliseconds that the upstream keeps the connection when idle, as its Keep-Alive field says; -1 unknown. */
  readonly idleHint: number
  /** Worth remembering: the same bytes are likely to come again. */
  readonly cacheable: boolean

  constructor(
    status: number,
    headers: Readonly<HeaderList>,
    contentLength: number,
    block: string,
    ascii: boolean,
    framing: Framing,
    keepAlive: boolean,
    idleHint: number,
    cacheable: boolean,
  ) {
    this.status = status
    this.headers = headers
    this.contentLength = contentLength
    this.block = block
    this.ascii = ascii
    this.framing = framing
    this.keepAlive = keepAlive
    this.idleHint = idleHint
    this.cacheable = cacheable
  }
}

const tab = 9
const lf = 10
const cr = 13
const space = 32
const colon = 58
const del = 127

/** Most heads are small. A larger one is not likely to be the same twice, and would fill the cache. */
const mostCachedBytes = 1024

/**
 * Reads a complete head: `bytes[start, end)` from the `H` of the status line to the empty line, CRLF included. The
 * result is the head or, when the upstream can't be trusted, the word for the log.
 *
 * Strict, as a proxy must be: what two parsers could read in two ways is refused (RFC 9112 §2.2, §5, §6.3, §11.2).
 */
export function parseHead(bytes: Buffer, start: number, end: number): ParsedHead | string {
  if (!startsAsHttp1(bytes, start, end)) return 'bad status line'
  const minor = (bytes[start + 7] as number) - 48
  if (minor !== 0 && minor !== 1) return 'unsupported version'
  const status = statusAt(bytes, start)
  if (status === -1) return 'bad status line'

  const text = bytes.toString('latin1', start, end)
  let at = start + 12
  let seen = 0
  while (bytes[at] !== cr) {
    const byte = bytes[at] as number
    if (!isFieldByte(byte)) return 'bad status line'
    seen |= byte
    at++
  }
  if (bytes[at + 1] !== lf) return 'bare CR'
  const statusLine = `${status} ${reasonPhrase(status, text.slice(12, at - start), seen)}`
  at += 2

  const headers: HeaderList = []
  let length = ''
  let coding: string | null = null
  let connection = ''
  let idleHint = -1
  let cacheable = end - start <= mostCachedBytes
  seen = 0

  // The empty line is the last two bytes.
  const last = end - 2
  while (at < last) {
    const nameStart = at
    let byte = bytes[at] as number
    while (byte !== colon && byte !== cr) byte = bytes[++at] as number
    if (byte === cr)
      return bytes[nameStart] === space || bytes[nameStart] === tab ? 'folded field' : 'field without colon'
    const field = fieldName(text.slice(nameStart - start, at - start))
    if (field === null)
      return bytes[nameStart] === space || bytes[nameStart] === tab ? 'folded field' : 'bad field name'

    byte = bytes[++at] as number
    while (byte === space || byte === tab) byte = bytes[++at] as number
    const valueStart = at
    let valueSeen = 0
    while (byte !== cr) {
      if (!isFieldByte(byte)) return byte === lf ? 'bare LF' : 'bad field value'
      valueSeen |= byte
      byte = bytes[++at] as number
    }
    if (bytes[at + 1] !== lf) return 'bare CR'
    let valueEnd = at
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] as number)) valueEnd--
    at += 2

    const value = text.slice(valueStart - start, valueEnd - start)
    switch (field.role) {
      case role.setCookie:
        cacheable = false
        break
      case role.plain:
        break
      case role.dropped:
        continue
      case role.contentLength:
        // An empty value is malformed, and must not look like no field.
        length = length === '' ? (value === '' ? ',' : value) : `${length},${value}`
        continue
      case role.transferEncoding:
        coding = coding === null ? value : `${coding}, ${value}`
        continue
      case role.connection:
        connection = connection === '' ? value : `${connection},${value}`
        continue
      case role.keepAlive:
        idleHint = keepAliveTimeout(value)
        continue
    }
    headers.push(field.name, value)
    seen |= valueSeen
  }

  const contentLength = length === '' ? -1 : parseLength(length)
  if (contentLength === -2) return 'bad content-length'
  if (contentLength === -3) return 'conflicting content-length'
  if (coding !== null) {
    // Both, and the next parser may choose the other one (RFC 9112 §6.3). With HTTP/1.0 it is faulty in any case (§6.1).
    if (contentLength !== -1) return 'content-length with transfer-encoding'
    if (minor === 0) return 'transfer-encoding in HTTP/1.0'
    // Nothing else was asked for (no TE field): a body in another coding could not be passed on.
    if (coding.length !== 7 || coding.toLowerCase() !== 'chunked') return 'bad transfer-encoding'
  }

  let keepAlive = minor === 1
  if (connection !== '') {
    const options = connection.toLowerCase()
    if (options === 'close') keepAlive = false
    else if (options === 'keep-alive') keepAlive = true
    else keepAlive = readOptions(options, keepAlive, headers)
  }

  let block = statusLine
  for (let i = 0; i < headers.length; i += 2) block += `\r\n${headers[i]}: ${headers[i + 1]}`

  const bodyless = status < 200 || status === 204 || status === 304
  return new ParsedHead(
    status,
    headers,
    // A 204 has no length at all (RFC 9110 §8.6); with 304 it is that of the representation.
    status < 200 || status === 204 ? -1 : contentLength,
    block,
    seen < 128,
    bodyless ? framing.none : coding !== null ? framing.chunked : contentLength !== -1 ? framing.length : framing.close,
    keepAlive,
    idleHint,
    cacheable,
  )
}

/** Whether the bytes that are there can be the start of `HTTP/1.`. */
export function startsAsHttp1(bytes: Uint8Array, start: number, end: number): boolean {
  const most = Math.min(end - start, 7)
  for (let i = 0; i < most; i++) if (bytes[start + i] !== httpSlash1Dot.charCodeAt(i)) return false
  return true
}

const httpSlash1Dot = 'HTTP/1.'

/** The status, -1 when `HTTP/1.x` isn't followed by a space and three digits that stand alone (RFC 9112 §4). */
function statusAt(bytes: Uint8Array, start: number): number {
  const hundreds = (bytes[start + 9] as number) - 48
  const tens = (bytes[start + 10] as number) - 48
  const ones = (bytes[start + 11] as number) - 48
  // 600 and above mean nothing that the client could act on (RFC 9110 §15).
  if (bytes[start + 8] !== space || hundreds < 1 || hundreds > 5) return -1
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) return -1
  const after = bytes[start + 12]
  return after === space || after === cr ? hundreds * 100 + tens * 10 + ones : -1
}

/** What follows the status when it is plain ASCII, else the phrase of the standard. */
function reasonPhrase(status: number, rest: string, seen: number): string {
  const phrase = rest.trim()
  return phrase === '' || seen >= 128 || phrase.includes('\t') ? (STATUS_CODES[status] ?? 'Unknown') : phrase
}

function isBlank(byte: number): boolean {
  return byte === space || byte === tab
}

/** A byte that may stand in a field value: no control character but a tab (RFC 9110 §5.5). */
function isFieldByte(byte: number): boolean {
  return byte >= space ? byte !== del : byte === tab
}

/** Length that all items of the list agree on (RFC 9112 §6.3); -2 when one is malformed, -3 when two differ. */
function parseLength(list: string): number {
  const only = parseDigits(list)
  if (only !== -2) return only
  let length = -1
  for (const item of list.split(',')) {
    const one = parseDigits(item.trim())
    if (one === -2) return -2
    if (length !== -1 && length !== one) return -3
    length = one
  }
  return length
}

/** A number of digits only, 15 at most: all of these are exact. Else -2. */
function parseDigits(text: string): number {
  if (text.length === 0 || text.length > 15) return -2
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -2
    value = value * 10 + digit
  }
  return value
}

/** Reads Connection options other than the usual, and drops the fields that they name (RFC 9110 §7.6.1). */
function readOptions(options: string, keepAlive: boolean, headers: HeaderList): boolean {
  let closes = false
  let keeps = keepAlive
  for (const option of options.split(',')) {
    const name = option.trim()
    if (name === 'close') closes = true
    else if (name === 'keep-alive') keeps = true
    else if (name !== '') dropField(headers, name)
  }
  return keeps && !closes
}

function dropField(headers: HeaderList, name: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) if (headers[i] === name) headers.splice(i, 2)
}

const timeoutParameter = /(?:^|[,;\s])timeout\s*=\s*"?([0-9]{1,6})/i

// A server always says the same.
let lastKeepAlive = ''
let lastTimeout = -1

/** The `timeout` of a Keep-Alive field (RFC 2068 §19.7.1.1) in milliseconds, -1 when it has none. */
function keepAliveTimeout(value: string): number {
  if (value === lastKeepAlive) return lastTimeout
  const match = timeoutParameter.exec(value)
  lastKeepAlive = value
  lastTimeout = match === null ? -1 : Number(match[1]) * 1000
  return lastTimeout
}
