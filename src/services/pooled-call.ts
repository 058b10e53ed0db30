import type { Dispatcher, Pool } from 'undici'
import { type HttpAnswer, type HttpCall, HttpFault, type HttpSettings } from '../core/services/http.ts'

/** Who hears how a call went. */
export interface CallObserver {
  /** Called once. */
  settled(result: HttpAnswer | HttpFault): void
  /** Called once after `run`, when the call holds no connection any more. */
  ended(): void
}

/** Faults of a connection that the other side closed, perhaps before it saw the request. */
const closedCodes = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

const connectingTookLong = 'connecting took too long'

const utf8 = new TextDecoder()

/** One call: its time limit, its answer as it comes, and what went wrong. */
export class PooledCall implements Dispatcher.DispatchHandler {
  readonly #request: HttpCall
  readonly #path: string
  readonly #maxBody: number
  readonly #observer: CallObserver
  readonly #timer: NodeJS.Timeout
  #pool: Pool | null = null
  #controller: Dispatcher.DispatchController | null = null
  #isSettled = false
  #tries = 0
  #status = 0
  #headers: string[] = []
  #chunks: Buffer[] = []
  #size = 0

  /** Its time begins now. */
  constructor(request: HttpCall, path: string, settings: HttpSettings, observer: CallObserver) {
    this.#request = request
    this.#path = path
    this.#maxBody = settings.max_body
    this.#observer = observer
    this.#timer = setTimeout(() => this.fail('timeout', this.#waitsFor()), settings.timeout).unref()
  }

  run(pool: Pool): void {
    this.#pool = pool
    this.#dispatch(pool)
  }

  fail(kind: HttpFault['kind'], detail: string): void {
    const fault = new HttpFault(kind, detail)
    this.#settle(fault)
    this.#controller?.abort(new Error(kind))
  }

  // ── What undici tells

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // It could not be called back while it waited for its connection.
    if (this.#isSettled) controller.abort(new Error('given up'))
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return
    this.#status = status
    const raw = (controller.rawHeaders ?? []) as readonly (Buffer | string)[]
    for (let i = 0; i + 1 < raw.length; i += 2)
      this.#headers.push(latin1(raw[i] as Buffer).toLowerCase(), latin1(raw[i + 1] as Buffer))
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isSettled) return
    this.#size += chunk.length
    if (this.#size > this.#maxBody) this.fail('too_large', `more than ${this.#maxBody} bytes`)
    else this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    const body = utf8.decode(this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks))
    this.#settle({ status: this.#status, headers: this.#headers, body })
    this.#observer.ended()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: NodeJS.ErrnoException): void {
    const wasStarted = this.#controller !== null
    this.#controller = null
    if (!this.#isSettled && wasStarted && this.#mayTryAgain(error)) return this.#dispatch(this.#pool as Pool)
    this.#settle(faultOf(error, wasStarted))
    this.#observer.ended()
  }

  /**
   * A kept connection may be closed by the other side just when a request goes out on it: nothing is wrong with the service
   * then. What is called here may be called twice.
   */
  #mayTryAgain(error: NodeJS.ErrnoException): boolean {
    return this.#status === 0 && this.#tries === 1 && closedCodes.has(error.code ?? '')
  }

  #dispatch(pool: Pool): void {
    const { method, headers, body } = this.#request
    this.#tries += 1
    pool.dispatch(
      { path: this.#path, method, headers: headers as string[], ...(body === undefined ? undefined : { body }) },
      this,
    )
  }

  #settle(result: HttpAnswer | HttpFault): void {
    if (this.#isSettled) return
    this.#isSettled = true
    clearTimeout(this.#timer)
    this.#chunks = []
    this.#observer.settled(result)
  }

  #waitsFor(): string {
    if (this.#pool === null) return 'no connection was free'
    if (this.#controller === null) return connectingTookLong
    return this.#status === 0 ? 'no answer came' : 'the answer did not end'
  }
}

/** undici's time limit for connecting is as long as that of the call: either may come first. */
function faultOf({ code, name }: NodeJS.ErrnoException, wasStarted: boolean): HttpFault {
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return new HttpFault('timeout', connectingTookLong)
  return new HttpFault(wasStarted ? 'broken' : 'connect', code ?? name)
}

function latin1(bytes: Buffer | string): string {
  return typeof bytes === 'string' ? bytes : bytes.toString('latin1')
}
