import { expect, test } from 'vitest'
import { sweep } from './sweep.ts'

test('looks after what is there until there is nothing to look after', async () => {
  let once = 0
  const calls = await new Promise<number[]>((resolve) => {
    const times: number[] = []
    sweep.add({
      sweep: () => {
        once++
        return false
      },
    })
    sweep.add({
      sweep: (now) => {
        times.push(now)
        expect(now).toBe(sweep.now)
        if (times.length === 3) resolve(times)
        return times.length < 3
      },
    })
  })
  expect(once).toBe(1)
  expect(calls).toEqual(calls.toSorted((a, b) => a - b))

  // It stopped. Another one starts it again.
  const later = await new Promise<number>((resolve) => {
    sweep.add({
      sweep: (now) => {
        resolve(now)
        return false
      },
    })
  })
  expect(later).toBeGreaterThan(calls.at(-1) ?? Infinity)
  expect(once).toBe(1)
})
