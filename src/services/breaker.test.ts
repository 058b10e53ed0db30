import { expect, test } from 'vitest'
import { Breaker } from './breaker.ts'

function opened(at: number): Breaker {
  const breaker = new Breaker(2, 1000)
  breaker.failed(at)
  expect(breaker.failed(at)).toBe(true)
  return breaker
}

test('opens after failures in a row, and not before', () => {
  const breaker = new Breaker(3, 1000)
  breaker.failed(0)
  breaker.failed(0)
  expect(breaker.succeeded()).toBe(false)
  breaker.failed(0)
  breaker.failed(0)
  expect(breaker.state(0)).toBe('closed')
  expect(breaker.admits(0)).toBe(true)
  expect(breaker.failed(0)).toBe(true)
  expect(breaker.state(0)).toBe('open')
  expect(breaker.admits(999)).toBe(false)
})

test('lets one call try after a while, and closes when that goes well', () => {
  const breaker = opened(0)
  expect(breaker.state(1000)).toBe('half-open')
  expect(breaker.admits(1000)).toBe(true)
  expect(breaker.admits(1000)).toBe(false)
  expect(breaker.admits(5000)).toBe(false)
  expect(breaker.succeeded()).toBe(true)
  expect(breaker.state(5000)).toBe('closed')
  expect(breaker.admits(5000)).toBe(true)
})

test('opens again for as long when that goes wrong', () => {
  const breaker = opened(0)
  expect(breaker.admits(1500)).toBe(true)
  expect(breaker.failed(1700)).toBe(false)
  expect(breaker.admits(2699)).toBe(false)
  expect(breaker.admits(2700)).toBe(true)
})

test('is not kept open by calls that went out before', () => {
  const breaker = opened(0)
  breaker.failed(900)
  expect(breaker.admits(1000)).toBe(true)
})

test('never opens when it may fail for ever', () => {
  const breaker = new Breaker(0, 1000)
  for (let i = 0; i < 100; i++) expect(breaker.failed(0)).toBe(false)
  expect(breaker.admits(0)).toBe(true)
})
