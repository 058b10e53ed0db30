import { sliceLength } from '../load/job.ts'
import type { Tally } from '../load/tally.ts'
import type { Sample } from '../report/proc.ts'

/** Median of the last fifth less median of the first fifth of the samples from second `begin` on. */
export function growth(samples: readonly Sample[], begin: number, of: (sample: Sample) => number): number | null {
  const values = samples.filter(({ at }) => at >= begin).map(of)
  if (values.length < 2) return null
  const part = Math.max(1, Math.floor(values.length / 5))
  return median(values.slice(-part)) - median(values.slice(0, part))
}

/**
 * How fast the memory grows, over the second half of a run: the median of the slopes between all pairs of samples (Theil and
 * Sen), which a garbage collection here and there does not change.
 */
export function slopePerMinute(samples: readonly Sample[]): number | null {
  const half = samples.slice(samples.length >> 1)
  // A thousand are enough, whatever the length of a soak.
  const step = Math.max(1, Math.ceil(half.length / 1000))
  const points = half.filter((_, i) => i % step === 0)
  const slopes: number[] = []
  for (const [i, a] of points.entries()) {
    for (const b of points.slice(i + 1)) slopes.push(((b.resident - a.resident) / 2 ** 20 / (b.at - a.at)) * 60)
  }
  return slopes.length === 0 ? null : median(slopes)
}

/** The 99th percentile of the last third of a run as a multiple of that of the first third, from second `begin` on. */
export function drift(slices: readonly Tally[], begin: number): number | null {
  const times = slices.slice(Math.round((begin * 1000) / sliceLength)).flatMap((slice) => slice.servedTime(99) ?? [])
  const third = Math.floor(times.length / 3)
  return third === 0 ? null : median(times.slice(-third)) / median(times.slice(0, third))
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  if (sorted.length % 2 === 1) return sorted[middle] as number
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}
