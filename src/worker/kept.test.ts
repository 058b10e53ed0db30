import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { KeptThings } from './kept.ts'

const quiet = { info() {}, warn() {}, error() {} }

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function thing() {
  return {
    closed: 0,
    close() {
      this.closed++
    },
  }
}

test('gives the same thing for the same key, to one snapshot and to the next', () => {
  const kept = new KeptThings(quiet)
  const first = kept.begin()
  const made = first.keep('a', thing)
  expect(first.keep('a', thing)).toBe(made)
  expect(first.keep('b', thing)).not.toBe(made)
  const second = kept.begin()
  expect(second.keep('a', thing)).toBe(made)
  first.end()
  vi.runAllTimers()
  expect(made.closed).toBe(0)
})

test('closes what the last snapshot that had it leaves, and not before its requests are over', () => {
  const kept = new KeptThings(quiet)
  const first = kept.begin()
  const made = first.keep('a', thing)
  first.end()
  expect(made.closed).toBe(0)
  const second = kept.begin()
  expect(second.keep('a', thing)).toBe(made)
  vi.runAllTimers()
  expect(made.closed).toBe(0)
  second.end()
  vi.runAllTimers()
  expect(made.closed).toBe(1)
  expect(kept.begin().keep('a', thing)).not.toBe(made)
})

test('closes everything at the end, also when one fails', () => {
  const kept = new KeptThings(quiet)
  const { keep } = kept.begin()
  keep('bad', () => ({
    close() {
      throw new Error('no')
    },
  }))
  const made = keep('a', thing)
  kept.close()
  expect(made.closed).toBe(1)
})
