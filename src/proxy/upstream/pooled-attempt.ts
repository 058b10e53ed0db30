import type { RejectionCode } from '../../core/errors.ts'
import type { Attempt, OutgoingRequest, ResponseHead, ResponseSink } from './client.ts'

/** Carries an attempt over one connection. */
export interface Carrier {
  /** Body bytes can be taken from the attempt, or the end of the body was told. */
  onBody(): void
  /** The response must stop, and may go on. */
  onPause(): void
  onResume(): void
  /** Nobody listens any more: the exchange ends as one that broke off, unless it is complete. */
  onAbort(): void
}

/** Where an attempt goes that ends before a connection carries it. */
export interface Waiting {
  leave(attempt: PooledAttempt): void
}

/** Body bytes that may lie here before `write` asks for a break. */
const highWaterMark = 65_536

/**
 * An attempt from `start` to its end: first waiting for a connection, then carried by one. Keeps what the carrier can't
 * take yet of the request body, and sees to it that nothing reaches the sink after the end.
 */
export class PooledAttempt implements Attempt {
  readonly request: OutgoingRequest
  /** Only a connection opened now will do. */
  readonly fresh: boolean
  /** Nothing may be told to the sink any more. */
  over = false
  paused = false
  /** `onHead` was told: a failure from here on breaks the body. */
  begun = false
  /** The request body is complete. */
  ended = false
  /** Connections that ended under it before they took a byte. */
  drops = 0

  private readonly sink: ResponseSink
  private readonly waiting: Waiting
  private carrier: Carrier | null = null
  private timer: NodeJS.Timeout | null = null
  private starting = true
  private aborted = false
  private readonly chunks: Uint8Array[] = []
  private buffered = 0
  private stalled = false

  constructor(request: OutgoingRequest, sink: ResponseSink, fresh: boolean, waiting: Waiting) {
    this.request = request
    this.sink = sink
    this.fresh = fresh
    this.waiting = waiting
    this.ended = request.bodyLength === 0
  }

  // ── What the proxy calls

  write(chunk: Uint8Array): boolean {
    if (this.over || chunk.byteLength === 0) return true
    this.chunks.push(Buffer.from(chunk))
    this.buffered += chunk.byteLength
    this.carrier?.onBody()
    this.stalled = this.buffered >= highWaterMark
    return !this.stalled
  }

  end(): void {
    if (this.over || this.ended) return
    this.ended = true
    this.carrier?.onBody()
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    if (!this.over) this.carrier?.onPause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (!this.over) this.carrier?.onResume()
  }

  abort(): void {
    this.aborted = true
    if (!this.over) this.finish()
  }

  // ── What the client and the carrier call

  /** `start` returns: from now on the sink may be called at any moment. */
  started(): void {
    this.starting = false
  }

  /** A connection takes the attempt. */
  carry(carrier: Carrier): void {
    this.clearTimer()
    this.carrier = carrier
  }

  /** The connection ended before it took a byte: another one is needed. */
  drop(): void {
    this.carrier = null
    this.drops++
  }

  /** No connection is free: fails when that lasts longer than the request allows. */
  limitWait(): void {
    const { connectTimeout } = this.request
    if (connectTimeout === 0 || this.timer !== null || this.over) return
    this.timer = setTimeout(() => this.fail('upstream_connect_timeout', 'timeout', true, false), connectTimeout)
  }

  /** The next piece of the request body, or null when there is none at the moment. */
  take(): Uint8Array | null {
    const chunk = this.chunks.shift()
    if (chunk === undefined) return null
    this.buffered -= chunk.byteLength
    if (this.stalled && this.chunks.length === 0) {
      this.stalled = false
      queueMicrotask(() => {
        if (!this.over) this.sink.onDrain()
      })
    }
    return chunk
  }

  interim(status: number, headers: readonly string[]): void {
    if (!this.over) this.sink.onInterim(status, headers)
  }

  head(head: ResponseHead, body: Uint8Array | null, complete: boolean): void {
    if (this.over) return
    this.begun = true
    if (complete) this.finish()
    this.sink.onHead(head, body, complete)
  }

  data(chunk: Uint8Array): void {
    if (!this.over) this.sink.onData(chunk)
  }

  complete(): void {
    if (this.over) return
    this.finish()
    this.sink.onEnd()
  }

  fail(code: RejectionCode, detail: string, unsent: boolean, stale: boolean): void {
    if (this.over) return
    this.finish()
    const failure = { code, detail, unsent, stale }
    if (!this.starting) return this.sink.onFailure(failure)
    // No callback inside `start`: the caller doesn't hold its attempt yet.
    queueMicrotask(() => {
      if (!this.aborted) this.sink.onFailure(failure)
    })
  }

  private finish(): void {
    this.over = true
    this.chunks.length = 0
    this.clearTimer()
    if (this.carrier === null) this.waiting.leave(this)
    else this.carrier.onAbort()
  }

  private clearTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }
}
