import { expect, test } from 'vitest'
import { counterSuffix, slotOf } from './redis-store-key.ts'

test('keys stand as they are, but for those that are long or look like a hash', () => {
  const two = `t60000|${'a'.repeat(64)}|${'b'.repeat(64)}`
  expect(counterSuffix(two)).toBe(two)
  const hash = /^#[\w-]{43}$/
  expect(counterSuffix('x'.repeat(160))).not.toMatch(hash)
  expect(counterSuffix('x'.repeat(161))).toMatch(hash)
  const own = counterSuffix('x'.repeat(161))
  expect(counterSuffix(own)).toMatch(hash)
  expect(counterSuffix(own)).not.toBe(own)
})

test.each([
  // The check value of CRC-16/XMODEM.
  ['123456789', 0x31c3],
  ['{123456789}:more', 0x31c3],
])('slot of %s', (key, slot) => {
  expect(slotOf(key)).toBe(slot)
})
