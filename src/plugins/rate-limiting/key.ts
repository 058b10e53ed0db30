import { createHash } from 'node:crypto'
import ipaddr from 'ipaddr.js'
import { isAddress } from '../../core/address-set.ts'
import type { AccessContext } from '../../core/context.ts'
import { getHeader } from '../../core/headers.ts'
import type { LimitAlgorithm } from '../../core/services/limits.ts'
import type { LimitRule } from './limit.ts'
import type { Subject } from './subject.ts'

/** Where a rule stands, for keys. */
export interface KeyPlace {
  readonly route: string
  readonly upstream: string
}

/** Names the counter of a request. A text where it is the same for all requests. */
export type Key = string | ((ctx: AccessContext) => string)

/** Encoded values that are remembered per part of a key. They come again and again, and a flood of others must not fill memory. */
const remembered = 4096
const longestRemembered = 128

/** Longer values stand in keys as their hash. */
const longestValue = 64

/**
 * The key of a limit: `how it counts|value|value`. Values are encoded so that no two lists of values give the same key,
 * and no value can hold what means something to a store. A value that is missing is empty, so that all requests without it
 * share one counter: to leave a header out is no way round a limit.
 *
 * How it counts is part of it because a counter of one algorithm, or of other windows, says nothing to another.
 */
export function compileKey(rule: LimitRule, place: KeyPlace): Key {
  const prefix = methodOf(rule)
  const parts = rule.by.flatMap((subject) => partsOf(subject, rule, place))
  if (parts.every((part) => typeof part === 'string')) return [prefix, ...parts].join('|')

  const [first = '', ...rest] = parts
  const head = typeof first === 'string' ? `${prefix}|${first}` : new Part(first.valueOf, first.encode, `${prefix}|`)
  const [second, third, ...more] = rest.map((part) =>
    typeof part === 'string' ? `|${part}` : new Part(part.valueOf, part.encode, '|'),
  )
  if (second === undefined) return (ctx) => textOf(head, ctx)
  if (third === undefined) return (ctx) => textOf(head, ctx) + textOf(second, ctx)
  return (ctx) => {
    let key = textOf(head, ctx) + textOf(second, ctx) + textOf(third, ctx)
    for (let i = 0; i < more.length; i++) key += textOf(more[i] as string | Part, ctx)
    return key
  }
}

function textOf(part: string | Part, ctx: AccessContext): string {
  return typeof part === 'string' ? part : part.text(ctx)
}

/** Short: keys go to Redis with every request. */
const letterOf: Readonly<Record<LimitAlgorithm, string>> = {
  fixed_window: 'f',
  sliding_window: 's',
  sliding_log: 'l',
  token_bucket: 't',
  leaky_bucket: 'b',
  concurrency: 'c',
}

function methodOf({ algorithm, window, calendar }: LimitRule): string {
  if (calendar !== null) return encode(`${calendar.unit}@${calendar.time_zone}`)
  return algorithm === 'concurrency' ? letterOf[algorithm] : `${letterOf[algorithm]}${window}`
}

/** A part of a key that the request decides. */
class Part {
  readonly #valueOf: (ctx: AccessContext) => string
  readonly #encode: (value: string) => string
  readonly #prefix: string
  readonly #texts = new Map<string, string>()

  constructor(valueOf: (ctx: AccessContext) => string, encoded: (value: string) => string, prefix: string) {
    this.#valueOf = valueOf
    this.#encode = encoded
    this.#prefix = prefix
  }

  /** The same text object for a value that comes again: its hash is known to whoever looks it up. */
  text(ctx: AccessContext): string {
    const value = this.#valueOf(ctx)
    let text = this.#texts.get(value)
    if (text !== undefined) return text
    text = this.#prefix + this.#encode(value)
    if (value.length <= longestRemembered) {
      if (this.#texts.size >= remembered) this.#texts.clear()
      this.#texts.set(value, text)
    }
    return text
  }
}

interface Source {
  readonly valueOf: (ctx: AccessContext) => string
  readonly encode: (value: string) => string
}

function partsOf(subject: Subject, { ipv6_prefix }: LimitRule, { route, upstream }: KeyPlace): (string | Source)[] {
  const consumer: Source = { valueOf: ({ consumer: known }) => known?.id ?? '', encode }
  switch (subject.kind) {
    case 'global':
      return ['']
    case 'route':
      return [encode(route)]
    case 'upstream':
      return [encode(upstream)]
    case 'method':
      return [{ valueOf: ({ method }) => method, encode: (method) => (usualMethods.has(method) ? method : '*') }]
    case 'ip':
      return [{ valueOf: ({ clientIp }) => clientIp, encode: (address) => encode(network(address, ipv6_prefix)) }]
    case 'consumer':
      return [consumer]
    case 'credential':
      return [consumer, { valueOf: ({ consumer: known }) => known?.credential ?? '', encode }]
    case 'tenant':
      return [{ valueOf: ({ consumer: known }) => known?.tenant ?? '', encode }]
    case 'header': {
      const { name } = subject
      return [{ valueOf: ({ headers }) => getHeader(headers, name) ?? '', encode: isSecret.test(name) ? hash : encode }]
    }
    case 'claim':
      return [{ valueOf: claimReader(subject.path), encode }]
    case 'path': {
      const { path } = subject
      return [
        {
          valueOf: (ctx) => (ctx.path === path ? path : ctx.clientIp),
          encode: (value) => encode(value === path ? path : network(value, ipv6_prefix)),
        },
      ]
    }
  }
}

/** Others share one counter: clients can make methods up. */
const usualMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Headers whose values nobody but their owner may know: they stand in keys as their hash. */
const isSecret = /auth|cookie|csrf|key|password|secret|session|signature|token/

/** A claim by its name, or by the dotted path to it (`org.id`) where there is none of that name. */
function claimReader(path: string): (ctx: AccessContext) => string {
  const steps = path.split('.')
  return ({ claims }) => {
    if (claims === null) return ''
    if (Object.hasOwn(claims, path)) return claimText(claims[path])
    let value: unknown = claims
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i] as string
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return ''
      value = (value as Record<string, unknown>)[step]
    }
    return claimText(value)
  }
}

function claimText(value: unknown): string {
  if (typeof value === 'string') return value
  return value === null || value === undefined ? '' : JSON.stringify(value)
}

/** The address, or the block of that many bits that an IPv6 address is in. IPv4-mapped addresses are IPv4. */
export function network(text: string, prefix: number): string {
  if (!text.includes(':')) return text
  const zone = text.indexOf('%')
  const bare = zone === -1 ? text : text.slice(0, zone)
  if (!isAddress(bare)) return text
  const address = ipaddr.process(bare)
  if (address.kind() === 'ipv4' || prefix === 128) return address.toString()
  const bytes = address.toByteArray()
  const whole = prefix >> 3
  for (let i = whole; i < bytes.length; i++) {
    bytes[i] = i === whole ? (bytes[i] as number) & (0xff00 >> (prefix & 7)) & 0xff : 0
  }
  return `${ipaddr.fromByteArray(bytes).toString()}/${prefix}`
}

const special = /[^\w.:/@+=*-]/

/** Text of letters, digits and `_.:/@+=*-` as it is; everything else as `%` and four digits. Differs for different values. */
export function encode(value: string): string {
  if (value.length > longestValue) return hash(value)
  return special.test(value) ? value.replace(specials, escaped) : value
}

const specials = /[^\w.:/@+=*-]/g

function escaped(character: string): string {
  return `%${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** `%h` stands before no hexadecimal digits: no encoded text looks like it. */
function hash(value: string): string {
  return value === '' ? '' : `%h${createHash('sha256').update(value).digest('base64url')}`
}
