import { createHash, type Hash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

/** A response as its bytes came. */
export interface WireResponse {
  readonly status: number
  readonly reason: string
  /** Field lines in order: name as sent, value one character per byte. */
  readonly fields: readonly (readonly [string, string])[]
  /** Body, one character per byte, without chunk framing; kept up to a megabyte. */
  readonly body: string
  readonly bytes: number
  /** SHA-256 of the body. */
  readonly hash: string
  /** The body ended as its framing says, and not because the connection did. */
  readonly complete: boolean
  /** Interim responses (1xx) that came before it. */
  readonly interim: readonly { readonly status: number; readonly fields: readonly (readonly [string, string])[] }[]
  /** The values of a field joined with `|`, or `undefined`. */
  field(name: string): string | undefined
}

export interface WireOptions {
  readonly tls?: ConnectionOptions
  /** Address to connect from. */
  readonly from?: string
}

/** A client that sends exactly the bytes that it is given, and reads strictly what comes back. */
export class Wire {
  readonly socket: Socket
  /** The connection is closed, by whichever side; it was reset when true. */
  readonly closed: Promise<boolean>
  /** Everything that came and was not read as a response. */
  #rest: Buffer = Buffer.alloc(0)
  #ended = false
  #reset = false
  #wake: (() => void) | null = null

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => {
      this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
      this.#wake?.()
    })
    socket.on('end', () => this.#end())
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') this.#reset = true
    })
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#end()
        resolve(this.#reset)
      })
    })
  }

  static async open(port: number, options: WireOptions = {}): Promise<Wire> {
    const address = {
      host: '127.0.0.1',
      port,
      noDelay: true,
      ...(options.from === undefined ? {} : { localAddress: options.from }),
    }
    const socket =
      options.tls === undefined
        ? connect(address)
        : connectTls({ ...address, rejectUnauthorized: false, ...options.tls })
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.once(options.tls === undefined ? 'connect' : 'secureConnect', () => {
        socket.off('error', reject)
        resolve()
      })
    })
    return new Wire(socket)
  }

  /** Sends bytes as they are; a string is one byte per character. */
  send(bytes: string | Uint8Array): boolean {
    return this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Sends a request line and field lines; `Host: test` unless there is one. */
  request(line: string, fields: readonly string[] = [], body = ''): boolean {
    const host = fields.some((field) => /^host:/i.test(field)) ? [] : ['Host: test']
    return this.send(`${[`${line} HTTP/1.1`, ...host, ...fields].join('\r\n')}\r\n\r\n${body}`)
  }

  /** Sends bytes as fast as they are taken. False when the connection ended before all were. */
  async pump(pieces: Iterable<Uint8Array>): Promise<boolean> {
    for (const piece of pieces) {
      if (this.socket.destroyed || this.socket.writableEnded) return false
      if (this.socket.write(piece)) continue
      await new Promise<void>((resolve) => {
        this.socket.once('drain', resolve)
        void this.closed.then(() => resolve())
      })
    }
    return !this.socket.destroyed
  }

  /** The next response; `method` is that of its request. Null when the connection ends before a head came. */
  async response(method = 'GET'): Promise<WireResponse | null> {
    const interim: { status: number; fields: (readonly [string, string])[] }[] = []
    for (;;) {
      const head = await this.#until('\r\n\r\n')
      if (head === null) return null
      const [line = '', ...lines] = head.toString('latin1').split('\r\n')
      const match = /^HTTP\/1\.1 ([0-9]{3})(?: (.*))?$/.exec(line)
      if (match === null) throw new Error(`not a status line: ${JSON.stringify(line)}`)
      const status = Number(match[1])
      const fields = lines.map((text): [string, string] => {
        const colon = text.indexOf(':')
        if (colon < 1) throw new Error(`not a field line: ${JSON.stringify(text)}`)
        return [text.slice(0, colon), text.slice(colon + 1).trim()]
      })
      if (status >= 200) return this.#body(method, status, match[2] ?? '', fields, interim)
      interim.push({ status, fields })
    }
  }

  /** Everything that still comes until the connection is closed. */
  async remainder(): Promise<string> {
    await this.closed
    const rest = this.#rest.toString('latin1')
    this.#rest = Buffer.alloc(0)
    return rest
  }

  /** Stops and restarts taking bytes from the network. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** Ends the connection at once, without a word to the other side's application. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  close(): void {
    this.socket.destroy()
  }

  #end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** Waits for more bytes; false when none will come. */
  async #more(): Promise<boolean> {
    if (this.#ended) return false
    await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#wake = null
    return true
  }

  async #until(mark: string): Promise<Buffer | null> {
    for (;;) {
      const end = this.#rest.indexOf(mark)
      if (end !== -1) {
        const found = this.#rest.subarray(0, end)
        this.#rest = this.#rest.subarray(end + mark.length)
        return found
      }
      if (!(await this.#more())) return null
    }
  }

  /** Takes `count` bytes as they come; false when the connection ended before. */
  async #take(count: number, to: Collector): Promise<boolean> {
    let left = count
    while (left > 0) {
      if (this.#rest.length === 0) {
        if (!(await this.#more())) return false
        continue
      }
      const piece = this.#rest.subarray(0, left)
      this.#rest = this.#rest.subarray(piece.length)
      left -= piece.length
      to.add(piece)
    }
    return true
  }

  async #body(
    method: string,
    status: number,
    reason: string,
    fields: readonly (readonly [string, string])[],
    interim: WireResponse['interim'],
  ): Promise<WireResponse> {
    const values = (name: string): string[] =>
      fields.filter(([own]) => own.toLowerCase() === name).map(([, value]) => value)
    const to = new Collector()
    let complete = true
    const length = values('content-length')
    const coding = values('transfer-encoding')
    if (length.length + coding.length > 1) throw new Error(`ambiguous framing: ${JSON.stringify(fields)}`)
    const bodiless = method === 'HEAD' || status === 204 || status === 304
    if (bodiless) complete = true
    else if (coding.length > 0) complete = await this.#chunks(to)
    else if (length.length > 0) complete = await this.#take(Number(length[0]), to)
    else {
      await this.#take(Infinity, to)
      complete = !this.#reset
    }
    return {
      status,
      reason,
      fields,
      body: to.text(),
      bytes: to.bytes,
      hash: to.hash.digest('hex'),
      complete,
      interim,
      field: (name) => {
        const found = values(name.toLowerCase())
        return found.length === 0 ? undefined : found.join('|')
      },
    }
  }

  async #chunks(to: Collector): Promise<boolean> {
    for (;;) {
      const line = await this.#until('\r\n')
      if (line === null) return false
      const text = line.toString('latin1')
      if (!/^[0-9a-f]+$/i.test(text)) throw new Error(`not a chunk size: ${JSON.stringify(text)}`)
      const size = Number.parseInt(text, 16)
      if (size === 0) return (await this.#until('\r\n')) !== null
      if (!(await this.#take(size, to))) return false
      const end = await this.#until('\r\n')
      if (end === null) return false
      if (end.length !== 0) throw new Error('a chunk is longer than it says')
    }
  }
}

class Collector {
  readonly hash: Hash = createHash('sha256')
  bytes = 0
  readonly #pieces: Buffer[] = []

  add(piece: Buffer): void {
    this.bytes += piece.length
    this.hash.update(piece)
    if (this.bytes <= 1_048_576) this.#pieces.push(piece)
  }

  text(): string {
    return Buffer.concat(this.#pieces).toString('latin1')
  }
}

/** One request on a connection of its own, and the answer to it. */
export async function call(
  port: number,
  line: string,
  fields: readonly string[] = [],
  body = '',
  options: WireOptions = {},
): Promise<WireResponse> {
  const wire = await Wire.open(port, options)
  wire.request(line, fields, body)
  const response = await wire.response(line.slice(0, line.indexOf(' ')))
  wire.close()
  if (response === null) throw new Error(`no answer to ${line}`)
  return response
}
