import type { Socket } from 'node:net'
import type { RejectionCode } from '../../core/errors.ts'
import { Dial, type Dialer, wordOf } from './dial.ts'
import type { ParsedHead } from './parsed-head.ts'
import { readBufferFor } from './read-buffer.ts'
import { ResponseParser, step } from './response-parser.ts'
import { sendBuffer } from './send-buffer.ts'
import type { Carrier, SocketAttempt } from './socket-attempt.ts'
import type { PoolFacts } from './socket-connection.ts'

/** What a pipeline tells the pool that it belongs to. */
export interface PipelinePool extends PoolFacts {
  /** Everything is answered: it can carry the next requests. */
  emptied(pipeline: Pipeline): void
  /** Of no use any more. Comes once. */
  gone(pipeline: Pipeline): void
  /** They have no answer yet and must be carried otherwise. `late`: because the one before them takes too long. */
  strand(attempts: readonly SocketAttempt[], late: boolean): void
}

/**
 * A connection that carries several requests at once (RFC 9112 §9.3.2): those of one turn of the event loop leave in one write,
 * and many answers come in one read. It takes new ones only when all are answered, so that an upstream that answers slowly has
 * short lines on many connections.
 *
 * All requests must be such that they may be sent again: whoever stands behind one that takes too long, or on a connection that
 * dies, is sent again elsewhere, and what is still answered to it here is thrown away with the connection.
 */
export class Pipeline implements Carrier, Dialer {
  ready = false
  idle = false
  /** When an idle one ends, as of `performance.now()`. */
  expiresAt = 0
  /** Milliseconds that the upstream said it keeps an idle connection; -1 when it did not say. */
  idleHint = -1
  /** Requests of the present turn have been added and not sent. */
  touched = false

  private readonly pool: PipelinePool
  private readonly parser: ResponseParser
  private readonly buffer = readBufferFor(process.platform)
  /** From `first` on: those without a complete answer. */
  private line: SocketAttempt[] = []
  private first = 0
  /** How many of the line have been sent. */
  private sent = 0
  /** When the first of the line became that, as the sweep sees time; 0: since the last sweep. */
  private firstSince = 0
  private socket: Socket | null = null
  private dial: Dial | null = null
  private served = 0
  private gone = false
  /** Answers will come that nobody waits for: nothing may follow them. */
  private retired = false
  private reading = false

  constructor(pool: PipelinePool) {
    this.pool = pool
    this.parser = new ResponseParser(pool.cache, pool.settings.maxHeadSize)
  }

  /** Requests without a complete answer. */
  get length(): number {
    return this.line.length - this.first
  }

  /** Connects within `timeout` milliseconds (0: however long it takes). */
  open(timeout: number): void {
    const { settings, resolver } = this.pool
    this.dial = new Dial(settings.port, { buffer: this.buffer.bytes, callback: (size) => this.read(size) }, this)
    this.dial.start(settings.host, resolver, timeout)
  }

  dialed(socket: Socket): void {
    this.dial = null
    this.socket = socket
    this.ready = true
    socket.on('error', (err: NodeJS.ErrnoException) => this.ended(wordOf(err)))
    socket.on('end', () => this.ended(null))
    this.flush()
  }

  dialFailed(code: RejectionCode, detail: string): void {
    const waiting = this.takeLine()
    this.destroy()
    for (const attempt of waiting) {
      attempt.over = true
      attempt.sink.onFailure({ code, detail, unsent: true, stale: false })
    }
  }

  /** Puts a request at the end of the line; it is sent by `flush`. */
  add(attempt: SocketAttempt): void {
    attempt.carrier = this
    this.idle = false
    this.served++
    if (this.line.push(attempt) === 1) this.beginFirst(attempt)
  }

  /** Sends what was added. */
  flush(): void {
    this.touched = false
    if (!this.ready || this.sent === this.line.length) return
    const added = this.line.slice(this.sent)
    if (!sendBuffer.heads(added)) return this.refuseUnsafe(added)
    for (const attempt of added) attempt.sent = true
    this.sent = this.line.length
    sendBuffer.flush(this.socket as Socket)
  }

  /** Looks after a line that does not move. */
  sweep(now: number): void {
    if (this.length < 2 || this.sent === 0) return
    if (this.firstSince === 0) this.firstSince = now
    else this.strandRest(true)
  }

  /** Only bodyless requests are carried. */
  sendBody(): boolean {
    return true
  }

  sendEnd(): void {}

  /** The client of the first reads slowly: those behind it can't wait for that. */
  pause(attempt: SocketAttempt): void {
    if (attempt !== this.line[this.first]) return
    this.strandRest(true)
    if (this.ready && !this.reading) this.socket?.pause()
  }

  resume(attempt: SocketAttempt): void {
    if (attempt === this.line[this.first] && this.ready && !this.reading) this.socket?.resume()
  }

  /** Nobody waits for the answer to `attempt` any more. Others do: it is read and thrown away. */
  letGo(attempt: SocketAttempt): void {
    if (!attempt.sent && !this.ready) {
      this.line.splice(this.line.indexOf(attempt), 1)
      if (this.length > 0) return
    }
    if (this.length <= 1 || this.retired) this.destroy()
  }

  destroy(): void {
    if (this.gone) return
    this.gone = true
    this.ready = false
    this.dial?.cancel()
    this.socket?.destroy()
    this.pool.gone(this)
    const waiting = this.takeLine()
    if (waiting.length > 0) this.pool.strand(waiting, false)
  }

  /** `size` bytes are in the buffer. False stops reading. */
  private read(size: number): boolean {
    const { parser, buffer } = this
    let at = 0
    this.reading = true
    while (!this.gone && at < size) {
      const attempt = this.line[this.first]
      // What comes without a question may be a second answer to the last one.
      if (attempt === undefined || !attempt.sent) {
        this.destroy()
        break
      }
      attempt.answered = true
      const result = parser.read(buffer, at, size)
      if (result === step.more) break
      if (result === step.failed) {
        this.failFirst(attempt, parser.code, parser.fault)
        break
      }
      at = parser.position
      if (result !== step.interim) this.deliver(attempt, result === step.head)
      else if (!attempt.over) {
        const { status, headers } = parser.head as ParsedHead
        attempt.sink.onInterim(status, headers)
      }
    }
    this.reading = false
    return this.gone || this.line[this.first]?.paused !== true
  }

  private deliver(attempt: SocketAttempt, isHead: boolean): void {
    const { parser } = this
    const { bodyStart, bodyEnd, complete } = parser
    const head = parser.head as ParsedHead
    const body = bodyStart === bodyEnd ? null : this.buffer.view(bodyStart, bodyEnd)
    const { over } = attempt
    if (complete) this.advance(attempt)
    if (!over) {
      if (isHead) attempt.sink.onHead(head, body, complete)
      else {
        if (body !== null) attempt.sink.onData(body)
        if (complete && !attempt.aborted) attempt.sink.onEnd()
      }
    }
    if (complete && !this.gone) this.follow(head)
  }

  /** The first has its answer. */
  private advance(attempt: SocketAttempt): void {
    attempt.over = true
    attempt.carrier = null
    this.firstSince = 0
    this.first++
    if (this.first === this.line.length) {
      this.line = []
      this.first = 0
      this.sent = 0
    } else this.beginFirst(this.line[this.first] as SocketAttempt)
  }

  private beginFirst(attempt: SocketAttempt): void {
    this.parser.begin(attempt.request.method === 'HEAD')
  }

  /** What becomes of the connection behind an answer. */
  private follow({ keepAlive, idleHint }: ParsedHead): void {
    const { maxRequests } = this.pool.settings
    const worn = maxRequests !== 0 && this.served >= maxRequests
    if (!keepAlive) return this.destroy()
    if (this.length > 0) return
    if (this.retired || worn || idleHint === 0) return this.destroy()
    this.idleHint = idleHint
    this.pool.emptied(this)
  }

  /** All but the first are carried otherwise. */
  private strandRest(late: boolean): void {
    const rest = this.line.splice(this.first + 1)
    if (rest.length === 0) return
    this.retired = true
    this.sent = Math.min(this.sent, this.line.length)
    this.pool.strand(leave(rest), late)
  }

  private takeLine(): SocketAttempt[] {
    const line = this.line.slice(this.first)
    this.line = []
    this.first = 0
    this.sent = 0
    return leave(line)
  }

  /** The upstream closed (`error` null) or broke the connection. */
  private ended(error: string | null): void {
    if (this.gone) return
    const attempt = this.line[this.first]
    const { parser } = this
    if (attempt === undefined || !attempt.answered) return this.destroy()
    if (error === null && parser.finish()) {
      const { over } = attempt
      this.advance(attempt)
      this.destroy()
      if (!over) attempt.sink.onEnd()
      return
    }
    this.failFirst(attempt, parser.begun ? 'upstream_body_broken' : 'upstream_connection_closed', error ?? 'closed')
  }

  /** The first has failed; the others are carried otherwise. */
  private failFirst(attempt: SocketAttempt, code: RejectionCode, detail: string): void {
    const { over } = attempt
    attempt.over = true
    attempt.carrier = null
    this.first++
    this.destroy()
    if (!over) attempt.sink.onFailure({ code, detail, unsent: false, stale: false })
  }

  /** One of them would be read as something else than was meant: each is looked at. */
  private refuseUnsafe(added: readonly SocketAttempt[]): void {
    for (const attempt of added) {
      if (sendBuffer.heads([attempt])) continue
      this.line.splice(this.line.indexOf(attempt), 1)
      attempt.carrier = null
      if (!attempt.over) attempt.failSoon('internal_error', 'unsafe request head')
    }
    if (this.length > 0) this.flush()
    else this.pool.emptied(this)
  }
}

/** Those that somebody still waits for, as if they had never been sent. */
function leave(attempts: readonly SocketAttempt[]): SocketAttempt[] {
  return attempts.filter((attempt) => {
    attempt.carrier = null
    attempt.sent = false
    attempt.answered = false
    return !attempt.over
  })
}
