import type { ParsedHead } from './parsed-head.ts'
import type { ReadBuffer } from './read-buffer.ts'

/** Power of two. */
const slotCount = 64
const slotBytes = 1024

interface Slot {
  readonly words: Int32Array
  readonly bytes: Uint8Array
  /** Bytes of the head. */
  size: number
  head: ParsedHead
}

/**
 * The heads that a target sent lately. An API says the same head again and again, but for its date once a second: equal
 * bytes mean an equal head, and comparing is 15 times cheaper than parsing (bench/micro/response-parser.bench.ts).
 *
 * A head's slot is given by the number of bytes that its read brought. A small response comes in one read, so heads
 * with different Content-Length take different slots, and the same response finds its own without a hash.
 */
export class HeadCache {
  private readonly slots: (Slot | null)[] = Array.from({ length: slotCount }, () => null)

  /** The head at the start of a read of `end` bytes, with its size in `hitSize`, or null. */
  find(buffer: ReadBuffer, end: number): ParsedHead | null {
    const slot = this.slots[end & (slotCount - 1)] as Slot | null
    if (slot === null || slot.size > end) return null
    const { size, words } = slot
    const actual = buffer.words
    const whole = size >> 2
    for (let i = 0; i < whole; i++) if (words[i] !== actual[i]) return null
    for (let i = whole << 2; i < size; i++) if (slot.bytes[i] !== buffer.bytes[i]) return null
    this.hitSize = size
    return slot.head
  }

  /**
   * The same for a head at `at`, behind another response: compared with the last one found there. Pipelined answers look alike
   * more often than not.
   */
  findAt(bytes: Uint8Array, at: number, end: number): ParsedHead | null {
    const { last, lastHead } = this
    const size = last.length
    if (lastHead === null || size > end - at) return null
    // From the end, where Content-Length and Date tend to stand.
    for (let i = size - 1; i >= 0; i--) if (last[i] !== bytes[at + i]) return null
    this.hitSize = size
    return lastHead
  }

  storeAt(bytes: Uint8Array, at: number, headEnd: number, head: ParsedHead): void {
    if (headEnd - at > slotBytes) return
    // A Buffer's own slice() is no copy.
    this.last = Uint8Array.prototype.slice.call(bytes, at, headEnd)
    this.lastHead = head
  }

  private last = new Uint8Array(0)
  private lastHead: ParsedHead | null = null
  hitSize = 0

  /** Remembers the head `[0, size)` of a read of `end` bytes in the place of whatever had this slot. */
  store(buffer: ReadBuffer, size: number, end: number, head: ParsedHead): void {
    if (size > slotBytes) return
    const index = end & (slotCount - 1)
    let slot = this.slots[index] as Slot | null
    if (slot === null) {
      const words = new Int32Array(slotBytes >> 2)
      slot = { words, bytes: new Uint8Array(words.buffer), size, head }
      this.slots[index] = slot
    }
    const { words } = slot
    const actual = buffer.words
    // Whole words: what is copied beyond the head is never looked at.
    for (let i = 0; i < (size + 3) >> 2; i++) words[i] = actual[i] as number
    slot.size = size
    slot.head = head
  }
}
