import type { HeaderList } from '../../core/headers.ts'
import type { RoutedRequest } from './rule.ts'
import { hexValue, sliceEquals } from './text.ts'

/**
 * Walks over the values that a request gives to one name: after `begin`, each `next` that is true leaves a value as
 * `text[start, end)`. One object of each kind serves all requests, since matching never waits; nothing is copied.
 */
export interface FieldValues {
  readonly text: string
  readonly start: number
  readonly end: number
  begin(request: RoutedRequest, name: string): void
  next(): boolean
}

/** Field lines, each a value: a list in one line is not split. */
export class HeaderValues implements FieldValues {
  text = ''
  readonly start = 0
  end = 0
  private headers: Readonly<HeaderList> = []
  private name = ''
  private position = 0

  begin(request: RoutedRequest, name: string): void {
    this.headers = request.headers
    this.name = name
    this.position = 0
  }

  next(): boolean {
    while (this.position < this.headers.length) {
      const at = this.position
      this.position += 2
      if (this.headers[at] !== this.name) continue
      this.text = this.headers[at + 1] as string
      this.end = this.text.length
      return true
    }
    return false
  }
}

const tab = 0x09
const space = 0x20
const quote = 0x22
const percent = 0x25
const ampersand = 0x26
const plus = 0x2b
const equals = 0x3d

/** Parameters of the query, `&` between them. Names and values are compared decoded, `+` being a space. */
export class QueryValues implements FieldValues {
  text = ''
  start = 0
  end = 0
  private query = ''
  private name = ''
  private position = 0

  begin(request: RoutedRequest, name: string): void {
    this.query = request.query
    this.name = name
    this.position = 0
  }

  next(): boolean {
    const { query, name } = this
    while (this.position < query.length) {
      const start = this.position
      let nameEnd = -1
      let nameEncoded = false
      let encoded = false
      let end = start
      for (; end < query.length; end++) {
        const c = query.charCodeAt(end)
        if (c === ampersand) break
        if (c === percent || c === plus) encoded = true
        else if (c === equals && nameEnd < 0) {
          nameEnd = end
          nameEncoded = encoded
          encoded = false
        }
      }
      this.position = end + 1
      if (nameEnd < 0) {
        nameEnd = end
        nameEncoded = encoded
      }
      if (nameEncoded ? decode(query, start, nameEnd) !== name : !sliceEquals(query, start, nameEnd, name)) continue
      if (encoded && nameEnd < end) {
        this.text = decode(query, nameEnd + 1, end)
        this.start = 0
        this.end = this.text.length
      } else {
        this.text = query
        this.start = nameEnd < end ? nameEnd + 1 : end
        this.end = end
      }
      return true
    }
    return false
  }
}

/** Decodes `application/x-www-form-urlencoded` text. What is no valid triplet stays; invalid UTF-8 becomes U+FFFD. */
function decode(text: string, start: number, end: number): string {
  const bytes = Buffer.allocUnsafe(end - start)
  let length = 0
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i)
    const encoded = c === percent && i + 2 < end
    const byte = encoded ? hexValue(text.charCodeAt(i + 1)) * 16 + hexValue(text.charCodeAt(i + 2)) : NaN
    if (byte >= 0) i += 2
    bytes[length++] = byte >= 0 ? byte : c === plus ? space : c
  }
  return bytes.toString('utf8', 0, length)
}

/** Cookies (RFC 6265 §4.2.1), from every `cookie` line; quotes around a value don't belong to it. */
export class CookieValues implements FieldValues {
  text = ''
  start = 0
  end = 0
  private readonly lines = new HeaderValues()
  private name = ''
  private position = 0

  begin(request: RoutedRequest, name: string): void {
    this.lines.begin(request, 'cookie')
    this.name = name
    this.text = ''
    this.position = 0
  }

  next(): boolean {
    for (;;) {
      while (this.position < this.text.length) if (this.pair()) return true
      if (!this.lines.next()) return false
      this.text = this.lines.text
      this.position = 0
    }
  }

  /** Reads the pair at `position`; whether it has the name. */
  private pair(): boolean {
    const { text, name } = this
    let end = text.indexOf(';', this.position)
    if (end < 0) end = text.length
    let start = this.position
    this.position = end + 1
    while (start < end && isBlank(text.charCodeAt(start))) start++
    const nameEnd = start + name.length
    if (nameEnd >= end || text.charCodeAt(nameEnd) !== equals || !sliceEquals(text, start, nameEnd, name)) return false
    start = nameEnd + 1
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--
    if (end > start + 1 && text.charCodeAt(start) === quote && text.charCodeAt(end - 1) === quote) {
      start++
      end--
    }
    this.start = start
    this.end = end
    return true
  }
}

/** Where the media type of a `content-type` ends: before its parameters and the blanks in front of them. */
export function mediaTypeEnd(contentType: string): number {
  let end = contentType.indexOf(';')
  if (end < 0) end = contentType.length
  while (end > 0 && isBlank(contentType.charCodeAt(end - 1))) end--
  return end
}

function isBlank(c: number): boolean {
  return c === space || c === tab
}
