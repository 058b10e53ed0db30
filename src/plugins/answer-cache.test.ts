import { expect, test } from 'vitest'
import { AnswerCache, type Answered } from './answer-cache.ts'

function cacheOf(entries = 100, bytes = 1_000_000, grace = 0) {
  return new AnswerCache<{ text: string }>({ entries, bytes, grace })
}

function good(text: string, ttl = 60_000, bytes = 10): Answered<{ text: string }> {
  return { value: { text }, ttl, isRefusal: false, bytes }
}

function bad(text: string): Answered<{ text: string }> {
  return { ...good(text), isRefusal: true }
}

test('keeps an answer as long as it says', async () => {
  const cache = cacheOf()
  await cache.ask('a', async () => good('one', 1000))
  const now = Date.now()
  expect(cache.find('a', now)).toEqual({ text: 'one' })
  expect(cache.find('a', now + 1001)).toBeUndefined()
  expect(cache.find('b', now)).toBeUndefined()
})

test('keeps nothing that is only for those who wait', async () => {
  const cache = cacheOf()
  expect(await cache.ask('a', async () => good('one', 0))).toEqual({ text: 'one' })
  expect(cache.size).toBe(0)
})

test('makes one call for all who ask the same at the same time', async () => {
  const cache = cacheOf()
  let calls = 0
  let answer = (_: Answered<{ text: string }>): void => {}
  const call = () => {
    calls += 1
    return new Promise<Answered<{ text: string }>>((resolve) => (answer = resolve))
  }
  const results = Array.from({ length: 100 }, () => cache.ask('a', call))
  answer(good('one', 0))
  expect(new Set(await Promise.all(results)).size).toBe(1)
  expect(calls).toBe(1)
  void cache.ask('a', call)
  expect(calls).toBe(2)
})

test('gives nobody what is meant for another', async () => {
  const cache = cacheOf()
  let calls = 0
  const call = async (): Promise<Answered<{ text: string }>> => ({ ...good(`${++calls}`, 0), isPrivate: true })
  const [first, second] = await Promise.all([cache.ask('a', call), cache.ask('a', call)])
  expect([first, second]).toEqual([{ text: '1' }, { text: '2' }])
})

test('asks again after a call that failed', async () => {
  const cache = cacheOf()
  await expect(cache.ask('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await cache.ask('a', async () => good('one'))).toEqual({ text: 'one' })
})

test('refusals push no good answer out, however many there are', async () => {
  const cache = cacheOf(20)
  await cache.ask('a', async () => good('one'))
  for (let i = 0; i < 1000; i++) await cache.ask(`b${i}`, async () => bad('no'))
  expect(cache.find('a', Date.now())).toEqual({ text: 'one' })
  expect(cache.find('b999', Date.now())).toEqual({ text: 'no' })
  expect(cache.size).toBe(3)
})

test('is bounded by entries and by bytes', async () => {
  const few = cacheOf(10)
  for (let i = 0; i < 100; i++) await few.ask(`a${i}`, async () => good('x'))
  expect(few.size).toBe(10)
  const small = cacheOf(1000, 100_000)
  for (let i = 0; i < 100; i++) await small.ask(`a${i}`, async () => good('x', 60_000, 9700))
  expect(small.size).toBe(9)
})

test('keeps old good answers for hard times, no refusals, and none that was refused since', async () => {
  const cache = cacheOf(10, 10_000, 5000)
  await cache.ask('a', async () => good('one', 1000))
  await cache.ask('b', async () => bad('no'))
  const now = Date.now()
  expect(cache.findOld('a', now + 5000)).toEqual({ text: 'one' })
  expect(cache.findOld('a', now + 6001)).toBeUndefined()
  expect(cache.findOld('b', now)).toBeUndefined()
  await cache.ask('a', async () => bad('no'))
  expect(cache.findOld('a', now)).toBeUndefined()
})
