import type { Operation, Slot } from './batch.ts'

/** Beyond that what is to be given back is forgotten: it becomes free by itself. */
const mostWaiting = 10_000

/** After this part of the time in which a silent slot becomes free it is told that it is still held. */
const silence = 1 / 4

/** Milliseconds between two looks at what is silent. */
const longestSilence = 60_000

/** The slots that this process holds, and those it has to give back. */
export class Slots {
  readonly #held = new Set<Slot>()
  #ended: Slot[] = []
  #silent: Slot[] = []
  #timer: NodeJS.Timeout | null = null
  #interval = Number.POSITIVE_INFINITY
  readonly #onDue: () => void

  /** `onDue`: there is something to be told. */
  constructor(onDue: () => void) {
    this.#onDue = onDue
  }

  hold(slot: Slot): void {
    this.#held.add(slot)
    const interval = Math.min(Math.max(10, slot.window * silence), longestSilence)
    if (this.#timer !== null && interval >= this.#interval) return
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#interval = interval
    this.#timer = setInterval(() => this.#look(), interval).unref()
  }

  release(slot: Slot): void {
    this.#held.delete(slot)
    this.giveBack(slot)
  }

  /** For a slot that may have been taken though nobody was told. */
  giveBack(slot: Slot): void {
    if (this.#ended.length < mostWaiting) this.#ended.push(slot)
    this.#onDue()
  }

  /** What has to be told, of those shards that listen. The others are told later. */
  take(listens: (shard: number) => boolean, tell: (shard: number, operation: Operation) => void): void {
    if (this.#ended.length === 0 && this.#silent.length === 0) return
    const [ended, silent, now] = [this.#ended, this.#silent, Date.now()]
    this.#ended = []
    this.#silent = []
    for (const slot of ended) {
      if (listens(slot.shard)) tell(slot.shard, { type: 'release', slot })
      else this.#ended.push(slot)
    }
    for (const slot of silent) {
      if (!this.#held.has(slot) || !listens(slot.shard)) continue
      slot.saidAt = now
      tell(slot.shard, { type: 'hold', slot })
    }
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  #look(): void {
    const now = Date.now()
    this.#silent = []
    for (const slot of this.#held) {
      if (now - slot.saidAt >= slot.window * silence) this.#silent.push(slot)
    }
    if (this.#silent.length > 0) this.#onDue()
    if (this.#held.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}
