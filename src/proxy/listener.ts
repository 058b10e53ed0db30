import uws from 'uWebSockets.js'
import { performance } from 'node:perf_hooks'
import { type RejectionCode, reject, rejections } from '../core/errors.ts'
import { isToken, setHeader } from '../core/headers.ts'
import { addressText } from './address.ts'
import { receiveBody } from './body.ts'
import type { Downstream } from './downstream.ts'
import { type Accepting, Exchange } from './exchange.ts'
import { decimal, FieldReader, isSaneRequestId } from './fields.ts'
import { abandoned, handle } from './handle.ts'
import { reply } from './reply.ts'
import { nextRequestId } from './request-id.ts'
import { hostnameOf } from './router/authority.ts'
import { isPathFault, normalizePath, validQuery } from './router/path.ts'
import type { ListenerSettings, Snapshot } from './snapshot.ts'

// Without this it would add a field with its name to every answer.
;(uws as unknown as { _cfg(option: string): void })._cfg('silent')

/**
 * Cipher suites for TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325 §4.2). Those of TLS 1.3 are
 * fixed. The front end has no setting for the lowest version, so for 1.3 the suites of 1.2 are reduced to one that
 * needs a pre-shared key, which nobody has: no TLS 1.2 handshake succeeds.
 */
const tls12Ciphers = { '1.2': 'ECDHE+AESGCM:ECDHE+CHACHA20', '1.3': 'PSK-AES128-CBC-SHA' } as const

/** What a listener needs of the worker that runs it. */
export interface ListenerHost extends Accepting {
  readonly snapshot: Snapshot
  accept(exchange: Exchange): void
  /** A connection came (1) or went (-1). False: there are too many, close it. */
  connection(change: number): boolean
}

/** One address that the worker listens on: requests come in here, and here only. */
export class Listener {
  settings: ListenerSettings
  /** Connections that are open. */
  connections = 0
  /**
   * Who holds all of them: behind one load balancer or sidecar every connection has the same peer. `''` when there are
   * several. Asking the front end for a request's peer costs a system call and an ArrayBuffer, 1.5 µs
   * (native-notes/front-end.md), and it tells of a connection's end only after its address is gone.
   */
  peer = ''
  readonly #host: ListenerHost
  readonly #app: uws.TemplatedApp
  #socket: uws.us_listen_socket | null = null

  constructor(settings: ListenerSettings, host: ListenerHost) {
    this.settings = settings
    this.#host = host
    this.#app = settings.tls === null ? uws.App() : secureApp(settings.tls)
    this.#serve(this.#app)
    for (const name of serverNames(settings)) this.#serve(this.#app.domain(name))
    this.#app.filter((downstream, change) => {
      if (Number(change) < 0) this.#closed()
      else this.#opened(downstream)
    })
  }

  #opened(downstream: uws.HttpResponse): void {
    const peer = addressText(downstream.getRemoteAddress())
    if (this.connections === 0) this.peer = peer
    else if (this.peer !== peer) this.peer = ''
    this.connections++
    if (!this.#host.connection(1)) downstream.close()
  }

  #closed(): void {
    this.connections--
    this.#host.connection(-1)
  }

  #serve(app: uws.TemplatedApp): void {
    app.any('/*', (downstream, request) => receive(this.#host, this, downstream, request))
  }

  /** Opens the port; several workers share it (SO_REUSEPORT). */
  listen(): Promise<void> {
    const { host, port } = this.settings
    return new Promise((resolve, reject) => {
      this.#app.listen(host, port, (socket) => {
        if (socket === false) return reject(new Error(`can't listen on ${host}:${port}`))
        this.#socket = socket
        resolve()
      })
    })
  }

  /** Accepts no further connections; those that are open stay. */
  stopAccepting(): void {
    if (this.#socket !== null) uws.us_listen_socket_close(this.#socket)
    this.#socket = null
  }

  /** Closes everything at once. */
  close(): void {
    this.#socket = null
    this.#app.close()
  }
}

function secureApp(tls: NonNullable<ListenerSettings['tls']>): uws.TemplatedApp {
  const options = (cert: string, key: string): uws.AppOptions => ({
    cert_file_name: cert,
    key_file_name: key,
    ssl_ciphers: tls12Ciphers[tls.min_version],
  })
  const fallback = tls.certificates.find(({ hosts }) => hosts.length === 0) ?? tls.certificates[0]
  if (fallback === undefined) throw new Error('a TLS listener needs a certificate')
  const app = uws.SSLApp(options(fallback.cert, fallback.key))
  for (const { cert, key, hosts } of tls.certificates) {
    for (const host of hosts) app.addServerName(host, options(cert, key))
  }
  return app
}

function serverNames(settings: ListenerSettings): string[] {
  return settings.tls === null ? [] : settings.tls.certificates.flatMap(({ hosts }) => hosts)
}

// Reading is synchronous: one reader serves all requests of the worker.
const fields = new FieldReader()

/** From the front end's request, which dies with this call, to an exchange that owns all it needs. */
function receive(host: ListenerHost, listener: Listener, downstream: Downstream, request: uws.HttpRequest): void {
  const { snapshot } = host
  const { settings } = listener
  const exchange = new Exchange(downstream, snapshot, host)
  exchange.startedAt = performance.now()
  exchange.method = request.getCaseSensitiveMethod()
  const url = request.getUrl()
  exchange.query = request.getQuery() ?? ''
  fields.begin(snapshot.fieldRoles, exchange.headers)
  request.forEach(fields.add)

  exchange.scheme = settings.tls === null ? 'http' : 'https'
  exchange.port = settings.port
  exchange.remoteIp = remoteAddress(listener, downstream as uws.HttpResponse, snapshot)
  exchange.requestId = isSaneRequestId(fields.requestId) ? fields.requestId : nextRequestId()
  host.accept(exchange)

  const fault = faultOf(exchange, url, settings, snapshot)
  if (fault !== null) refuse(exchange, fault)
  else if (fields.maxForwards !== '' && exchange.method === 'OPTIONS') forwardOptions(exchange)
  else handle(exchange)
  if (exchange.phase === 'done') return

  // Still open: from here on the front end must be able to say that the client went away.
  downstream.onAborted(() => abandoned(exchange))
  if (exchange.bodyLength !== 0) downstream.onData((chunk, isLast) => receiveBody(exchange, chunk, isLast))
}

/** What is wrong with the request, or null. Fills what the rest of the way needs of it. */
function faultOf(
  exchange: Exchange,
  url: string,
  settings: ListenerSettings,
  snapshot: Snapshot,
): RejectionCode | null {
  const { limits } = snapshot
  exchange.path = url
  exchange.authority = fields.host ?? ''
  exchange.bodyLength = fields.bodyLength()
  exchange.bodyReceived = exchange.bodyLength === 0
  fields.dropConnectionFields()
  fields.resolveClient(exchange, snapshot.trustedProxies)
  exchange.via = fields.via
  if (exchange.method !== 'GET' && !isToken(exchange.method)) return 'bad_method'
  if (fields.fault !== null) return fields.fault
  exchange.hostname = hostnameOf(exchange.authority)
  if (exchange.hostname === '') return 'bad_host'
  if (url.length + exchange.query.length >= limits.uri_length) return 'uri_too_long'
  if (fields.exceeds(limits.header_count, limits.header_size)) return 'headers_too_large'

  const path = normalizePath(url, settings.path_policy)
  if (isPathFault(path)) return path
  exchange.path = path
  if (!validQuery(exchange.query)) return 'bad_path'
  if (exchange.method === 'TRACE' || exchange.method === 'CONNECT') return 'method_not_supported'
  const { body_size } = settings
  if (body_size !== null && body_size !== 0) {
    if (exchange.bodyLength > body_size) return 'body_too_large'
    exchange.bodyLimit = body_size
  }
  return null
}

const allowedMethods = ['allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']

function refuse(exchange: Exchange, fault: RejectionCode): void {
  reply(exchange, fault === 'method_not_supported' ? reject(fault, { headers: allowedMethods }) : rejections[fault])
}

const optionsReply = { status: 200, headers: allowedMethods, body: '' }

/** Max-Forwards counts hops for OPTIONS (RFC 9110 §7.6.2): at zero the gateway is the one that was asked. */
function forwardOptions(exchange: Exchange): void {
  const hops = decimal(fields.maxForwards)
  if (hops === 0) return reply(exchange, optionsReply)
  if (hops > 0) setHeader(exchange.headers, 'max-forwards', String(hops - 1))
  handle(exchange)
}

function remoteAddress(listener: Listener, downstream: uws.HttpResponse, snapshot: Snapshot): string {
  const peer = listener.peer === '' ? addressText(downstream.getRemoteAddress()) : listener.peer
  if (!listener.settings.proxy_protocol || !snapshot.trustedProxies.has(peer)) return peer
  const proxied = downstream.getProxiedRemoteAddress()
  return proxied.byteLength === 0 ? peer : addressText(proxied)
}
