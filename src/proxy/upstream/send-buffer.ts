import type { Socket } from 'node:net'
import type { OutgoingRequest } from './client.ts'

const usualSize = 262_144

/** Views are kept of writes smaller than that. */
const mostViews = 2048

/** Writes from that size on give their memory back when they are over. */
const leastLent = 16_384

/** Pieces of memory that lie ready, at most. */
const mostFree = 16

/**
 * Memory of the usual size. It is free again as soon as no write of it is under way: memory outside of the heap that is made
 * and left with every chunk of a body makes V8 collect the whole heap again and again (native-notes/socket-client.md).
 */
class Block {
  readonly memory = Buffer.allocUnsafeSlow(usualSize)
  /** Writes that have not called back. */
  lent = 0
  readonly onWritten: () => void

  constructor(onFree: (block: Block) => void) {
    this.onWritten = () => {
      this.lent--
      if (this.lent === 0) onFree(this)
    }
  }
}

/**
 * What is about to be written to a socket, put together in one piece of memory that serves all connections, so that a
 * request leaves with one system call and without garbage.
 *
 * The kernel nearly always takes the whole of a write at once, and then the memory is free again. What it leaves stays
 * with the socket, and the next write gets other memory.
 */
export class SendBuffer {
  /** Whose memory it is; `null` while there is more of it than usual. */
  private block: Block | null = null
  private readonly free: Block[] = []
  private memory: Buffer = noBytes
  private words: Int32Array = noWords
  private used = 0
  /** What was written of it before, by size: heads are of few sizes, and each of these would be an object of its own. */
  private readonly views = new Map<number, Buffer>()

  constructor() {
    this.renew(usualSize)
  }

  /**
   * Puts the head of a request at the start. False, and nothing is there: a field holds CR, LF or NUL, or the target a
   * space, and the upstream would read something else than what was meant.
   *
   * Always UTF-8: it gives back the exact bytes that the client sent, costs what latin1 costs when all is ASCII, and
   * can't turn a character into a line feed, as latin1 does with `Ċ`.
   */
  head(request: OutgoingRequest): boolean {
    breaks = 0
    return this.put(headText(request))
  }

  /** The same for several requests, one behind the other. */
  heads(attempts: readonly { readonly request: OutgoingRequest }[]): boolean {
    breaks = 0
    let text = ''
    for (let i = 0; i < attempts.length; i++) text += headText((attempts[i] as (typeof attempts)[number]).request)
    return this.put(text)
  }

  private put(text: string): boolean {
    // One character takes three bytes at most.
    if (text.length * 3 > this.memory.length) this.renew(text.length * 3)
    const size = this.memory.write(text)
    if (breaks < 0 || !this.hasBreaks(size, breaks)) return false
    this.used = size
    return true
  }

  /** Adds ASCII text. */
  text(text: string): void {
    this.makeRoom(text.length)
    this.used += this.memory.write(text, this.used, 'latin1')
  }

  /** Adds a copy of `chunk`. */
  bytes(chunk: Uint8Array): void {
    this.makeRoom(chunk.byteLength)
    this.memory.set(chunk, this.used)
    this.used += chunk.byteLength
  }

  /** Adds a copy of `chunk`, however long it is: what there is no room for is written before. */
  stream(chunk: Uint8Array, socket: Socket): void {
    let from = 0
    while (chunk.byteLength - from > this.memory.length - this.used) {
      const to = from + this.memory.length - this.used
      this.bytes(chunk.subarray(from, to))
      this.flush(socket)
      from = to
    }
    this.bytes(from === 0 ? chunk : chunk.subarray(from))
  }

  /** Writes all that was added. */
  flush(socket: Socket): void {
    const size = this.used
    const { block } = this
    this.used = 0
    if (block !== null && size >= leastLent) {
      block.lent++
      socket.write(this.viewOf(size), block.onWritten)
    } else if (block !== null && socket.writableLength !== 0) {
      // It will wait: a copy of its own holds no more memory than it has bytes.
      socket.write(Buffer.from(this.memory.subarray(0, size)))
      return
    } else {
      socket.write(this.viewOf(size))
      // Nobody will say when that is over: it stays lent for good.
      if (block !== null && socket.writableLength !== 0) block.lent++
    }
    if (block === null || socket.writableLength !== 0) this.renew(usualSize)
  }

  private viewOf(size: number): Buffer {
    if (size >= mostViews) return this.memory.subarray(0, size)
    let view = this.views.get(size)
    if (view === undefined) {
      view = this.memory.subarray(0, size)
      this.views.set(size, view)
    }
    return view
  }

  private makeRoom(size: number): void {
    const needed = this.used + size
    if (needed <= this.memory.length) return
    const { memory } = this
    // Room for what ends a chunk, so that it does not move the whole again.
    this.renew(needed + 16)
    memory.copy(this.memory, 0, 0, this.used)
  }

  /** Other memory: what the one before holds stays with whom it was given to. */
  private renew(size: number): void {
    const whole = (size + 3) & ~3
    this.block = whole > usualSize ? null : (this.free.pop() ?? new Block((block) => this.takeBack(block)))
    this.memory = this.block?.memory ?? Buffer.allocUnsafeSlow(whole)
    this.words = new Int32Array(this.memory.buffer, this.memory.byteOffset, whole >> 2)
    this.views.clear()
  }

  private takeBack(block: Block): void {
    if (block !== this.block && this.free.length < mostFree) this.free.push(block)
  }

  /**
   * Whether the first `size` bytes hold `expected` CR and LF and no NUL: then nobody put in more than ours. Checks the
   * bytes that are sent, so there is no encoding to get wrong.
   *
   * Four bytes at once and without a branch, 0.1 µs for a usual head where one `indexOf` per value and character takes
   * 0.3 µs (bench/micro/header-block.bench.ts). It counts the bytes below 16; besides CR, LF and NUL that is mostly a
   * tab, rare enough to look again.
   */
  private hasBreaks(size: number, expected: number): boolean {
    const { words, memory } = this
    const whole = size >> 2
    let low = 0
    let from = 0
    while (from < whole) {
      // Each byte of `sums` counts for one column of the words, up to 255.
      const to = Math.min(from + 255, whole)
      let sums = 0
      for (let i = from; i < to; i++) {
        const word = words[i] as number
        // The top bit of a byte tells that it is 16 or more.
        sums = (sums + ((~(((word & 0x7f7f7f7f) + 0x70707070) | word) >>> 7) & 0x01010101)) | 0
      }
      low += (sums & 255) + ((sums >>> 8) & 255) + ((sums >>> 16) & 255) + (sums >>> 24)
      from = to
    }
    for (let i = whole << 2; i < size; i++) if ((memory[i] as number) < 16) low++
    return low === expected || hasBreaksExactly(memory, size, expected)
  }
}

function hasBreaksExactly(bytes: Uint8Array, size: number, expected: number): boolean {
  let breaks = 0
  for (let i = 0; i < size; i++) {
    const byte = bytes[i]
    if (byte === 10 || byte === 13) breaks++
    else if (byte === 0) return false
  }
  return breaks === expected
}

const noBytes = Buffer.alloc(0)
const noWords = new Int32Array(0)

/** CR and LF that the texts of `headText` have by themselves; far below 0 when one of them can't be sent. */
let breaks = 0
const unsafe = -1_000_000_000

/** The head of a request; adds to `breaks`. */
function headText(request: OutgoingRequest): string {
  const { method, target, headers, shared, bodyLength } = request
  if (target.includes(' ')) breaks = unsafe
  // `+` on strings, for a template calls ToString on each part first (bench/micro/header-block.bench.ts).
  let text = method + ' ' + target + ' HTTP/1.1\r\nhost: ' + request.host
  for (let i = 0; i < headers.length; i += 2) text += '\r\n' + headers[i] + ': ' + headers[i + 1]
  // A pair of bytes ends the request line, the host, each field (two items of the list) and the head.
  breaks += headers.length + 6
  if (shared !== null) {
    text += shared.block
    breaks += shared.headers.length
  }
  if (bodyLength > 0) {
    breaks += 2
    return text + `\r\ncontent-length: ${bodyLength}\r\n\r\n`
  }
  if (bodyLength === -1) {
    breaks += 2
    return text + '\r\ntransfer-encoding: chunked\r\n\r\n'
  }
  if (method === 'POST' || method === 'PUT' || method === 'PATCH') {
    // These expect a body: that there is none must be said (RFC 9110 §8.6).
    breaks += 2
    return text + '\r\ncontent-length: 0\r\n\r\n'
  }
  return text + '\r\n\r\n'
}

/** One for all: it is filled and emptied without a break in between. */
export const sendBuffer = new SendBuffer()
