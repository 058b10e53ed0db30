import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LimitModel } from '../../../../test/support/limit-model.ts'
import { limitOf } from '../../../../test/support/limit-node.ts'
import type { Limit, LimitAlgorithm } from '../../../core/services/limits.ts'
import { capacityOf, grain, type Span, termsOf } from './counter.ts'
import { newCounter } from './new-counter.ts'

const algorithms: readonly LimitAlgorithm[] = [
  'fixed_window',
  'sliding_window',
  'sliding_log',
  'token_bucket',
  'leaky_bucket',
]

/** One counter, asked as a store asks it. */
function counting(algorithm: LimitAlgorithm) {
  const counter = newCounter(algorithm)
  return (limit: Limit, now: number, cost = 1) => {
    const terms = termsOf(limit)
    const span = limit.calendar === null ? null : limit.calendar(now)
    const level = counter.level(terms, now, span)
    const retryAfter = counter.wait(terms, cost, 0, now)
    expect(retryAfter === 0).toBe(level + cost <= capacityOf(terms) + grain)
    if (retryAfter === 0) counter.use(terms, cost, now)
    return {
      admitted: retryAfter === 0,
      retryAfter,
      remaining: Math.max(0, Math.floor(capacityOf(terms) - counter.level(terms, now, span) + grain)),
      resetAt: counter.wholeAt(terms, 0, now),
    }
  }
}

const steps = fc.array(fc.record({ pause: fc.nat(700), cost: fc.integer({ min: 1, max: 4 }) }), { maxLength: 120 })

describe('a counter says what the textbook says', () => {
  for (const algorithm of algorithms) {
    test(algorithm, () => {
      const limits = fc.record({
        limit: fc.integer({ min: 1, max: 20 }),
        window: fc.integer({ min: 10, max: 3000 }),
        burst: fc.nat(10),
      })
      fc.assert(
        fc.property(limits, steps, fc.nat(5000), (fields, requests, start) => {
          const limit = limitOf({ ...fields, algorithm })
          const model = new LimitModel()
          const ask = counting(algorithm)
          let now = 1_000_000 + start
          for (const { pause, cost } of requests) {
            now += pause
            const { admitted, retryAfter, remaining, resetAt } = model.admit(now, [limit], ['k'], [cost])
            expect(ask(limit, now, cost)).toEqual({
              admitted,
              retryAfter,
              remaining: remaining[0],
              resetAt: resetAt[0],
            })
          }
        }),
      )
    })
  }

  test('of a window of the calendar', () => {
    const calendar = (now: number) => (now < 5000 ? { start: 0, end: 5000 } : { start: 5000, end: 9000 })
    const limit = limitOf({ limit: 2, calendar })
    const ask = counting('fixed_window')
    expect([ask(limit, 100), ask(limit, 4000), ask(limit, 4900)]).toMatchObject([
      { admitted: true, resetAt: 5000 },
      { admitted: true, remaining: 0 },
      { admitted: false, retryAfter: 100 },
    ])
    expect(ask(limit, 5000)).toMatchObject({ admitted: true, remaining: 1, resetAt: 9000 })
  })
})

describe('a changed limit', () => {
  for (const algorithm of algorithms) {
    test(`holds at once: ${algorithm}`, () => {
      const ask = counting(algorithm)
      const before = limitOf({ algorithm, limit: 10, burst: algorithm === 'leaky_bucket' ? 9 : 0 })
      for (let i = 0; i < 5; i++) expect(ask(before, 1000).admitted).toBe(true)
      const smaller = limitOf({ algorithm, limit: 5, burst: algorithm === 'leaky_bucket' ? 4 : 0 })
      expect(ask(smaller, 1000).admitted).toBe(false)
      const larger = limitOf({ algorithm, limit: 6, burst: algorithm === 'leaky_bucket' ? 5 : 0 })
      expect(ask(larger, 1000)).toMatchObject({ admitted: true, remaining: 0 })
    })

    test(`forgets nothing when its window changes: ${algorithm}`, () => {
      for (const window of [100, 500, 2000, 60_000]) {
        const ask = counting(algorithm)
        const burst = algorithm === 'leaky_bucket' ? 9 : 0
        for (let i = 0; i < 10; i++) ask(limitOf({ algorithm, burst }), 60_050)
        expect(ask(limitOf({ algorithm, window, burst }), 60_050).admitted).toBe(false)
      }
    })
  }
})

describe('a clock that is set', () => {
  for (const algorithm of algorithms) {
    test(`back makes nothing free: ${algorithm}`, () => {
      const ask = counting(algorithm)
      const limit = limitOf({ algorithm, burst: algorithm === 'leaky_bucket' ? 9 : 0 })
      for (let i = 0; i < 10; i++) ask(limit, 100_500)
      for (const now of [100_499, 99_000, 50_000]) expect(ask(limit, now).admitted).toBe(false)
    })
  }

  test('back by an hour blocks a window for no longer than it is', () => {
    for (const algorithm of ['fixed_window', 'sliding_window'] as const) {
      const ask = counting(algorithm)
      for (let i = 0; i < 10; i++) ask(limitOf({ algorithm }), 7_200_500)
      expect(ask(limitOf({ algorithm }), 3_600_500).admitted).toBe(false)
      expect(ask(limitOf({ algorithm }), 3_602_000).admitted).toBe(true)
    }
  })
})

describe('a log', () => {
  test('of many requests stays small and never admits too many', () => {
    const limit = limitOf({ algorithm: 'sliding_log', limit: 10_000, window: 10_000 })
    const ask = counting('sliding_log')
    const admitted: number[] = []
    for (let now = 1_000_000; now < 1_030_000; now += 0.5) if (ask(limit, now).admitted) admitted.push(now)
    let first = 0
    let most = 0
    for (const [i, now] of admitted.entries()) {
      while ((admitted[first] as number) + limit.window <= now) first++
      most = Math.max(most, i - first + 1)
    }
    expect(most).toBe(10_000)
    // 30 seconds are three windows.
    expect(admitted.length).toBeGreaterThan(30_000 * 0.999)
  })

  test('takes late reports at their time', () => {
    const terms = termsOf(limitOf({ algorithm: 'sliding_log', limit: 3 }))
    const counter = newCounter('sliding_log')
    counter.use(terms, 1, 500)
    counter.use(terms, 1, 700)
    counter.use(terms, 1, 600)
    expect([1499, 1500, 1600, 1700].map((now) => counter.level(terms, now, null))).toEqual([3, 2, 1, 0])
  })
})

test('fixed_window: what comes before the next window of a calendar is known counts in both', () => {
  const terms = termsOf(limitOf({ limit: 10 }))
  const counter = newCounter('fixed_window')
  const [day, next, last] = [1000, 2000, 3000].map((start) => ({ start, end: start + 1000 })) as [Span, Span, Span]
  counter.level(terms, 1900, day)
  counter.use(terms, 3, 1900)
  counter.level(terms, 2001, day)
  counter.use(terms, 2, 2001)
  expect(counter.isIdle(2500)).toBe(false)
  expect(counter.isIdle(3001)).toBe(true)
  expect(counter.level(terms, 2500, day)).toBe(5)
  expect(counter.level(terms, 2501, next)).toBe(2)
  expect(counter.level(terms, 3000, last)).toBe(0)
})

test('what is lent counts as used now', () => {
  for (const algorithm of algorithms) {
    const terms = termsOf(limitOf({ algorithm, burst: algorithm === 'leaky_bucket' ? 9 : 0 }))
    const counter = newCounter(algorithm)
    counter.level(terms, 10_000, null)
    counter.use(terms, 4, 10_000)
    expect(counter.wait(terms, 1, 5, 10_000)).toBe(0)
    expect(counter.wait(terms, 1, 6, 10_000)).toBeGreaterThan(0)
  }
})

test('a counter of which nothing counts any more is idle', () => {
  for (const algorithm of [...algorithms, 'concurrency'] as const) {
    const terms = termsOf(limitOf({ algorithm, burst: 5 }))
    const counter = newCounter(algorithm)
    counter.level(terms, 10_000, null)
    expect(counter.isIdle(10_000)).toBe(true)
    counter.use(terms, 2, 10_000)
    expect(counter.isIdle(10_000)).toBe(false)
    if (algorithm === 'concurrency') counter.use(terms, -2, 10_000)
    counter.level(terms, 12_000, null)
    expect(counter.isIdle(12_000)).toBe(true)
  }
})
