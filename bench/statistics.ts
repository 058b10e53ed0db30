export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Distance between the largest and the smallest value, as a share of the median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values)
}

/** How two things compare that were measured in turns. */
export interface Ratio {
  /** Median over the rounds. */
  readonly median: number
  readonly least: number
  readonly most: number
}

/** Divides round by round, so that a machine that is slow for a while is slow for both. */
export function ratioOf(above: readonly number[], below: readonly number[]): Ratio {
  const ratios = above.map((value, i) => value / (below[i] as number))
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) }
}
