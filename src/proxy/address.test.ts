import { expect, it } from 'vitest'
import { addressText } from './address.ts'

const bytes = (...values: number[]): ArrayBuffer => new Uint8Array(values).buffer

it('writes binary addresses as text', () => {
  expect(addressText(bytes(192, 0, 2, 1))).toBe('192.0.2.1')
  expect(addressText(bytes(255, 255, 255, 255))).toBe('255.255.255.255')
  expect(addressText(bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 7))).toBe('192.0.2.7')
  expect(addressText(bytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1))).toBe('::1')
  expect(addressText(bytes(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1))).toBe('2001:db8::1:0:0:1')
  expect(addressText(bytes(0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1))).toBe('2001:db8:0:1:1:1:1:1')
  expect(addressText(bytes())).toBe('')
})
