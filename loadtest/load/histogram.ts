import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'

export type { Histogram }

/** Microseconds: a longer time counts as this. */
const longest = 600_000_000

/** Times in microseconds, exact to a thousandth. */
export function createHistogram(): Histogram {
  return build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: longest,
    numberOfSignificantValueDigits: 3,
  })
}

export function recordTime(histogram: Histogram, milliseconds: number): void {
  histogram.recordValue(Math.min(longest, Math.max(0, Math.round(milliseconds * 1000))))
}

/** Milliseconds below which `percent` of the times are; `null` when there are none. */
export function percentile(histogram: Histogram, percent: number): number | null {
  return histogram.totalCount === 0 ? null : histogram.getValueAtPercentile(percent) / 1000
}

export function pack(histogram: Histogram): string {
  return histogram.totalCount === 0 ? '' : encodeIntoCompressedBase64(histogram)
}

export function addPacked(histogram: Histogram, packed: string): void {
  if (packed !== '') histogram.add(decodeFromCompressedBase64(packed, 32, false))
}
