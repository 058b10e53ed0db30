import type { HeaderList } from '../../src/core/headers.ts'
import type {
  Attempt,
  AttemptFailure,
  ClientSettings,
  OutgoingRequest,
  ResponseHead,
  ResponseSink,
} from '../../src/proxy/upstream/client.ts'

/** A sink that keeps what an attempt brings, and holds it to the contract of `ResponseSink`. */
export class RecordingSink implements ResponseSink {
  attempt: Attempt | null = null
  interim: { status: number; headers: Readonly<HeaderList> }[] = []
  head: ResponseHead | null = null
  failure: AttemptFailure | null = null
  drains = 0
  received = 0
  /** What came against the contract. */
  faults: string[] = []
  /** Called with each chunk, also those that come with the head. */
  onChunk: ((chunk: Uint8Array) => void) | null = null
  readonly begun: Promise<void>
  /** Settles with `onEnd`, `complete` or `onFailure`. */
  readonly over: Promise<void>

  private readonly chunks: Buffer[] = []
  private begin: () => void = () => {}
  private finish: () => void = () => {}
  private ended = false
  private drained: (() => void) | null = null
  private readonly keep: boolean

  constructor(keep = true) {
    this.keep = keep
    this.begun = new Promise((resolve) => (this.begin = resolve))
    this.over = new Promise((resolve) => (this.finish = resolve))
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  /** Writes and waits where the client asks for it. */
  async write(chunk: Uint8Array): Promise<void> {
    if ((this.attempt as Attempt).write(chunk)) return
    await new Promise<void>((resolve) => {
      this.drained = resolve
      void this.over.then(resolve)
    })
  }

  onInterim(status: number, headers: Readonly<HeaderList>): void {
    this.check('onInterim', this.head !== null)
    this.interim.push({ status, headers })
  }

  onHead(head: ResponseHead, body: Uint8Array | null, complete: boolean): void {
    this.check('onHead', this.head !== null)
    this.head = head
    if (body !== null) this.take(body)
    this.begin()
    if (complete) this.close()
  }

  onData(chunk: Uint8Array): void {
    this.check('onData', this.head === null)
    this.take(chunk)
  }

  onEnd(): void {
    this.check('onEnd', this.head === null)
    this.close()
  }

  onFailure(failure: AttemptFailure): void {
    this.check('onFailure', false)
    this.failure = failure
    this.begin()
    this.close()
  }

  onDrain(): void {
    this.check('onDrain', false)
    this.drains++
    const { drained } = this
    this.drained = null
    drained?.()
  }

  private take(chunk: Uint8Array): void {
    this.received += chunk.byteLength
    if (this.keep) this.chunks.push(Buffer.from(chunk))
    this.onChunk?.(chunk)
  }

  private close(): void {
    this.ended = true
    this.finish()
  }

  private check(name: string, misplaced: boolean): void {
    if (this.attempt === null) this.faults.push(`${name} inside start`)
    if (misplaced) this.faults.push(`${name} out of order`)
    if (this.ended) this.faults.push(`${name} after the end`)
  }
}

export function requestTo(change: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return {
    method: 'GET',
    target: '/',
    host: 'service.test',
    headers: [],
    shared: null,
    bodyLength: 0,
    connectTimeout: 5_000,
    ...change,
  }
}

export function settingsFor(port: number, change: Partial<ClientSettings> = {}): ClientSettings {
  return {
    host: '127.0.0.1',
    port,
    maxConnections: 16,
    maxWaiting: 16,
    idleTimeout: 60_000,
    maxIdle: 16,
    maxRequests: 0,
    maxHeadSize: 65_536,
    pipelining: 1,
    tls: null,
    http2: false,
    ...change,
  }
}
