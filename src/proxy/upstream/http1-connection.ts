import type { Socket } from 'node:net'
import { Client, type Dispatcher } from 'undici'
import type { HeaderList } from '../../core/headers.ts'
import type { ClientSettings, OutgoingRequest } from './client.ts'
import { skipContinue } from './continue.ts'
import { type HandlerOwner, Http1Handler, wordOf } from './http1-handler.ts'
import type { PooledAttempt } from './pooled-attempt.ts'
import type { ConnectionOwner, PooledConnection } from './pooled-connection.ts'
import { toBytes } from './request-field.ts'

/** How a connection reset is called once undici must not take it for a regular end. */
const resetCode = 'CONNECTION_RESET'

/** HTTP/1.1 over one socket: undici's `Client`, whose pool has room for one connection and one request. */
export class Http1Connection implements PooledConnection, HandlerOwner {
  served = 0
  fault: string | null = null

  private readonly socket: Socket
  private readonly client: Client
  private readonly owner: ConnectionOwner
  private readonly settings: ClientSettings
  private handler: Http1Handler | null = null
  private connected = false
  private gone = false
  private settling = false
  private readonly discard = (): void => this.close()

  constructor(socket: Socket, settings: ClientSettings, owner: ConnectionOwner) {
    this.socket = socket
    this.settings = settings
    this.owner = owner
    // Before undici's own listeners. undici takes a reset for the end of a body without a length, which would pass a
    // broken body on as whole, and asserts when its parser is paused at that moment: it must not know the code.
    socket.on('error', (err: NodeJS.ErrnoException) => {
      this.fault = wordOf(err)
      if (err.code === 'ECONNRESET') err.code = resetCode
    })
    socket.once('close', () => this.leave())
    skipContinue(socket, () => this.handler !== null && !this.handler.responding)
    holdBack(socket, () => this.handler !== null && this.handler.paused)
    // As long as undici doesn't look: bytes or an end that nobody asked for, or too long a rest.
    socket.once('readable', this.discard)
    // Zero means forever to a socket, and nothing to undici.
    const idleTimeout = Math.max(1, settings.idleTimeout)
    socket.setTimeout(idleTimeout, this.discard)
    // The name in the origin goes nowhere: the socket is there, and every request brings its Host field.
    this.client = new Client(settings.tls === null ? 'http://upstream' : 'https://upstream', {
      connect: (_options, callback) => this.connect(callback),
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: idleTimeout,
      keepAliveMaxTimeout: idleTimeout,
      maxHeaderSize: settings.maxHeadSize,
    })
    this.client.on('drain', () => {
      if (!this.gone && this.handler !== null && this.handler.finished) this.free()
    })
  }

  /** Requests that it can take now: 1 or 0. */
  get capacity(): number {
    return this.handler === null && !this.gone ? 1 : 0
  }

  /** Sends a request. Nothing else may be on its way. */
  run(attempt: PooledAttempt): void {
    if (this.served++ === 0) {
      this.socket.off('readable', this.discard)
      this.socket.setTimeout(0, this.discard)
    }
    const { method, target, bodyLength } = attempt.request
    const { maxRequests, tls } = this.settings
    const handler = new Http1Handler(attempt, this)
    this.handler = handler
    attempt.carry(handler)
    const options = {
      method,
      path: target,
      headers: outgoingFields(attempt.request),
      body: bodyLength === 0 ? null : handler,
      // Without a name of ours undici asks for a new connection whenever the Host field changes.
      servername: tls?.serverName,
      reset: maxRequests !== 0 && this.served >= maxRequests ? true : undefined,
    }
    // undici takes any async iterable for a body; its types leave that out.
    this.client.dispatch(options as unknown as Dispatcher.DispatchOptions, handler)
    if (handler.refused) this.free()
  }

  /** Ends an idle connection. */
  close(): void {
    this.leave()
    this.socket.destroy()
  }

  unserved(attempt: PooledAttempt): void {
    attempt.drop()
    this.owner.onUnserved(attempt)
  }

  readOn(): void {
    if (!this.gone) this.socket.emit('readable')
  }

  settle(): void {
    if (this.settling || this.gone) return
    this.settling = true
    this.owner.onSettling(1)
  }

  private free(): void {
    this.handler = null
    this.settled()
    this.owner.onFree(this)
  }

  private leave(): void {
    if (this.gone) return
    this.gone = true
    this.settled()
    this.owner.onGone(this)
  }

  private settled(): void {
    if (!this.settling) return
    this.settling = false
    this.owner.onSettling(-1)
  }

  /** undici asks once for the socket that is already there. A second time would be a retry of its own making. */
  private connect(callback: (...args: [null, Socket] | [Error, null]) => void): void {
    const first = !this.connected
    this.connected = true
    queueMicrotask(() => {
      if (first && !this.gone) callback(null, this.socket)
      else callback(new Error('the connection is gone'), null)
    })
  }
}

/**
 * Nothing is read, and so no end is seen, as long as `paused` says so. undici's own way to pause ends the process when the target
 * closes meanwhile: its parser asserts that it is not paused then (github.com/nodejs/undici/issues/5360, open in 7.30).
 */
function holdBack(socket: Socket, paused: () => boolean): void {
  const read = socket.read.bind(socket)
  socket.read = (size?: number): Buffer | null => (paused() ? null : (read(size) as Buffer | null))
}

/** As undici wants them: one flat array, values one character per byte. */
function outgoingFields({ host, headers, shared, bodyLength }: OutgoingRequest): string[] {
  const fields = ['host', host]
  addFields(fields, headers)
  if (shared !== null) addFields(fields, shared.headers)
  if (bodyLength > 0) fields.push('content-length', String(bodyLength))
  return fields
}

function addFields(fields: string[], headers: Readonly<HeaderList>): void {
  for (let i = 0; i < headers.length; i += 2) fields.push(headers[i] as string, toBytes(headers[i + 1] as string))
}
