import type { Dispatcher } from 'undici'
import type { RejectionCode } from '../../core/errors.ts'
import type { HeaderList } from '../../core/headers.ts'
import type { ResponseHead } from './client.ts'
import type { Carrier, PooledAttempt } from './pooled-attempt.ts'
import { buildResponseHead, interimHeaders } from './response-head.ts'

/** The connection that a handler works on. */
export interface HandlerOwner {
  /** Requests that it carried, the present one included. */
  readonly served: number
  /** What went wrong on the socket, as a word for the log; null as long as nothing did. */
  readonly fault: string | null
  /** The request is done; the connection shows in a moment whether it stays. */
  settle(): void
  /** The connection ended before it took a byte of `attempt`. */
  unserved(attempt: PooledAttempt): void
  /** Reads what waited while the response paused. */
  readOn(): void
}

/** One request on the connection: undici's handler, and the body that it pulls. */
export class Http1Handler implements Dispatcher.DispatchHandler, Carrier, AsyncIterable<Uint8Array> {
  /** The response is complete, or none will come. */
  finished = false
  /** undici would not take the request. */
  refused = false
  /** A byte of the response came. */
  responding = false

  private readonly attempt: PooledAttempt
  private readonly connection: HandlerOwner
  /** undici's way to give up; null until the request goes out. */
  private abortRequest: (() => void) | null = null
  /** Head and first body bytes wait until the bytes that came with them were read: one callback instead of three. */
  private head: ResponseHead | null = null
  private first: Uint8Array | null = null
  /** Came after `pause`, of what had been read before: kept until `resume`. */
  private readonly late: Uint8Array[] = []
  private completedLate = false
  private wanted: { resolve(result: IteratorResult<Uint8Array>): void; reject(err: Error): void } | null = null

  constructor(attempt: PooledAttempt, connection: HandlerOwner) {
    this.attempt = attempt
    this.connection = connection
  }

  /** Nothing more of the response may be read now. */
  get paused(): boolean {
    return this.attempt.paused && !this.finished && !this.attempt.over
  }

  // ── Carrier

  onBody(): void {
    const { wanted } = this
    if (wanted === null) return
    const chunk = this.attempt.take()
    if (chunk === null && !this.attempt.ended) return
    this.wanted = null
    wanted.resolve(chunk === null ? bodyEnd : { done: false, value: chunk })
  }

  onPause(): void {
    // The connection asks before it reads.
  }

  onResume(): void {
    queueMicrotask(() => this.goOn())
  }

  onAbort(): void {
    this.wanted?.reject(brokenOff)
    this.wanted = null
    if (this.finished) return
    this.finished = true
    this.abortRequest?.()
  }

  // ── The body that undici pulls

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.attempt.over) return Promise.reject(brokenOff)
    const chunk = this.attempt.take()
    if (chunk !== null) return Promise.resolve({ done: false, value: chunk })
    if (this.attempt.ended) return Promise.resolve(bodyEnd)
    return new Promise((resolve, reject) => {
      this.wanted = { resolve, reject }
    })
  }

  // ── undici

  onConnect(abort: () => void): void {
    this.abortRequest = abort
    if (this.attempt.over) abort()
  }

  onResponseStarted(): void {
    this.responding = true
  }

  onHeaders(status: number, raw: Buffer[], _resume: () => void, reason: string): boolean {
    if (this.attempt.over) return true
    const fields = incomingFields(raw)
    if (status < 200) {
      const headers = status === 101 ? null : interimHeaders(fields)
      if (headers === null) this.refuse('bad interim response')
      else this.attempt.interim(status, headers)
      return true
    }
    const head = buildResponseHead(status, reason, fields)
    if (head === null) {
      this.refuse('bad head')
      return true
    }
    if (status === 204 || status === 304 || this.attempt.request.method === 'HEAD') {
      // undici counts the bytes of a 304 against its Content-Length and would call the response broken: it is complete.
      this.finished = true
      this.connection.settle()
      this.attempt.head(head, null, true)
      return true
    }
    this.head = head
    process.nextTick(flushHead, this)
    return true
  }

  onData(chunk: Buffer): boolean {
    if (this.attempt.over) return true
    if (this.head !== null && this.first === null) {
      this.first = chunk
      return true
    }
    this.flushHead()
    if (this.attempt.paused) this.late.push(chunk)
    else this.attempt.data(chunk)
    return true
  }

  onComplete(): void {
    this.finished = true
    this.connection.settle()
    const { head, first } = this
    this.head = null
    if (head !== null) this.attempt.head(head, first, true)
    else if (this.attempt.paused) this.completedLate = true
    else this.attempt.complete()
  }

  onError(err: Error): void {
    this.finished = true
    if (this.attempt.over) return
    if (this.abortRequest !== null) return this.failed(err)
    const word = wordOf(err)
    if (word !== 'UND_ERR_INVALID_ARG' && word !== 'UND_ERR_NOT_SUPPORTED')
      return this.connection.unserved(this.attempt)
    this.refused = true
    this.attempt.fail('internal_error', word, true, false)
  }

  /** The bytes that came with the head were read. */
  flushHead(): void {
    const { head, first } = this
    if (head === null) return
    this.head = null
    this.first = null
    this.attempt.head(head, first, false)
  }

  private goOn(): void {
    const { attempt, late } = this
    while (late.length > 0 && !attempt.paused && !attempt.over) attempt.data(late.shift() as Uint8Array)
    if (attempt.paused || attempt.over) return
    if (this.completedLate) attempt.complete()
    else if (!this.finished) this.connection.readOn()
  }

  /** The response can't be passed on. */
  private refuse(detail: string): void {
    this.attempt.fail('upstream_bad_response', detail, false, false)
  }

  private failed(err: Error): void {
    this.finished = true
    const { attempt, connection, responding } = this
    const detail = connection.fault ?? wordOf(err)
    if (attempt.begun) return attempt.fail('upstream_body_broken', detail, false, false)
    const code = failureCode(err)
    const stale = code === 'upstream_connection_closed' && connection.served > 1 && !responding
    attempt.fail(code, detail, false, stale)
  }
}

/** Instead of a closure a response. */
function flushHead(handler: Http1Handler): void {
  handler.flushHead()
}

const bodyEnd: IteratorResult<Uint8Array> = { done: true, value: undefined }
const brokenOff = new Error('the request body broke off')

function failureCode(err: Error): RejectionCode {
  const code = (err as NodeJS.ErrnoException).code ?? ''
  if (
    err.name === 'HTTPParserError' ||
    err.message === 'bad response' ||
    err.message === 'bad upgrade' ||
    // What undici says of any parser error once it read a length.
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return 'upstream_bad_response'
  }
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'upstream_response_too_large'
  // A client certificate is refused after the handshake (RFC 8446 §4.4.2.4).
  if (code.startsWith('ERR_SSL_')) return 'upstream_tls_failed'
  return 'upstream_connection_closed'
}

/** undici's parser and socket errors say in their message what happened; it holds no address. */
export function wordOf(err: Error): string {
  const { code } = err as NodeJS.ErrnoException
  return code === undefined || code === 'UND_ERR_SOCKET' ? err.message : code
}

function incomingFields(raw: readonly Buffer[]): HeaderList {
  const fields: HeaderList = []
  for (let i = 0; i < raw.length; i += 2) {
    fields.push(
      (raw[i] as Buffer).toString('latin1').toLowerCase(),
      (raw[i + 1] as Buffer).toString('latin1').trimEnd(),
    )
  }
  return fields
}
