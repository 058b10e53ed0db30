import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import type { Socket } from 'node:net'
import type { RejectionCode } from '../../core/errors.ts'
import type { HeaderList } from '../../core/headers.ts'
import type { ClientSettings, OutgoingRequest } from './client.ts'
import type { Carrier, PooledAttempt } from './pooled-attempt.ts'
import type { ConnectionOwner, PooledConnection } from './pooled-connection.ts'
import { toBytes } from './request-field.ts'
import { buildResponseHead, interimHeaders } from './response-head.ts'

/** Bytes of one response that may be on their way while nobody reads, and of all responses of a connection. */
const streamWindow = 262_144
const connectionWindow = 4_194_304
/** Streams at once until the target says how many it takes. */
const streamsAtFirst = 100
/** Milliseconds that an answer to a ping may take before the connection counts as dead. */
const pingTimeout = 5_000

/** HTTP/2 over one socket (RFC 9113). */
export class Http2Connection implements PooledConnection {
  served = 0
  running = 0

  private readonly session: ClientHttp2Session
  private readonly owner: ConnectionOwner
  private readonly settings: ClientSettings
  private readonly idleTimer: NodeJS.Timeout
  private streams = streamsAtFirst
  private retired = false
  private gone = false
  private pinging = false

  constructor(socket: Socket, settings: ClientSettings, owner: ConnectionOwner) {
    this.settings = settings
    this.owner = owner
    // The name in the origin goes nowhere: the socket is there, and every request brings its authority.
    this.session = connect(settings.tls === null ? 'http://upstream' : 'https://upstream', {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: streamWindow, maxHeaderListSize: settings.maxHeadSize },
    })
    this.session.once('connect', () => this.session.setLocalWindowSize(connectionWindow))
    this.session.on('remoteSettings', ({ maxConcurrentStreams }) => {
      this.streams = maxConcurrentStreams ?? streamsAtFirst
      if (this.capacity > 0) owner.onFree(this)
    })
    // Node lets the streams finish that the target still answers, and refuses the others.
    this.session.once('goaway', () => this.retire())
    // Every stream learns of it by itself.
    this.session.on('error', () => this.retire())
    this.session.once('close', () => this.leave())
    this.idleTimer = setTimeout(() => {
      if (this.running === 0) this.retire()
    }, settings.idleTimeout)
    this.idleTimer.unref()
  }

  get capacity(): number {
    return this.retired ? 0 : this.streams - this.running
  }

  run(attempt: PooledAttempt): void {
    this.running++
    this.served++
    if (this.settings.maxRequests !== 0 && this.served >= this.settings.maxRequests) this.stopTaking()
    const handler = new Http2Handler(attempt, this, this.served > 1)
    attempt.carry(handler)
    handler.begin(this.session, this.settings)
  }

  /** Takes no further requests and ends when those that it has are finished. */
  retire(): void {
    this.stopTaking()
    if (!this.session.closed) this.session.close()
  }

  /** A stream is over. */
  onStreamEnd(): void {
    this.running--
    if (this.running === 0) {
      this.idleTimer.refresh()
      if (this.retired) this.retire()
    }
    if (this.capacity > 0) this.owner.onFree(this)
  }

  unserved(attempt: PooledAttempt): void {
    this.retire()
    attempt.drop()
    this.owner.onUnserved(attempt)
  }

  /** Somebody gave up waiting for an answer. When the target is gone, no other stream will see one either. */
  probe(): void {
    if (this.pinging || this.session.destroyed) return
    this.pinging = true
    const timer = setTimeout(() => this.session.destroy(), pingTimeout)
    timer.unref()
    this.session.ping(() => {
      this.pinging = false
      clearTimeout(timer)
    })
  }

  private stopTaking(): void {
    if (this.retired) return
    this.retired = true
    this.owner.onRetired(this)
  }

  private leave(): void {
    if (this.gone) return
    this.gone = true
    this.retired = true
    clearTimeout(this.idleTimer)
    this.owner.onGone(this)
  }
}

/** One stream: a request and its response. */
class Http2Handler implements Carrier {
  private readonly attempt: PooledAttempt
  private readonly connection: Http2Connection
  private readonly reused: boolean
  private stream: ClientHttp2Stream | null = null
  /** The response is complete. */
  private finished = false
  private blocked = false
  /** The end of the request body went out, or never will. */
  private bodyTold = false
  /** The end of the response was read; it came by a reset. */
  private whole = false
  private cut = false

  constructor(attempt: PooledAttempt, connection: Http2Connection, reused: boolean) {
    this.attempt = attempt
    this.connection = connection
    this.reused = reused
  }

  begin(session: ClientHttp2Session, settings: ClientSettings): void {
    const { attempt, connection } = this
    const { request } = attempt
    let stream: ClientHttp2Stream
    try {
      stream = session.request(pseudoAndFields(request, settings), { endStream: request.bodyLength === 0 })
    } catch (err) {
      // The session ended in this very tick, or a field is one that HTTP/2 doesn't allow.
      if (session.closed || session.destroyed) connection.unserved(attempt)
      else attempt.fail('internal_error', (err as NodeJS.ErrnoException).code ?? 'bad request', true, false)
      connection.onStreamEnd()
      return
    }
    this.stream = stream
    // A reset without an error in the middle of a body looks like its end to everybody but this function: the stream is
    // closed before it ends.
    const push = stream.push.bind(stream)
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (chunk === null) {
        this.cut ||= stream.closed && !this.whole
        this.whole = true
      }
      return push(chunk, encoding)
    }
    this.bodyTold = request.bodyLength === 0
    stream.on('headers', (_headers, _flags, raw?: string[]) => this.onInterim(raw as string[]))
    stream.once('response', (headers, flags, raw?: string[]) => {
      this.onResponse(headers[':status'] as number, flags, raw as string[], settings.maxHeadSize)
    })
    stream.once('error', (err: NodeJS.ErrnoException) => this.onEnded(err.code ?? err.name))
    stream.once('close', () => {
      this.onEnded(null)
      connection.onStreamEnd()
    })
    if (!this.bodyTold) {
      stream.on('drain', () => {
        this.blocked = false
        this.onBody()
      })
      this.onBody()
    }
  }

  // ── Carrier

  onBody(): void {
    const { stream, attempt } = this
    if (stream === null || this.blocked || this.bodyTold) return
    for (let chunk = attempt.take(); chunk !== null; chunk = attempt.take()) {
      if (stream.write(chunk)) continue
      this.blocked = true
      return
    }
    if (!attempt.ended) return
    this.bodyTold = true
    stream.end()
  }

  onPause(): void {
    this.stream?.pause()
  }

  onResume(): void {
    this.stream?.resume()
  }

  onAbort(): void {
    const { stream } = this
    if (stream === null || (this.finished && this.bodyTold)) return
    if (!this.finished && !this.attempt.begun) this.connection.probe()
    this.finished = true
    // Node would end the request body first, in the regular way, and then reset the stream: what broke off would reach
    // the target as whole. Without this step only the reset goes out.
    if (!this.bodyTold) stream._final = (done) => done()
    this.bodyTold = true
    stream.close(constants.NGHTTP2_CANCEL)
  }

  // ── The stream

  private onInterim(raw: readonly string[]): void {
    const status = Number(raw[1])
    if (status === 100 || this.attempt.over) return
    const headers = status === 101 ? null : interimHeaders(fieldsOf(raw))
    if (headers === null) this.attempt.fail('upstream_bad_response', 'bad interim response', false, false)
    else this.attempt.interim(status, headers)
  }

  private onResponse(status: number, flags: number, raw: readonly string[], maxHeadSize: number): void {
    const { attempt } = this
    const stream = this.stream as ClientHttp2Stream
    if (attempt.over) return
    const fields = fieldsOf(raw)
    if (sizeOf(fields) > maxHeadSize) return attempt.fail('upstream_response_too_large', 'head', false, false)
    const head = buildResponseHead(status, '', fields)
    if (head === null) return attempt.fail('upstream_bad_response', 'bad head', false, false)
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) {
      this.finished = true
      attempt.head(head, null, true)
      stream.resume()
      return
    }
    stream.on('data', (chunk: Buffer) => attempt.data(chunk))
    stream.once('end', () => {
      if (attempt.over || this.cut) return
      this.finished = true
      attempt.complete()
    })
    attempt.head(head, null, false)
  }

  private onEnded(error: string | null): void {
    const { attempt } = this
    if (attempt.over) return
    this.finished = true
    this.bodyTold = true
    const rst = this.stream?.rstCode
    const detail = error !== null && error !== 'ERR_HTTP2_STREAM_ERROR' ? error : `reset ${rst ?? 'unknown'}`
    if (attempt.begun) return attempt.fail('upstream_body_broken', detail, false, false)
    // The target says that it has not touched the request (RFC 9113 §8.7).
    const unsent = rst === constants.NGHTTP2_REFUSED_STREAM
    const code = failureCode(error, rst)
    attempt.fail(code, detail, unsent, !unsent && this.reused && code === 'upstream_connection_closed' && rst === 0)
  }
}

function failureCode(error: string | null, rst: number | undefined): RejectionCode {
  if (error === 'ERR_HTTP2_ERROR' || error === 'ERR_HTTP2_SESSION_ERROR') return 'upstream_bad_response'
  if (error !== null && error.startsWith('ERR_SSL_')) return 'upstream_tls_failed'
  // nghttp2 gives the stream up for a head that breaks the rules, and for one that goes over our limit.
  if (rst === constants.NGHTTP2_PROTOCOL_ERROR) return 'upstream_bad_response'
  if (rst === constants.NGHTTP2_ENHANCE_YOUR_CALM) return 'upstream_response_too_large'
  return 'upstream_connection_closed'
}

/** Fields of one name go out as one line each: Node takes a list for that. */
function pseudoAndFields(request: OutgoingRequest, settings: ClientSettings): Record<string, string | string[]> {
  const { method, target, host, headers, shared, bodyLength } = request
  const fields: Record<string, string | string[]> = {
    ':method': method,
    ':scheme': settings.tls === null ? 'http' : 'https',
    ':authority': toBytes(host),
    ':path': target,
  }
  addFields(fields, headers)
  if (shared !== null) addFields(fields, shared.headers)
  if (bodyLength > 0) fields['content-length'] = String(bodyLength)
  return fields
}

function addFields(fields: Record<string, string | string[]>, headers: Readonly<HeaderList>): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = toBytes(headers[i + 1] as string)
    const before = fields[name]
    if (before === undefined) fields[name] = value
    else if (typeof before === 'string') fields[name] = [before, value]
    else before.push(value)
  }
}

/** Without the pseudo fields. Node hands values over one character per byte. */
function fieldsOf(raw: readonly string[]): HeaderList {
  const fields: HeaderList = []
  for (let i = 0; i < raw.length; i += 2) {
    if (!(raw[i] as string).startsWith(':')) fields.push(raw[i] as string, raw[i + 1] as string)
  }
  return fields
}

/** As HTTP/2 counts a field section (RFC 9113 §6.5.2). */
function sizeOf(fields: Readonly<HeaderList>): number {
  let size = 0
  for (let i = 0; i < fields.length; i += 2)
    size += (fields[i] as string).length + (fields[i + 1] as string).length + 32
  return size
}
