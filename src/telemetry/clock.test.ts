import { expect, test } from 'vitest'
import { DayClock } from './clock.ts'

test('says what the system clock says', () => {
  const clock = new DayClock()
  const before = Date.now()
  const text = clock.text(performance.now())
  const after = Date.now()
  expect(text).toBe(new Date(text).toISOString())
  expect(Date.parse(text)).toBeGreaterThanOrEqual(before - 1)
  expect(Date.parse(text)).toBeLessThanOrEqual(after + 1)
})

test('tells times apart as the monotonic clock does, in any order', () => {
  const clock = new DayClock()
  const now = performance.now()
  const base = Date.parse(clock.text(now))
  for (const distance of [0, 1, 999, 1000, 1001, 59_999, -1, -1000, -12_345, 0]) {
    expect(Math.abs(Date.parse(clock.text(now + distance)) - base - distance)).toBeLessThanOrEqual(1)
  }
})
