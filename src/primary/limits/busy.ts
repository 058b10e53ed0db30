import { createHash } from 'node:crypto'
import type { Entry } from './entry.ts'
import type { Moment } from './source.ts'

/** Counters of which so much is used are watched, until half of that is. */
const busy = 0.5
/** So many at most; the busiest of them are shown. */
const watched = 256
const shown = 20

/** The counters that are nearest to their limits. */
export class BusyEntries {
  readonly #entries = new Set<Entry>()

  /** A request was just decided by it. */
  note(entry: Entry): void {
    if (entry.saturation < busy || this.#entries.has(entry)) return
    const [oldest] = this.#entries
    if (this.#entries.size >= watched && oldest !== undefined) this.#entries.delete(oldest)
    this.#entries.add(entry)
  }

  /** Forgets those that are not busy any more. */
  sweep(now: Moment): void {
    for (const entry of this.#entries) if (saturationAt(entry, now) < busy / 2) this.#entries.delete(entry)
  }

  /** For `/status`: the busiest first. */
  status(now: Moment): object[] {
    return [...this.#entries]
      .map((entry) => ({ entry, saturation: saturationAt(entry, now) }))
      .sort((one, other) => other.saturation - one.saturation)
      .slice(0, shown)
      .map(({ entry, saturation }) => ({
        limit: entry.book.terms.name,
        key: shownKey(entry.key),
        saturation: Math.round(saturation * 1000) / 1000,
      }))
  }
}

function saturationAt(entry: Entry, now: Moment): number {
  entry.touch(now)
  return entry.saturation
}

/** A key may hold what a client sent, a token even: of long ones only the beginning is shown. */
function shownKey(key: string): string {
  return key.length <= 40 ? key : `${key.slice(0, 24)}…${createHash('sha256').update(key).digest('hex').slice(0, 8)}`
}
