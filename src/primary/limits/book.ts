import type { Counter } from '../../core/services/instruments.ts'
import type { Terms } from '../../services/limits/counters/counter.ts'
import type { BookTerms, Pool } from '../../services/limits/lease.ts'
import { Entry, type EntryBook } from './entry.ts'
import type { Moment, Source } from './source.ts'

/** One limit of the configuration, all its keys. */
export class Book implements EntryBook {
  readonly pool: Pool
  readonly entries = new Map<string, Entry>()
  /** Of the worker that has asked last: while a configuration is replaced not all have the same. */
  terms: Terms
  /** Milliseconds that a call to Redis may take. */
  timeout: number
  lent = 0
  readonly #lost: Counter
  readonly #told = new Map<number, BookTerms>()
  #sweep: IterableIterator<Entry> | null = null

  constructor({ pool, terms, timeout }: BookTerms, lost: Counter) {
    this.pool = pool
    this.terms = terms
    this.timeout = timeout
    this.#lost = lost
  }

  /** A worker counts by these terms from now on. */
  tell(worker: number, told: BookTerms): void {
    this.#told.set(worker, told)
    this.adopt(worker)
  }

  /** Takes up the terms of a worker. Entries have to be touched before they go by them. */
  adopt(worker: number): void {
    const told = this.#told.get(worker)
    if (told === undefined) return
    this.terms = told.terms
    this.timeout = told.timeout
  }

  leave(worker: number): void {
    this.#told.delete(worker)
  }

  lose(units: number): void {
    this.#lost.add(units)
  }

  add(key: string, source: Source): Entry {
    const entry = new Entry(this, key, source)
    this.entries.set(key, entry)
    return entry
  }

  /**
   * Makes room for one more by forgetting, of the oldest few, the one that was used least. A counter that refuses, that is
   * waited for or at hand, or of which something is lent, is never forgotten. False: there is none but such.
   */
  makeRoom(now: Moment): boolean {
    let least: Entry | null = null
    let share = 1
    const kept: Entry[] = []
    for (const entry of this.entries.values()) {
      if (kept.length === looks) break
      entry.touch(now)
      kept.push(entry)
      if (entry.lent > 0 || entry.awaited > 0 || entry.isPinned || !entry.fits(1)) continue
      const used = entry.saturation
      if (used >= share) continue
      least = entry
      share = used
    }
    for (const entry of kept) {
      this.entries.delete(entry.key)
      if (entry !== least) this.entries.set(entry.key, entry)
    }
    return least !== null
  }

  /** Looks at some more of its entries and forgets those of which nothing is left; gives how many. */
  sweep(count: number, now: Moment): number {
    let forgotten = 0
    for (let i = 0; i < count; i++) {
      this.#sweep ??= this.entries.values()
      const next = this.#sweep.next()
      if (next.done === true) {
        this.#sweep = null
        break
      }
      next.value.touch(now)
      if (!next.value.isIdle(now)) continue
      this.entries.delete(next.value.key)
      forgotten++
    }
    return forgotten
  }
}

/** Entries that are looked at to forget one. */
const looks = 16
