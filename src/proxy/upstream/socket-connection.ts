import type { Socket } from 'node:net'
import type { RejectionCode } from '../../core/errors.ts'
import type { ClientSettings } from './client.ts'
import { Dial, type Dialer, wordOf } from './dial.ts'
import type { HeadCache } from './head-cache.ts'
import type { ParsedHead } from './parsed-head.ts'
import { readBufferFor } from './read-buffer.ts'
import type { Resolver } from './resolver.ts'
import { ResponseParser, type Step, step } from './response-parser.ts'
import { sendBuffer } from './send-buffer.ts'
import type { Carrier, SocketAttempt } from './socket-attempt.ts'

/** What all connections of a pool share. */
export interface PoolFacts {
  readonly settings: ClientSettings
  readonly resolver: Resolver
  readonly cache: HeadCache
}

/** What a connection tells the pool that it belongs to. */
export interface ConnectionPool extends PoolFacts {
  /** An exchange is over and the connection can carry another one. */
  released(connection: Connection): void
  /** Of no use any more. Comes once. */
  gone(connection: Connection): void
}

/** Body bytes that may wait in a socket before `Attempt.write` asks for a break. */
const highWaterMark = 65_536

/** One keep-alive connection: it carries one exchange after the other, never two at once. */
export class Connection implements Carrier, Dialer {
  /** Connected and not gone. */
  ready = false
  idle = false
  /** When an idle connection ends, as of `performance.now()`. */
  expiresAt = 0
  /** Milliseconds that the upstream said it keeps an idle connection; -1 when it did not say. */
  idleHint = -1

  private readonly pool: ConnectionPool
  private readonly parser: ResponseParser
  private readonly buffer = readBufferFor(process.platform)
  private socket: Socket | null = null
  private attempt: SocketAttempt | null = null
  /** While it is being opened. */
  private dial: Dial | null = null
  /** Requests that it carried, the present one included. */
  private served = 0
  private gone = false
  /** Inside the callback of a read. */
  private reading = false
  /** The upstream refused the rest of the request body. */
  private unwanted = false

  constructor(pool: ConnectionPool) {
    this.pool = pool
    this.parser = new ResponseParser(pool.cache, pool.settings.maxHeadSize)
  }

  /** Connects for `attempt` within `timeout` milliseconds (0: however long it takes), and begins it then. */
  open(attempt: SocketAttempt, timeout: number): void {
    const { settings, resolver } = this.pool
    this.attempt = attempt
    attempt.carrier = this
    this.dial = new Dial(settings.port, { buffer: this.buffer.bytes, callback: (size) => this.read(size) }, this)
    this.dial.start(settings.host, resolver, timeout)
  }

  dialed(socket: Socket): void {
    this.dial = null
    this.socket = socket
    this.ready = true
    socket.on('error', (err: NodeJS.ErrnoException) => this.ended(wordOf(err)))
    socket.on('end', () => this.ended(null))
    socket.on('drain', () => this.drained())
    this.begin(this.attempt as SocketAttempt)
  }

  dialFailed(code: RejectionCode, detail: string): void {
    this.fail(code, detail)
  }

  /** Sends the request of `attempt` and reads the response to it. */
  begin(attempt: SocketAttempt): void {
    const { method } = attempt.request
    this.attempt = attempt
    this.idle = false
    this.served++
    attempt.carrier = this
    this.parser.begin(method === 'HEAD')
    if (attempt.paused) this.pause()
    if (attempt.request.bodyLength === 0) this.sendHead(attempt)
    else if (attempt.kept !== null || attempt.ended) this.sendKept(attempt)
    else sendSoon(attempt)
  }

  sendBody(attempt: SocketAttempt, chunk: Uint8Array): boolean {
    const socket = this.socket as Socket
    if (this.unwanted) return true
    if (!attempt.sent && !this.putHead(attempt)) return true
    if (attempt.request.bodyLength === -1) {
      sendBuffer.text(`${chunk.byteLength.toString(16)}\r\n`)
      sendBuffer.stream(chunk, socket)
      sendBuffer.text('\r\n')
    } else {
      sendBuffer.stream(chunk, socket)
    }
    sendBuffer.flush(socket)
    // Our own mark, as the stream's says no to every big chunk, even one that the kernel took at once.
    attempt.blocked = socket.writableLength > highWaterMark
    return !attempt.blocked
  }

  sendEnd(attempt: SocketAttempt): void {
    if (this.unwanted) return
    if (!attempt.sent && !this.putHead(attempt)) return
    sendBuffer.text('0\r\n\r\n')
    sendBuffer.flush(this.socket as Socket)
  }

  /** Sends a head whose body has not begun. */
  sendHead(attempt: SocketAttempt): void {
    if (this.putHead(attempt)) sendBuffer.flush(this.socket as Socket)
  }

  pause(): void {
    if (this.ready && !this.reading) this.socket?.pause()
  }

  resume(): void {
    if (this.ready && !this.reading) this.socket?.resume()
  }

  letGo(): void {
    this.destroy()
  }

  destroy(): void {
    if (this.gone) return
    this.gone = true
    this.ready = false
    this.attempt = null
    this.dial?.cancel()
    this.socket?.destroy()
    this.pool.gone(this)
  }

  /** Puts the head into the send buffer. False: it can't be sent, and the attempt is over. */
  private putHead(attempt: SocketAttempt): boolean {
    if (sendBuffer.head(attempt.request)) {
      attempt.sent = true
      return true
    }
    attempt.failSoon('internal_error', 'unsafe request head')
    attempt.carrier = null
    this.attempt = null
    this.pool.released(this)
    return false
  }

  /** Sends the head with the body bytes that came before the connection was there. */
  private sendKept(attempt: SocketAttempt): void {
    const { kept, sink } = attempt
    attempt.kept = null
    if (kept !== null) this.sendBody(attempt, kept.length === 1 ? (kept[0] as Buffer) : Buffer.concat(kept))
    if (attempt.over) return
    if (attempt.ended && attempt.request.bodyLength === -1) this.sendEnd(attempt)
    if (!attempt.ended && !attempt.blocked) sink.onDrain()
  }

  private drained(): void {
    const { attempt } = this
    if (attempt === null || !attempt.blocked) return
    attempt.blocked = false
    if (!attempt.ended) attempt.sink.onDrain()
  }

  /** `size` bytes are in the buffer. False stops reading. */
  private read(size: number): boolean {
    const { attempt, parser, buffer } = this
    if (this.gone) return true
    // What comes without a question can be a second answer to the last one: nobody must take it for the next one's.
    if (attempt === null) {
      this.destroy()
      return true
    }
    if (!attempt.sent) {
      this.fail('upstream_bad_response', 'bytes before the request')
      return true
    }
    attempt.answered = true
    this.reading = true
    let result: Step = parser.read(buffer, 0, size)
    while (result === step.interim) {
      const { status, headers } = parser.head as ParsedHead
      attempt.sink.onInterim(status, headers)
      result = attempt.over || parser.position === size ? step.more : parser.read(buffer, parser.position, size)
    }
    if (result === step.failed) this.fail(parser.code, parser.fault)
    else if (result !== step.more) this.deliver(attempt, result, size)
    this.reading = false
    return attempt.over || !attempt.paused
  }

  private deliver(attempt: SocketAttempt, result: Step, size: number): void {
    const { parser, buffer } = this
    const { sink } = attempt
    const { bodyStart, bodyEnd, complete } = parser
    const head = parser.head as ParsedHead
    const body = bodyStart === bodyEnd ? null : buffer.view(bodyStart, bodyEnd)
    if (complete) {
      attempt.over = true
      attempt.carrier = null
      this.attempt = null
    }

    if (result === step.head) {
      sink.onHead(head, body, complete)
    } else {
      if (body !== null) sink.onData(body)
      if (complete && !attempt.aborted) sink.onEnd()
    }

    if (complete) this.finish(attempt, head, parser.position === size)
    // An error and a close: the upstream doesn't want the rest (RFC 9112 §9.5).
    else if (!head.keepAlive && head.status >= 400 && attempt.uploadLeft !== 0 && !attempt.over) this.stopUpload()
  }

  /** `clean`: not a byte came behind the response. */
  private finish(attempt: SocketAttempt, head: ParsedHead, clean: boolean): void {
    const { maxRequests } = this.pool.settings
    const uploaded = attempt.uploadLeft === 0 && this.socket?.writableLength === 0
    const worn = maxRequests !== 0 && this.served >= maxRequests
    if (!clean || !head.keepAlive || !uploaded || worn || head.idleHint === 0) return this.destroy()
    this.idleHint = head.idleHint
    this.pool.released(this)
  }

  private stopUpload(): void {
    this.unwanted = true
    this.drained()
  }

  /** The upstream closed (`error` null) or broke the connection. */
  private ended(error: string | null): void {
    const { attempt, parser } = this
    if (this.gone) return
    if (attempt === null) return this.destroy()
    if (error === null && parser.finish()) {
      attempt.over = true
      attempt.carrier = null
      this.destroy()
      attempt.sink.onEnd()
      return
    }
    this.fail(parser.begun ? 'upstream_body_broken' : 'upstream_connection_closed', error ?? 'closed')
  }

  /** Ends the attempt and the connection. */
  private fail(code: RejectionCode, detail: string): void {
    const { attempt } = this
    if (attempt === null) return this.destroy()
    const stale = this.served > 1 && !attempt.answered
    attempt.over = true
    attempt.carrier = null
    this.destroy()
    attempt.sink.onFailure({ code, detail, unsent: !attempt.sent, stale })
  }
}

let held: SocketAttempt[] = []

/**
 * Sends a head at the end of this turn of the event loop unless its body has begun by then: a small body, which the
 * listener has at hand, leaves in one piece with its head.
 */
function sendSoon(attempt: SocketAttempt): void {
  if (held.push(attempt) === 1) setImmediate(sendHeld)
}

function sendHeld(): void {
  const attempts = held
  held = []
  for (const attempt of attempts) {
    if (!attempt.over && !attempt.sent) (attempt.carrier as Connection).sendHead(attempt)
  }
}
