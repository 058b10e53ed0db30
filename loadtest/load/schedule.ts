/** A stretch of load, over which the rate goes in a straight line from one value to another. */
export interface Stretch {
  readonly seconds: number
  /** Requests a second at its begin and at its end. */
  readonly from: number
  readonly to: number
}

/** When each request of an open-loop load is due: decided beforehand, whatever becomes of those before. */
export class Schedule {
  /** Requests altogether. */
  readonly total: number
  readonly #stretches: readonly (Stretch & {
    readonly begin: number
    readonly before: number
    readonly count: number
  })[]
  /** Requests are asked for in order: the search goes on where the last one ended. */
  #at = 0

  constructor(stretches: readonly Stretch[]) {
    let begin = 0
    let before = 0
    this.#stretches = stretches.map((stretch) => {
      const count = ((stretch.from + stretch.to) / 2) * stretch.seconds
      const placed = { ...stretch, begin, before, count }
      begin += stretch.seconds
      before += count
      return placed
    })
    this.total = Math.round(before)
  }

  /** Seconds from the begin at which request `number` (the first is 0) is due; never less than for the one before. */
  due(number: number): number {
    const { begin, before, from, to, seconds } = this.#find(number)
    // The area under the rate up to there is as many requests: from·t + (to - from)·t²/2·seconds = count.
    const count = number + 0.5 - before
    const slope = (to - from) / (2 * seconds)
    return begin + Math.min(seconds, (2 * count) / (from + Math.sqrt(Math.max(0, from * from + 4 * slope * count))))
  }

  /** Which stretch request `number` belongs to. */
  stretchOf(number: number): number {
    this.#find(number)
    return this.#at
  }

  #find(number: number): Stretch & { readonly begin: number; readonly before: number } {
    const count = number + 0.5
    const last = this.#stretches.length - 1
    const start = this.#stretches[this.#at]
    if (start !== undefined && count < start.before) this.#at = 0
    for (; this.#at < last; this.#at++) {
      const { before, count: own } = this.#stretches[this.#at] as { before: number; count: number }
      if (count < before + own) break
    }
    return this.#stretches[this.#at] as Stretch & { begin: number; before: number }
  }
}

/**
 * Indexes of `weights`, each as often as its weight says and spread evenly: what is asked for in turns. Weights are whole
 * numbers.
 */
export function interleave(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const credit = weights.map(() => 0)
  return Array.from({ length: total }, () => {
    let chosen = 0
    weights.forEach((weight, i) => {
      credit[i] = (credit[i] as number) + weight
      if (credit[i] > (credit[chosen] as number)) chosen = i
    })
    credit[chosen] = (credit[chosen] as number) - total
    return chosen
  })
}
