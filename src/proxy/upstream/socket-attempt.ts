import type { RejectionCode } from '../../core/errors.ts'
import type { Attempt, AttemptFailure, OutgoingRequest, ResponseSink } from './client.ts'
import type { Linked } from './waiting-queue.ts'

/** The connection that carries an attempt, as the attempt sees it. */
export interface Carrier {
  /** Connected: the request can be sent. */
  readonly ready: boolean
  /** Sends body bytes. False: enough are waiting. */
  sendBody(attempt: SocketAttempt, chunk: Uint8Array): boolean
  /** Sends what ends a chunked body. */
  sendEnd(attempt: SocketAttempt): void
  pause(attempt: SocketAttempt): void
  resume(attempt: SocketAttempt): void
  /** Its owner gave up: it hears nothing more. */
  letGo(attempt: SocketAttempt): void
}

/** Where attempts wait that have no connection yet. */
export interface WaitingRoom {
  leave(attempt: SocketAttempt): void
}

/** One request on its way through the socket client. */
export class SocketAttempt implements Attempt, Linked<SocketAttempt> {
  readonly request: OutgoingRequest
  readonly sink: ResponseSink
  readonly fresh: boolean
  /** Null while it waits and when it is over. */
  carrier: Carrier | null = null
  /** The exchange has ended, one way or the other. */
  over = false
  /** The owner gave up: the sink hears nothing more. */
  aborted = false
  /** The head of the request was given to the socket. */
  sent = false
  /** A byte of the response has come. */
  answered = false
  paused = false
  /** `write` returned false and `onDrain` has not come. */
  blocked = false
  /** Body bytes still to come; -1 unknown. 0: the request is complete. */
  uploadLeft: number
  /** `end` was called: nobody waits for `onDrain` any more. */
  ended = false
  /** Body bytes that came before there was a connection. */
  kept: Buffer[] | null = null
  /** When waiting for a connection ends, as of `performance.now()`; 0 while nobody has looked at the clock. */
  deadline = 0
  previous: SocketAttempt | null = null
  next: SocketAttempt | null = null
  private readonly room: WaitingRoom

  constructor(request: OutgoingRequest, sink: ResponseSink, fresh: boolean, room: WaitingRoom) {
    this.request = request
    this.sink = sink
    this.fresh = fresh
    this.room = room
    this.uploadLeft = request.bodyLength
  }

  write(chunk: Uint8Array): boolean {
    const size = chunk.byteLength
    if (this.over || size === 0) return true
    if (this.uploadLeft !== -1) {
      // The upstream would take them for the next request.
      if (size > this.uploadLeft) {
        this.refuse('request body longer than announced')
        return true
      }
      this.uploadLeft -= size
    }
    if (this.carrier?.ready === true) return this.carrier.sendBody(this, chunk)
    ;(this.kept ??= []).push(Buffer.from(chunk))
    this.blocked = true
    return false
  }

  end(): void {
    this.ended = true
    if (this.over || this.uploadLeft === 0) return
    if (this.uploadLeft > 0) return this.refuse('request body shorter than announced')
    this.uploadLeft = 0
    if (this.carrier?.ready === true) this.carrier.sendEnd(this)
  }

  pause(): void {
    if (this.over || this.paused) return
    this.paused = true
    this.carrier?.pause(this)
  }

  resume(): void {
    if (this.over || !this.paused) return
    this.paused = false
    this.carrier?.resume(this)
  }

  abort(): void {
    this.aborted = true
    this.letGo()
  }

  /** Tells the sink later that nothing came of it: `start`, `write` and `end` call nobody back. */
  failSoon(code: RejectionCode, detail: string): void {
    const failure = { code, detail, unsent: !this.sent, stale: false }
    this.over = true
    process.nextTick(tell, this, failure)
  }

  /** The body is not what was announced: the upstream must not take the request for complete. */
  private refuse(detail: string): void {
    this.letGo()
    this.failSoon('internal_error', detail)
  }

  private letGo(): void {
    if (this.over) return
    this.over = true
    const { carrier } = this
    this.carrier = null
    if (carrier === null) this.room.leave(this)
    else carrier.letGo(this)
  }
}

function tell(attempt: SocketAttempt, failure: AttemptFailure): void {
  if (!attempt.aborted) attempt.sink.onFailure(failure)
}
