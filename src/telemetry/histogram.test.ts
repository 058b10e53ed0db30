import fc from 'fast-check'
import { build } from 'hdr-histogram-js'
import { expect, test } from 'vitest'
import { DurationHistogram } from './histogram.ts'

function recorded(...milliseconds: number[]): DurationHistogram {
  const histogram = new DurationHistogram()
  for (const duration of milliseconds) histogram.record(duration)
  return histogram
}

const settings = {
  bitBucketSize: 64,
  lowestDiscernibleValue: 1,
  highestTrackableValue: 3_600_000_000,
  numberOfSignificantValueDigits: 2,
} as const

test('keeps microseconds up to 255 for themselves', () => {
  expect(recorded(0, 0.001, 0.0011, 0.255, 0.256, 0.257, 0.258).pairs()).toEqual([0, 1, 1, 2, 255, 1, 256, 2, 258, 1])
})

test('takes nonsense for nothing, and days for an hour', () => {
  const histogram = recorded(-1, Number.NaN, Infinity, 3_600_000, 86_400_000)
  const [zero, zeros, hour, hours, ...rest] = histogram.pairs()
  expect([zero, zeros, hours, rest, histogram.sum]).toEqual([0, 3, 2, [], 90_000_000])
  expect(hour).toBeGreaterThan(3_600_000_000 * 0.99)
  expect(hour).toBeLessThanOrEqual(3_600_000_000)
})

test('counts into the slots of hdr-histogram-js', () => {
  const durations = fc.array(
    fc.oneof(fc.nat({ max: 3_600_000_000 }), fc.nat({ max: 1000 }), fc.nat({ max: 1_000_000 })),
  )
  fc.assert(
    fc.property(durations, (micros) => {
      const [theirs, again] = [build(settings), build(settings)]
      const ours = recorded(...micros.map((value) => value / 1000))
      for (const value of micros) theirs.recordValue(value)
      const pairs = ours.pairs()
      for (let i = 0; i < pairs.length; i += 2) again.recordValueWithCount(pairs[i] as number, pairs[i + 1] as number)
      expect(again.totalCount).toBe(micros.length)
      for (const percentile of [0, 1, 25, 50, 75, 90, 99, 99.9, 100]) {
        expect(again.getValueAtPercentile(percentile)).toBe(theirs.getValueAtPercentile(percentile))
      }
    }),
    { numRuns: 50 },
  )
})

test('adds up', () => {
  const sum = recorded(1, 2)
  sum.add(recorded(2, 50_000))
  const all = recorded(1, 2, 2, 50_000)
  expect(sum.pairs()).toEqual(all.pairs())
  expect(sum.sum).toBe(50_005)
  const other = recorded(50_000)
  other.add(recorded(1))
  expect(other.pairs()).toEqual(recorded(1, 50_000).pairs())
})
