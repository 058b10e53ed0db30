import type { AccessContext } from '../core/context.ts'
import { type HeaderList, removeHeader } from '../core/headers.ts'

/** Where a credential may stand in a request. */
export interface CredentialSource {
  readonly in: 'header' | 'query' | 'cookie'
  /** Lower-case for a header. */
  readonly name: string
  /** For a header: the lower-case authentication scheme that must stand before it (`bearer`); `null`: it is the whole value. */
  readonly scheme: string | null
}

/** The request holds a credential twice, so that two readers of it could take different ones. */
export const ambiguous: unique symbol = Symbol('ambiguous')

type Carrier = Pick<AccessContext, 'headers' | 'query'>
type Found = string | null | typeof ambiguous

/** Reads the credential of a request, and takes it out of what the upstream gets. */
export class CredentialReader {
  readonly #sources: readonly CredentialSource[]

  constructor(sources: readonly CredentialSource[]) {
    this.#sources = sources
  }

  /**
   * The credential in the first source that has one, never `''`; `null` when none has. Query parameters are percent-decoded.
   */
  read(ctx: Carrier): Found {
    const sources = this.#sources
    for (let i = 0; i < sources.length; i++) {
      const found = readSource(ctx, sources[i] as CredentialSource)
      if (found !== null && found !== '') return found
    }
    return null
  }

  /**
   * Takes away what stands in any of the sources: also the credential that was not looked at because another came first. Other
   * cookies, other query parameters and fields with another scheme stay as they are.
   */
  remove(ctx: Carrier): void {
    const sources = this.#sources
    for (let i = 0; i < sources.length; i++) {
      const { in: place, name, scheme } = sources[i] as CredentialSource
      if (place === 'query') ctx.query = without(ctx.query, '&', name)
      else if (place === 'cookie') removeCookie(ctx.headers, name)
      else if (scheme === null) removeHeader(ctx.headers, name)
      else removeSchemed(ctx.headers, name, scheme)
    }
  }
}

function readSource(ctx: Carrier, source: CredentialSource): Found {
  if (source.in === 'query') return ctx.query === '' ? null : valueIn(ctx.query, '&', source.name)
  const { headers } = ctx
  return source.in === 'header' ? headerCredential(headers, source) : cookieCredential(headers, source.name)
}

function headerCredential(headers: Readonly<HeaderList>, { name, scheme }: CredentialSource): Found {
  let value: string | null = null
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== name) continue
    if (value !== null) return ambiguous
    value = headers[i + 1] as string
  }
  if (value === null || scheme === null) return value
  return hasScheme(value, scheme) ? value.slice(skipSpace(value, scheme.length)) : null
}

/** Whether `value` begins with the scheme, in any case, and ends or goes on with space (RFC 9110 §11.4). */
function hasScheme(value: string, scheme: string): boolean {
  const { length } = scheme
  if (value.length < length || (value.length > length && skipSpace(value, length) === length)) return false
  // `| 32` makes letters small and leaves digits and hyphens alone: no copy in lower case is made.
  for (let i = 0; i < length; i++) if ((value.charCodeAt(i) | 32) !== scheme.charCodeAt(i)) return false
  return true
}

function removeSchemed(headers: HeaderList, name: string, scheme: string): void {
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === name && hasScheme(headers[i + 1] as string, scheme)) continue
    headers[kept++] = headers[i] as string
    headers[kept++] = headers[i + 1] as string
  }
  headers.length = kept
}

/** A browser may send a cookie of one name for several paths: the same value twice is fine. */
function cookieCredential(headers: Readonly<HeaderList>, name: string): Found {
  let found: string | null = null
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== 'cookie') continue
    const value = valueIn(headers[i + 1] as string, ';', name)
    if (value === null) continue
    if (value === ambiguous || (found !== null && found !== value)) return ambiguous
    found = value
  }
  return found
}

function removeCookie(headers: HeaderList, name: string): void {
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    const isCookie = headers[i] === 'cookie'
    const value = headers[i + 1] as string
    const left = isCookie ? without(value, ';', name) : value
    if (isCookie && left === '') continue
    headers[kept++] = headers[i] as string
    headers[kept++] = left
  }
  headers.length = kept
}

type Separator = '&' | ';'

/** The value of that name in a query or a cookie field. */
function valueIn(text: string, separator: Separator, name: string): Found {
  let found: string | null = null
  for (let start = 0; start <= text.length; ) {
    const end = endOf(text, separator, start)
    const value = valueOfPair(text, separator, start, end, name)
    if (value !== null) {
      if (found !== null && (separator === '&' || found !== value)) return ambiguous
      found = value
    }
    start = end + 1
  }
  return found
}

/** A query or a cookie field without what has that name. */
function without(text: string, separator: Separator, name: string): string {
  let left = ''
  let count = 0
  let isChanged = false
  for (let start = 0; start <= text.length; ) {
    const end = endOf(text, separator, start)
    if (valueOfPair(text, separator, start, end, name) !== null) isChanged = true
    else if (count++ === 0) left = text.slice(separator === ';' ? skipSpace(text, start) : start, end)
    else left += text.slice(start - 1, end)
    start = end + 1
  }
  return isChanged ? left : text
}

function endOf(text: string, separator: Separator, start: number): number {
  const end = text.indexOf(separator, start)
  return end === -1 ? text.length : end
}

/** The value of `name=value` between `start` and `end`; `null` when it has another name. */
function valueOfPair(text: string, separator: Separator, start: number, end: number, name: string): string | null {
  const isCookie = separator === ';'
  const from = isCookie ? skipSpace(text, start) : start
  const equals = text.indexOf('=', from)
  const valueStart = equals === -1 || equals > end ? end : equals
  const nameEnd = isCookie ? skipSpaceBefore(text, valueStart, from) : valueStart
  const isNamed = nameEnd - from === name.length && text.startsWith(name, from)
  // `%6Awt` is `jwt` to whoever decodes the query behind us.
  if (!isNamed && (isCookie || decoded(text.slice(from, nameEnd)) !== name)) return null
  const value = text.slice(Math.min(valueStart + 1, end), end)
  return isCookie ? unquoted(value) : decoded(value)
}

function skipSpace(text: string, start: number): number {
  let from = start
  while (text.charCodeAt(from) === 32 || text.charCodeAt(from) === 9) from++
  return from
}

function skipSpaceBefore(text: string, end: number, start: number): number {
  let to = end
  while (to > start && (text.charCodeAt(to - 1) === 32 || text.charCodeAt(to - 1) === 9)) to--
  return to
}

/** A cookie's value may stand in quotes, which are no part of it for most readers (RFC 6265 §4.1.1). */
function unquoted(text: string): string {
  const value = text.trim()
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}

/** What can't be decoded stays as it is. A plus sign is a plus sign: keys have no spaces. */
function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
