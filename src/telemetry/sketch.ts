import type { Ranking } from '../core/services/instruments.ts'

/** A key with what is known of it. Counts fade: they say who comes often lately, not how often. */
export interface RankedKey {
  readonly key: string
  /** At most the true count of late, and at most what an unknown key could have had too much. */
  readonly count: number
  readonly refused: number
  /** When it was last seen: how much of its limit was used. */
  readonly saturation: number
}

/** Notes after which all counts are halved: what is older than some of these rounds is forgotten. */
const round = 32_768

/**
 * The keys that come most often out of any number of them, in fixed memory: Space-Saving (Metwally, Agrawal, El Abbadi:
 * Efficient Computation of Frequent and Top-k Elements in Data Streams, 2005). A new key takes the place of the rarest,
 * and its count.
 */
export class Sketch implements Ranking {
  readonly #size: number
  readonly #keys = new Map<string, Row>()
  #notes = 0
  /** Of all keys, fading like their counts. */
  total = 0

  constructor(size: number) {
    this.#size = size
  }

  note(key: string, saturation: number, refused: boolean): void {
    let row = this.#keys.get(key)
    if (row === undefined) row = this.#take(key)
    row.count += 1
    row.saturation = saturation
    if (refused) row.refused += 1
    this.total += 1
    if (++this.#notes === round) this.#fade()
  }

  /** Most frequent first. */
  top(): RankedKey[] {
    const rows = [...this.#keys.values()].sort((a, b) => b.count - a.count)
    return rows.map(({ key, count, refused, saturation }) => ({ key, count, refused, saturation }))
  }

  #take(key: string): Row {
    if (this.#keys.size < this.#size) {
      const row = new Row(key)
      this.#keys.set(key, row)
      return row
    }
    let rarest: Row | null = null
    for (const row of this.#keys.values()) if (rarest === null || row.count < rarest.count) rarest = row
    const row = rarest as Row
    this.#keys.delete(row.key)
    row.key = key
    row.refused = 0
    this.#keys.set(key, row)
    return row
  }

  #fade(): void {
    this.#notes = 0
    this.total /= 2
    for (const row of this.#keys.values()) {
      row.count /= 2
      row.refused /= 2
    }
  }
}

class Row {
  key: string
  count = 0
  refused = 0
  saturation = 0

  constructor(key: string) {
    this.key = key
  }
}
