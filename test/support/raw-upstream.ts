import { createHash, type Hash } from 'node:crypto'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Certificate } from './certificate.ts'

/** How the body of a request ended: as announced, or with the connection. */
export type Ending = 'complete' | 'broken'

/** One request as its bytes came. */
export class ArrivedRequest {
  readonly socket: Socket
  /** Number of its connection, from 0. */
  readonly connection: number
  /** Request line and field lines, one character per byte, without the empty line. */
  readonly head: string
  readonly method: string
  readonly target: string
  /** Field lines in order: name as sent, value one character per byte. */
  readonly fields: readonly (readonly [string, string])[]
  /** Settles when the body is complete, or the connection ends before. */
  readonly ended: Promise<Ending>
  /** Bytes of the body so far. */
  bytes = 0
  ending: Ending | null = null
  /** Called with each piece of the body. */
  onBody: ((piece: Buffer) => void) | null = null

  readonly #pieces: Buffer[] = []
  readonly #hash: Hash = createHash('sha256')
  #end: (ending: Ending) => void = () => {}

  constructor(socket: Socket, connection: number, head: string) {
    this.socket = socket
    this.connection = connection
    this.head = head
    const [line = '', ...fields] = head.split('\r\n')
    const [method = '', target = ''] = line.split(' ')
    this.method = method
    this.target = target
    this.fields = fields.map((field) => {
      const colon = field.indexOf(':')
      return [field.slice(0, colon), field.slice(colon + 1).trim()]
    })
    this.ended = new Promise((resolve) => (this.#end = resolve))
  }

  /** The values of a field, in order. */
  all(name: string): string[] {
    return this.fields.filter(([own]) => own.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
  }

  /** The value of a field that came once; `undefined` when it didn't come, all joined with `|` when it came again. */
  field(name: string): string | undefined {
    const values = this.all(name)
    return values.length === 0 ? undefined : values.join('|')
  }

  /** The body so far, one character per byte. Kept up to a megabyte. */
  get body(): string {
    return Buffer.concat(this.#pieces).toString('latin1')
  }

  /** SHA-256 of the body, once it has ended. */
  get hash(): string {
    return this.#hash.copy().digest('hex')
  }

  /** Sends bytes as they are. */
  send(bytes: string | Uint8Array): boolean {
    return this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Sends a response with a Content-Length. */
  reply(status = '200 OK', fields: readonly string[] = [], body = ''): void {
    const lines = [`HTTP/1.1 ${status}`, ...fields, `Content-Length: ${Buffer.byteLength(body, 'latin1')}`]
    this.send(`${lines.join('\r\n')}\r\n\r\n${body}`)
  }

  take(piece: Buffer): void {
    this.bytes += piece.length
    this.#hash.update(piece)
    if (this.bytes <= 1_048_576) this.#pieces.push(Buffer.from(piece))
    this.onBody?.(piece)
  }

  finish(ending: Ending): void {
    if (this.ending !== null) return
    this.ending = ending
    this.#end(ending)
  }
}

export type Answer = (request: ArrivedRequest) => void

/**
 * An upstream that shows what the gateway really sent, and answers with whatever bytes a test wants. It reads requests
 * strictly by their framing, one after the other on each connection: what follows a complete request is the next one.
 */
export class RawUpstream {
  /** Every request whose head was complete, in order of arrival. */
  readonly requests: ArrivedRequest[] = []
  /** Every connection, in order of arrival. */
  readonly connections: Socket[] = []
  /** Answers by path (without query); everything else gets `200` and an empty body when its body is complete. */
  readonly answers = new Map<string, Answer>()
  readonly #server: Server
  #waiting: { readonly test: () => boolean; readonly done: () => void }[] = []

  private constructor(certificate: Certificate | null) {
    const accept = (socket: Socket): void => this.#accept(socket)
    this.#server =
      certificate === null ? createServer({ noDelay: true }, accept) : createTlsServer({ ...certificate }, accept)
  }

  static async start(certificate: Certificate | null = null): Promise<RawUpstream> {
    const upstream = new RawUpstream(certificate)
    await new Promise<void>((resolve, reject) => {
      upstream.#server.once('error', reject)
      upstream.#server.listen(0, '127.0.0.1', resolve)
    })
    return upstream
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get target(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Answers requests to `path` so, until told otherwise. */
  on(path: string, answer: Answer): void {
    this.answers.set(path, answer)
  }

  /** The requests to `path` (without query) so far. */
  to(path: string): ArrivedRequest[] {
    return this.requests.filter(({ target }) => pathOf(target) === path)
  }

  /** The first request to `path`, which may still have to come. */
  async arrival(path: string, count = 1): Promise<ArrivedRequest> {
    await this.until(() => this.to(path).length >= count)
    return this.to(path)[count - 1] as ArrivedRequest
  }

  /** Resolves as soon as `test` holds; looks whenever something arrives or ends here. */
  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve()
    return new Promise((done) => this.#waiting.push({ test, done }))
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.connections) socket.destroy()
    await closed
  }

  #changed(): void {
    this.#waiting = this.#waiting.filter(({ test, done }) => {
      if (!test()) return true
      done()
      return false
    })
  }

  #accept(socket: Socket): void {
    const connection = this.connections.push(socket) - 1
    const reader = new RequestReader((head) => {
      const request = new ArrivedRequest(socket, connection, head)
      this.requests.push(request)
      const answer = this.answers.get(pathOf(request.target))
      if (answer !== undefined) answer(request)
      else void request.ended.then((ending) => ending === 'complete' && request.reply())
      return request
    })
    socket.on('data', (bytes) => {
      reader.read(bytes)
      this.#changed()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      reader.current?.finish('broken')
      this.#changed()
    })
    this.#changed()
  }
}

/** Finds requests in the bytes of a connection. What can't be read as one becomes a request with an empty method. */
class RequestReader {
  current: ArrivedRequest | null = null
  readonly #begin: (head: string) => ArrivedRequest
  #rest: Buffer = Buffer.alloc(0)
  #left = 0
  #chunked = false
  #broken = false

  constructor(begin: (head: string) => ArrivedRequest) {
    this.#begin = begin
  }

  read(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    while (!this.#broken && this.#rest.length > 0 && this.#step()) {
      // goes on as long as something is complete
    }
  }

  /** Reads one part; false when more bytes are needed. */
  #step(): boolean {
    const request = this.current
    if (request === null) return this.#head()
    if (this.#left > 0) {
      const piece = this.#rest.subarray(0, this.#left)
      this.#left -= piece.length
      this.#rest = this.#rest.subarray(piece.length)
      request.take(piece)
      if (this.#left === 0 && !this.#chunked) this.#end(request)
      return true
    }
    return this.#chunk(request)
  }

  #head(): boolean {
    const end = this.#rest.indexOf('\r\n\r\n')
    if (end === -1) return false
    const request = this.#begin(this.#rest.toString('latin1', 0, end))
    this.#rest = this.#rest.subarray(end + 4)
    this.current = request
    this.#chunked = request.all('transfer-encoding').includes('chunked')
    this.#left = this.#chunked ? 0 : Number(request.field('content-length') ?? 0)
    if (!this.#chunked && this.#left === 0) this.#end(request)
    return true
  }

  #chunk(request: ArrivedRequest): boolean {
    const text = this.#rest.toString('latin1', 0, 64)
    // The CRLF that ends the previous chunk's data stands before the size.
    const line = /^(?:\r\n)?([0-9a-f]+)\r\n/i.exec(text)
    if (line === null) return false
    const size = Number.parseInt(line[1] as string, 16)
    if (size > 0) {
      this.#rest = this.#rest.subarray(line[0].length)
      this.#left = size
      return true
    }
    if (!text.startsWith('\r\n', line[0].length)) return false
    this.#rest = this.#rest.subarray(line[0].length + 2)
    this.#end(request)
    return true
  }

  #end(request: ArrivedRequest): void {
    this.current = null
    this.#left = 0
    request.finish('complete')
  }
}

function pathOf(target: string): string {
  const mark = target.indexOf('?')
  return mark === -1 ? target : target.slice(0, mark)
}
