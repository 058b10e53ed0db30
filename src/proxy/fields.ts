import { type AddressSet, isAddress } from '../core/address-set.ts'
import type { RejectionCode } from '../core/errors.ts'
import { type HeaderList, hopByHopHeaders, identityHeaders, removeHeader } from '../core/headers.ts'
import type { Exchange } from './exchange.ts'

/**
 * What a request field needs besides being passed on. Fields without a role are end-to-end and go to the upstream as
 * they came.
 */
const role = {
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  hopByHop: 5,
  expect: 6,
  /** Headers by which services learn who calls: only the gateway may set them. */
  identity: 7,
  requestId: 8,
  forwardedFor: 9,
  forwardedProto: 10,
  forwardedHost: 11,
  forwardedPort: 12,
  forwarded: 13,
  realIp: 14,
  via: 15,
  maxForwards: 16,
} as const

export type FieldRoles = ReadonlyMap<string, number>

/** The roles of request fields; `injected` are the headers (lower-case) that configured plugins add. */
export function fieldRoles(injected: Iterable<string>): FieldRoles {
  const roles = new Map<string, number>()
  for (const name of injected) roles.set(name, role.identity)
  for (const name of identityHeaders) roles.set(name, role.identity)
  for (const name of hopByHopHeaders) roles.set(name, role.hopByHop)
  roles.set('host', role.host)
  roles.set('content-length', role.contentLength)
  roles.set('transfer-encoding', role.transferEncoding)
  roles.set('connection', role.connection)
  roles.set('expect', role.expect)
  roles.set('x-request-id', role.requestId)
  roles.set('x-forwarded-for', role.forwardedFor)
  roles.set('x-forwarded-proto', role.forwardedProto)
  roles.set('x-forwarded-host', role.forwardedHost)
  roles.set('x-forwarded-port', role.forwardedPort)
  roles.set('forwarded', role.forwarded)
  roles.set('x-real-ip', role.realIp)
  roles.set('via', role.via)
  roles.set('max-forwards', role.maxForwards)
  return roles
}

/**
 * Sorts the fields of one request as the front end hands them over. One instance serves all requests: reading is
 * synchronous, so nothing of one request is left when the next begins, and a request allocates only what it keeps.
 */
export class FieldReader {
  /** The first fault found, or `null`. */
  fault: RejectionCode | null = null
  host: string | null = null
  connection = ''
  requestId = ''
  via = ''
  maxForwards = ''

  #contentLength = -1
  #chunked = false
  #forwardedFor = ''
  #forwardedProto = ''
  #forwardedHost = ''
  #forwardedPort = ''
  #forwarded = ''
  #realIp = ''
  #count = 0
  #size = 0
  #headers: HeaderList = []
  #roles: FieldRoles = new Map()

  /** Call before the fields of a request; they land in `headers`. */
  begin(roles: FieldRoles, headers: HeaderList): void {
    this.fault = null
    this.host = null
    this.connection = ''
    this.requestId = ''
    this.via = ''
    this.maxForwards = ''
    this.#contentLength = -1
    this.#chunked = false
    this.#forwardedFor = ''
    this.#forwardedProto = ''
    this.#forwardedHost = ''
    this.#forwardedPort = ''
    this.#forwarded = ''
    this.#realIp = ''
    this.#count = 0
    this.#size = 0
    this.#headers = headers
    this.#roles = roles
  }

  /** One field: a bound function, so that the front end's loop needs no closure per request. */
  readonly add = (name: string, value: string): void => {
    this.#count++
    this.#size += name.length + value.length + 4
    // The front end decodes values as UTF-8; bytes that are not come as U+FFFD and can't be passed on as they were.
    if (value.includes('\ufffd')) this.fault ??= 'bad_header'
    const kind = this.#roles.get(name)
    if (kind === undefined) this.#headers.push(name, value)
    else this.#take(kind, name, value)
  }

  #take(kind: number, name: string, value: string): void {
    switch (kind) {
      case role.host:
        if (this.host !== null) this.fault ??= 'bad_host'
        this.host = value
        break
      case role.contentLength:
        this.#takeContentLength(value)
        break
      case role.transferEncoding:
        if (this.#chunked || value.toLowerCase() !== 'chunked') this.fault ??= 'bad_transfer_encoding'
        this.#chunked = true
        break
      case role.connection:
        this.connection = joined(this.connection, value)
        break
      case role.expect:
        // The front end has already answered 100-continue; nothing else can be expected (RFC 9110 §10.1.1).
        if (value.toLowerCase() !== '100-continue') this.fault ??= 'expectation_failed'
        break
      case role.requestId:
        this.requestId = value
        break
      case role.forwardedFor:
        this.#forwardedFor = joined(this.#forwardedFor, value)
        break
      case role.forwardedProto:
        this.#forwardedProto = value
        break
      case role.forwardedHost:
        this.#forwardedHost = value
        break
      case role.forwardedPort:
        this.#forwardedPort = value
        break
      case role.forwarded:
        this.#forwarded = joined(this.#forwarded, value)
        break
      case role.realIp:
        this.#realIp = value
        break
      case role.via:
        this.via = joined(this.via, value)
        break
      case role.maxForwards:
        this.maxForwards = value
        this.#headers.push(name, value)
        break
      default: // hop-by-hop and identity: stop here
    }
  }

  #takeContentLength(value: string): void {
    const length = decimal(value)
    if (length === -1 || (this.#contentLength !== -1 && this.#contentLength !== length))
      this.fault ??= 'bad_content_length'
    this.#contentLength = length
  }

  /** Whether count or size of the fields passes the limits. */
  exceeds(count: number, size: number): boolean {
    return this.#count > count || this.#size > size
  }

  /** Bytes of the body: 0 none, -1 chunked. Sets `fault` when both framings are there (RFC 9112 §6.3). */
  bodyLength(): number {
    if (!this.#chunked) return this.#contentLength === -1 ? 0 : this.#contentLength
    if (this.#contentLength !== -1) this.fault ??= 'bad_content_length'
    return -1
  }

  /** Removes the fields that `Connection` names (RFC 9110 §7.6.1). */
  dropConnectionFields(): void {
    if (this.connection === '') return
    const lower = this.connection.toLowerCase()
    if (lower === 'keep-alive' || lower === 'close') return
    for (const option of lower.split(',')) removeHeader(this.#headers, option.trim())
  }

  /**
   * Decides who the client is and what it addressed: the peer, unless a trusted proxy speaks for somebody else
   * (`X-Forwarded-*`, or `Forwarded` of RFC 7239). What an untrusted peer claims is dropped.
   */
  resolveClient(exchange: Exchange, trusted: AddressSet): void {
    exchange.clientIp = exchange.remoteIp
    exchange.forwardedFor = exchange.remoteIp
    exchange.forwardedHost = exchange.authority
    if (!trusted.has(exchange.remoteIp)) return

    const proto = this.#forwardedProto.toLowerCase()
    if (proto === 'http' || proto === 'https') exchange.scheme = proto
    const port = decimal(this.#forwardedPort)
    if (port > 0 && port < 65_536) exchange.port = port
    if (this.#forwardedHost !== '') exchange.forwardedHost = this.#forwardedHost
    if (this.#realIp !== '') this.#headers.push('x-real-ip', this.#realIp)
    if (this.#forwarded !== '') {
      this.#headers.push('forwarded', `${this.#forwarded}, for=${forwardedNode(exchange.remoteIp)}`)
    }
    if (this.#forwardedFor !== '') {
      exchange.clientIp = firstUntrusted(this.#forwardedFor.split(','), exchange.remoteIp, trusted)
      exchange.forwardedFor = `${this.#forwardedFor}, ${exchange.remoteIp}`
    } else if (this.#forwarded !== '') {
      exchange.clientIp = firstUntrusted(forwardedNodes(this.#forwarded), exchange.remoteIp, trusted)
      exchange.forwardedFor =
        exchange.clientIp === exchange.remoteIp ? exchange.remoteIp : `${exchange.clientIp}, ${exchange.remoteIp}`
    }
  }
}

function joined(before: string, value: string): string {
  return before === '' ? value : `${before}, ${value}`
}

/** From the nearest hop back to the client: the first address that no trusted proxy vouches beyond. */
function firstUntrusted(hops: readonly string[], peer: string, trusted: AddressSet): string {
  let client = peer
  for (let i = hops.length - 1; i >= 0; i--) {
    const address = bareAddress(hops[i] as string)
    if (!isAddress(address)) return client
    client = address
    if (!trusted.has(address)) return client
  }
  return client
}

/** `[2001:db8::1]:443` and `192.0.2.1:443` without brackets and port. */
function bareAddress(node: string): string {
  const text = node.trim()
  if (text.startsWith('[')) return text.slice(1, Math.max(text.indexOf(']'), 1))
  const colon = text.indexOf(':')
  return colon !== -1 && colon === text.lastIndexOf(':') ? text.slice(0, colon) : text
}

/** The `for` nodes of a Forwarded field (RFC 7239 §4), nearest hop last. */
function forwardedNodes(field: string): string[] {
  return field.split(',').map((element) => {
    const pair = element.split(';').find((part) => part.trim().toLowerCase().startsWith('for='))
    return pair === undefined ? '' : pair.trim().slice(4).replaceAll('"', '')
  })
}

function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address
}

/** A string of digits as a number, or -1: no sign, space, exponent or value that a double can't hold exactly. */
export function decimal(text: string): number {
  if (text.length === 0 || text.length > 15) return -1
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/** Whether a client's request id may be kept: 1 to 128 visible characters that need no quoting anywhere. */
export function isSaneRequestId(id: string): boolean {
  if (id.length === 0 || id.length > 128) return false
  for (let i = 0; i < id.length; i++) {
    const c = id.charCodeAt(i)
    const fine =
      (c >= 97 && c <= 122) ||
      (c >= 48 && c <= 57) ||
      (c >= 65 && c <= 90) ||
      c === 45 ||
      c === 95 ||
      c === 46 ||
      c === 58 ||
      c === 43 ||
      c === 61 ||
      c === 47
    if (!fine) return false
  }
  return true
}
