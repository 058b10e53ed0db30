import { STATUS_CODES } from 'node:http'
import { type HeaderList, hopByHopHeaders, isFieldValue, isToken } from '../../core/headers.ts'
import type { ResponseHead } from './client.ts'

/** Every character that doesn't fit in one byte of ASCII. */
// eslint-disable-next-line no-control-regex
const beyondAscii = /[^\u0000-\u007f]/
const digits = /^[0-9]{1,15}$/

/** Names that were found to be tokens. Services use few; a hostile one must not fill memory. */
const knownNames = new Set<string>()
const mostNames = 1000

function isName(name: string): boolean {
  if (!isToken(name)) return false
  if (knownNames.size < mostNames) knownNames.add(name)
  return true
}

/**
 * Makes the head that both clients hand on from what a parser read: drops hop-by-hop fields and those that
 * `Connection` names (RFC 9110 §7.6.1), framing (`content-length`, `transfer-encoding`), `date` and
 * `x-request-id` (the listener sends its own), and joins the rest to the block.
 *
 * `fields` holds lower-case names and latin1 values without surrounding whitespace. Null when the head can't be passed
 * on: a name that is no token, a control character in a value or in the reason, a malformed or contradictory
 * Content-Length, a status outside 100..599 (RFC 9110 §15).
 *
 * Framing itself (Transfer-Encoding, which length counts) is the parser's matter; `contentLength` only tells the field.
 */
export function buildResponseHead(status: number, reason: string, fields: Readonly<HeaderList>): ResponseHead | null {
  // One pass over everything costs less than one over each part (bench/micro/response-head.bench.ts).
  if (!(status >= 100 && status <= 599) || !isFieldValue(reason + fields.join(''))) return null

  const named = connectionOptions(fields)
  const headers: HeaderList = []
  let contentLength = -1
  let block = `${status} ${reason === '' ? (STATUS_CODES[status] ?? 'Unknown') : reason}`
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    if (!knownNames.has(name) && !isName(name)) return null
    if (name === 'content-length') {
      const length = parseContentLength(value)
      if (length === -1 || (contentLength !== -1 && contentLength !== length)) return null
      contentLength = length
      continue
    }
    if (
      name === 'date' ||
      name === 'x-request-id' ||
      hopByHopHeaders.has(name) ||
      (named !== null && named.includes(name))
    )
      continue
    headers.push(name, value)
    block += `\r\n${name}: ${value}`
  }
  return { status, headers, contentLength, block, ascii: !beyondAscii.test(block) }
}

/** The end-to-end fields of an interim response (103), or null when one of them is malformed. */
export function interimHeaders(fields: Readonly<HeaderList>): Readonly<HeaderList> | null {
  return buildResponseHead(103, '', fields)?.headers ?? null
}

/** Bytes that a Content-Length field says: digits only, a list of equal numbers allowed (RFC 9110 §8.6); -1 malformed. */
export function parseContentLength(value: string): number {
  if (digits.test(value)) return Number(value)
  let length = -1
  for (const part of value.split(',')) {
    const text = part.trim()
    if (!digits.test(text) || (length !== -1 && length !== Number(text))) return -1
    length = Number(text)
  }
  return length
}

/** Lower-case names that the Connection field lists, besides the well-known ones; null when there are none. */
function connectionOptions(fields: Readonly<HeaderList>): string[] | null {
  let options: string[] | null = null
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'connection') continue
    const value = fields[i + 1] as string
    // What almost every server says: nothing to remember.
    if (value === 'keep-alive' || value === 'close') continue
    for (const option of value.toLowerCase().split(',')) {
      const name = option.trim()
      if (name !== '' && !hopByHopHeaders.has(name)) (options ??= []).push(name)
    }
  }
  return options
}
