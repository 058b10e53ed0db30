import { AddressSet } from '../../core/address-set.ts'
import { getHeader } from '../../core/headers.ts'
import type { FieldValues } from './field.ts'
import { CookieValues, HeaderValues, mediaTypeEnd, QueryValues } from './field.ts'
import type { FieldPredicate, RoutedRequest } from './rule.ts'
import { compileRegex, RuleError } from './rule.ts'
import { sliceEquals, sliceEqualsIgnoringCase } from './text.ts'

/** A demand on the request beyond host, path and method. */
export interface Predicate {
  holds(request: RoutedRequest): boolean
  /** The demand in words, for the route table. */
  describe(): string
  /** Why a request for which it does not hold fails, in words. */
  explain(request: RoutedRequest): string
}

const headerValues = new HeaderValues()
const queryValues = new QueryValues()
const cookieValues = new CookieValues()

const sources = { header: headerValues, query: queryValues, cookie: cookieValues } satisfies Record<string, FieldValues>

/** Where a field predicate looks. */
export type FieldSource = keyof typeof sources

/** Compiles a demand on a header, a query parameter or a cookie; throws a `RuleError`. */
export function compileField(source: FieldSource, field: FieldPredicate): Predicate {
  const name = source === 'header' ? field.name.toLowerCase() : field.name
  if (name === '') throw new RuleError('the name is empty')
  const regex = field.pattern === null ? null : compileRegex(field.pattern)
  return new FieldDemand(`${source} ${name}`, sources[source], name, field.values, regex)
}

class FieldDemand implements Predicate {
  private readonly subject: string
  private readonly source: FieldValues
  private readonly name: string
  private readonly values: readonly string[]
  private readonly regex: RegExp | null

  constructor(subject: string, source: FieldValues, name: string, values: readonly string[], regex: RegExp | null) {
    this.subject = subject
    this.source = source
    this.name = name
    this.values = values
    this.regex = regex
  }

  holds(request: RoutedRequest): boolean {
    this.source.begin(request, this.name)
    while (this.source.next()) if (this.accepts(this.source)) return true
    return false
  }

  private accepts({ text, start, end }: FieldValues): boolean {
    if (this.values.length === 0 && this.regex === null) return true
    for (let i = 0; i < this.values.length; i++) {
      if (sliceEquals(text, start, end, this.values[i] as string)) return true
    }
    // A part of a text has to be cut out for a regex; `slice` returns the text itself when it is all of it.
    return this.regex !== null && this.regex.test(text.slice(start, end))
  }

  describe(): string {
    const wanted = this.wanted()
    return wanted === '' ? `${this.subject} present` : `${this.subject}: ${wanted}`
  }

  explain(request: RoutedRequest): string {
    this.source.begin(request, this.name)
    if (!this.source.next()) return `${this.subject}: absent`
    const sent = [this.source.text.slice(this.source.start, this.source.end)]
    while (this.source.next()) sent.push(this.source.text.slice(this.source.start, this.source.end))
    return `${this.subject}: ${sent.map(quoted).join(', ')} is not ${this.wanted()}`
  }

  private wanted(): string {
    const wanted = this.values.map(quoted)
    if (this.regex !== null) wanted.push(`~${this.regex.source}`)
    return wanted.join(', ')
  }
}

const slash = 0x2f
const mediaType = /^[!#$%&'+\-.^_`|~0-9a-z]+\/(?:\*|[!#$%&'+\-.^_`|~0-9a-z]+)$/

/** Reads `application/json` or `application/*`; throws a `RuleError`. */
export function parseMediaType(text: string): string {
  const type = text.toLowerCase()
  if (!mediaType.test(type))
    throw new RuleError('must be a media type, without parameters (`application/json`, `text/*`)')
  return type
}

/** The body has one of these media types, as `parseMediaType` returns them. */
export class ContentTypeDemand implements Predicate {
  private readonly types: readonly string[]
  /** The same without a final `*`: `application/` takes all that begins so and goes on. */
  private readonly heads: readonly string[]

  constructor(types: readonly string[]) {
    this.types = types
    this.heads = types.map((type) => (type.endsWith('/*') ? type.slice(0, -1) : type))
  }

  holds(request: RoutedRequest): boolean {
    const sent = getHeader(request.headers, 'content-type')
    if (sent === undefined) return false
    const end = mediaTypeEnd(sent)
    for (let i = 0; i < this.heads.length; i++) {
      const head = this.heads[i] as string
      if (head.charCodeAt(head.length - 1) === slash) {
        if (end > head.length && sliceEqualsIgnoringCase(sent, 0, head.length, head)) return true
      } else if (sliceEqualsIgnoringCase(sent, 0, end, head)) return true
    }
    return false
  }

  describe(): string {
    return `content type: ${this.types.join(', ')}`
  }

  explain(request: RoutedRequest): string {
    const sent = getHeader(request.headers, 'content-type')
    if (sent === undefined) return 'content type: absent'
    return `content type: ${quoted(sent.slice(0, mediaTypeEnd(sent)))} is not ${this.types.join(', ')}`
  }
}

/** The client's address lies in one of these ranges. */
export class ClientIpDemand implements Predicate {
  private readonly ranges: readonly string[]
  private readonly addresses: AddressSet

  constructor(ranges: readonly string[]) {
    this.ranges = ranges
    this.addresses = new AddressSet(ranges)
  }

  holds(request: RoutedRequest): boolean {
    return this.addresses.has(request.clientIp)
  }

  describe(): string {
    return `client ip: ${this.text()}`
  }

  explain(request: RoutedRequest): string {
    return `client ip: ${request.clientIp} is not in ${this.text()}`
  }

  private text(): string {
    return this.ranges.join(', ')
  }
}

function quoted(value: string): string {
  return JSON.stringify(value)
}
