import { expect, test } from 'vitest'
import { parseDuration, parseSize } from './units.ts'

test.each([
  ['50ms', 50],
  ['10s', 10_000],
  ['1.5m', 90_000],
  ['1h', 3_600_000],
  ['365d', 31_536_000_000],
  [10, 10_000],
  ['10', 10_000],
  [0.25, 250],
  [0, 0],
])('duration %j is %d ms', (value, milliseconds) => expect(parseDuration(value)).toBe(milliseconds))

test.each(['', '10 s', '10x', '-1s', '1e3s', 'ms', '1s2', -1, Number.NaN, Number.POSITIVE_INFINITY])(
  'duration %j is refused',
  (value) => expect(parseDuration(value)).toBeNull(),
)

test.each([
  ['512b', 512],
  ['64kb', 65_536],
  ['1.5MB', 1_572_864],
  ['2gb', 2_147_483_648],
  [1000, 1000],
  ['1000', 1000],
])('size %j is %d bytes', (value, bytes) => expect(parseSize(value)).toBe(bytes))

test.each(['', '10tb', 'mb', '-1kb', '1 2kb', Number.NaN, 1e300])('size %j is refused', (value) =>
  expect(parseSize(value)).toBeNull(),
)
