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
