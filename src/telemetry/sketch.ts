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
  readonly #rows: Row[] = []
  #cursor = 0
  /** No row has a smaller count. */
  #floor = 0
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
    const rows = this.#rows.toSorted((a, b) => b.count - a.count)
    return rows.map(({ key, count, refused, saturation }) => ({ key, count, refused, saturation }))
  }

  #take(key: string): Row {
    let row: Row
    if (this.#rows.length < this.#size) {
      row = new Row(key)
      this.#rows.push(row)
    } else {
      row = this.#rarest()
      this.#keys.delete(row.key)
      row.key = key
      row.refused = 0
    }
    this.#keys.set(key, row)
    return row
  }

  /**
   * Goes round: of those that have the smallest count each is met once before the smallest count rises, so that a flood of
   * unknown keys costs a step or two each.
   */
  #rarest(): Row {
    for (;;) {
      for (let steps = 0; steps < this.#size; steps++) {
        const row = this.#rows[this.#cursor] as Row
        this.#cursor = (this.#cursor + 1) % this.#size
        if (row.count <= this.#floor) return row
      }
      this.#floor = Math.min(...this.#rows.map(({ count }) => count))
    }
  }

  #fade(): void {
    this.#notes = 0
    this.total /= 2
    this.#floor /= 2
    for (const row of this.#rows) {
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
