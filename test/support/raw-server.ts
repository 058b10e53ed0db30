import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** One connection of a `RawServer`, with everything that came on it. */
export class RawConnection {
  readonly socket: Socket
  /** Settles when the connection is gone, by whichever side. */
  readonly closed: Promise<void>
  /** What came so far, one character per byte. */
  received = ''
  /** Bytes that came so far, also when `keep` is off. */
  bytes = 0
  /** Off: nothing is added to `received`. */
  keep = true
  private waiting: { readonly test: () => boolean; readonly done: () => void }[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (data) => {
      this.bytes += data.length
      if (this.keep) this.received += data.toString('latin1')
      this.look()
    })
    socket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.look()
        resolve()
      })
    })
  }

  /** Resolves as soon as `test` holds; looks whenever bytes come. */
  until(test: (received: string) => boolean): Promise<void> {
    if (test(this.received)) return Promise.resolve()
    return new Promise((done) => this.waiting.push({ test: () => test(this.received), done }))
  }

  /** Resolves with the text up to the end of the `count`th head, which may still have to come. */
  async head(count = 1): Promise<string> {
    await this.until((received) => received.split('\r\n\r\n').length > count)
    return this.received
  }

  /** Writes bytes as they are and resolves when the system has taken them. */
  send(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => resolve())
    })
  }

  private look(): void {
    this.waiting = this.waiting.filter(({ test, done }) => {
      if (!test()) return true
      done()
      return false
    })
  }
}

/**
 * A TCP server that knows no HTTP: what it reads is text, what it answers is whatever bytes a test wants, in whatever
 * pieces. For upstreams that lie, stall, flood and break off.
 */
export class RawServer {
  readonly connections: RawConnection[] = []
  private readonly server: Server
  private readonly serve: ((connection: RawConnection) => void) | null
  private waiting: (() => void)[] = []

  private constructor(serve: ((connection: RawConnection) => void) | null) {
    this.serve = serve
    this.server = createServer({ noDelay: true }, (socket) => {
      const connection = new RawConnection(socket)
      this.connections.push(connection)
      this.serve?.(connection)
      for (const wake of this.waiting.splice(0)) wake()
    })
  }

  /** `serve` is called with each connection; without it the test takes them by `connection`. */
  static async start(
    serve: ((connection: RawConnection) => void) | null = null,
    host = '127.0.0.1',
  ): Promise<RawServer> {
    const raw = new RawServer(serve)
    await new Promise<void>((resolve, reject) => {
      raw.server.once('error', reject)
      raw.server.listen(0, host, resolve)
    })
    return raw
  }

  /** Answers every request head that comes (requests without a body) with the same bytes. */
  static answering(text: string): Promise<RawServer> {
    return RawServer.start((connection) => {
      connection.socket.on('data', (data) => {
        const heads = data.toString('latin1').split('\r\n\r\n').length - 1
        for (let i = 0; i < heads; i++) void connection.send(text)
      })
    })
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** The connection number `index`, which may still have to come. */
  async connection(index = 0): Promise<RawConnection> {
    while (this.connections.length <= index) await new Promise<void>((resolve) => this.waiting.push(resolve))
    return this.connections[index] as RawConnection
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const { socket } of this.connections) socket.destroy()
    await closed
  }
}
