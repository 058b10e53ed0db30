import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LimitNode, type LimitWorker, limitOf, TestClock } from '../../../test/support/limit-node.ts'
import type { Limit } from '../../core/services/limits.ts'

const minute = 60_000
let clock: TestClock
let node: LimitNode

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  clock = new TestClock()
  node = new LimitNode({ clock, byHand: true })
})
afterEach(async () => {
  await node.close()
  vi.useRealTimers()
})

async function pass(time: number): Promise<void> {
  clock.pass(time)
  vi.advanceTimersByTime(time)
  await node.settle()
}

/** Requests that had to ask, of one per key every `gap` milliseconds, `times` in all. */
async function asksOf(worker: LimitWorker, limits: readonly Limit[], keys: number, times: number): Promise<number> {
  let asks = 0
  for (let i = 0; i < times; i++) {
    for (let key = 0; key < keys; key++) {
      const admission = worker.take(
        limits,
        limits.map(() => `k${key}`),
      )
      if (admission === null) asks++
      else expect(admission.admitted).toBe(true)
    }
    await pass(50)
  }
  return asks
}

describe('keys with little traffic', () => {
  test.each(['sliding_window', 'sliding_log', 'token_bucket', 'concurrency'] as const)(
    '%s: few requests have to ask',
    async (algorithm) => {
      const limits = [limitOf({ algorithm, limit: 10_000, window: 10 * minute })]
      // 4,000 requests, 20 a second under each key.
      expect(await asksOf(node.worker(), limits, 20, 200)).toBeLessThan(200)
    },
  )

  test('hold no more than a thirty-second part of the limit, and nothing when they are at rest', async () => {
    const worker = node.worker()
    const limits = [limitOf({ algorithm: 'sliding_window', limit: 640, window: 10 * minute })]
    await asksOf(worker, limits, 1, 100)
    const { lent } = node.ledger.status() as { lent: number }
    expect(lent).toBeGreaterThan(0)
    expect(lent).toBeLessThanOrEqual(640 / 32)
    for (let i = 0; i < 60; i++) await pass(100)
    expect(node.ledger.status()).toMatchObject({ lent: 0 })
  })

  test('a key that comes once is lent nothing', async () => {
    const worker = node.worker()
    const limits = [limitOf({ limit: 10_000, window: minute })]
    await asksOf(worker, limits, 50, 1)
    expect(node.ledger.status()).toMatchObject({ counters: 50, lent: 0 })
  })
})

test('what lies idle with one worker is there for another when the window has just turned', async () => {
  const [one, other] = [node.worker(), node.worker()]
  const limits = [limitOf({ algorithm: 'sliding_window', limit: 320, window: 2000 })]
  await asksOf(one, limits, 1, 10)
  const used = 10
  const { lent } = node.ledger.status() as { lent: number }
  expect(lent).toBeGreaterThan(0)
  // To the first moment of the next window, without a look at what is idle.
  clock.pass(2000 - (clock.wall() % 2000))
  let admitted = 0
  for (let i = 0; i < 400; i++)
    void other.ask(limits, ['k0']).then(({ admission }) => (admitted += admission.admitted ? 1 : 0))
  await node.settle()
  expect(admitted).toBe(320 - used)
})
