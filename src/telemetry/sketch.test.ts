import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Sketch } from './sketch.ts'

test('knows every key exactly as long as there is room', () => {
  const sketch = new Sketch(3)
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) sketch.note(key, 0.5, key === 'b')
  expect(sketch.top()).toEqual([
    { key: 'a', count: 3, refused: 0, saturation: 0.5 },
    { key: 'b', count: 2, refused: 2, saturation: 0.5 },
    { key: 'c', count: 1, refused: 0, saturation: 0.5 },
  ])
})

test('has every key that is more than its part of all, whatever the order', () => {
  const keys = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 400 })
  fc.assert(
    fc.property(keys, (stream) => {
      const size = 8
      const sketch = new Sketch(size)
      const counts = new Map<string, number>()
      for (const number of stream) {
        const key = String(number)
        counts.set(key, (counts.get(key) ?? 0) + 1)
        sketch.note(key, 0, false)
      }
      const top = new Map(sketch.top().map(({ key, count }) => [key, count]))
      expect(top.size).toBeLessThanOrEqual(size)
      for (const [key, count] of counts) {
        if (count > stream.length / size) expect(top.has(key)).toBe(true)
        const estimate = top.get(key)
        if (estimate === undefined) continue
        expect(estimate).toBeGreaterThanOrEqual(count)
        expect(estimate).toBeLessThanOrEqual(count + stream.length / size)
      }
    }),
  )
})

test('forgets who does not come any more', () => {
  const sketch = new Sketch(4)
  for (let i = 0; i < 100_000; i++) sketch.note('then', 1, true)
  for (let i = 0; i < 400_000; i++) sketch.note('now', 0, false)
  const [first, second] = sketch.top()
  expect(first?.key).toBe('now')
  expect(second?.key).toBe('then')
  expect(second?.count).toBeLessThan((first?.count ?? 0) / 50)
  expect(sketch.total).toBeLessThan(100_000)
})
