/** Bytes that one read may bring. */
const size = 65_536

/** Views that are remembered, each in the place that its end gives it. A power of two. */
const slots = 64

/** Memory that sockets read into: the same bytes as bytes and as words, which compare four times as fast. */
export class ReadBuffer {
  readonly bytes: Buffer
  readonly words: Int32Array
  private readonly views: (Uint8Array | undefined)[] = Array.from({ length: slots }, () => undefined)
  private readonly starts = new Int32Array(slots)
  private readonly ends = new Int32Array(slots)

  constructor() {
    // Not from Buffer's pool: words need an aligned start.
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, size >> 2)
  }

  /**
   * The bytes `[start, end)`. The same object as before when they are asked for again: small answers come in one read, look
   * alike, and a view of their body each would be half of what an answer leaves to the collector (native-notes/costs.md).
   */
  view(start: number, end: number): Uint8Array {
    const slot = end & (slots - 1)
    const known = this.views[slot]
    if (known !== undefined && this.starts[slot] === start && this.ends[slot] === end) return known
    const view = new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + start, end - start)
    this.views[slot] = view
    this.starts[slot] = start
    this.ends[slot] = end
    return view
  }
}

const shared = new ReadBuffer()

/**
 * The memory that a connection reads into. On POSIX systems libuv fills it and calls back at once, so that one buffer,
 * always warm in the cache, serves all connections (64 kB each would be 64 MB for a thousand); on Windows a read owns
 * its memory while it waits.
 */
export function readBufferFor(platform: NodeJS.Platform): ReadBuffer {
  return platform === 'win32' ? new ReadBuffer() : shared
}
