import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LimitNode, type LimitWorker, limitOf, TestClock } from '../../../test/support/limit-node.ts'
import type { Admission, Limit } from '../../core/services/limits.ts'

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

/** Time passes, and nobody hears anything. */
function elapse(time: number): void {
  clock.pass(time)
  vi.advanceTimersByTime(time)
}

/** What was asked in this tick goes out, and is not yet delivered. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Asks that often at once; what was admitted when all are decided is in the list. */
function askOften(worker: LimitWorker, limits: readonly Limit[], times: number): Admission[] {
  const admitted: Admission[] = []
  const keys = limits.map(() => 'k0')
  for (let i = 0; i < times; i++) {
    void worker.ask(limits, keys).then(({ admission }) => {
      if (admission.admitted) admitted.push(admission)
    })
  }
  return admitted
}

/** Comes every millisecond, so that something is lent. */
async function warm(worker: LimitWorker, limits: readonly Limit[], times: number): Promise<Admission[]> {
  const admitted: Admission[] = []
  for (let i = 0; i < times; i++) {
    const one = askOften(worker, limits, 1)
    await node.settle()
    admitted.push(...one)
    elapse(1)
  }
  return admitted
}

describe('not one too many', () => {
  test('a request that waits counts by the same counter as those behind it, though nothing was left of that', async () => {
    const [holder, waiting, other] = [node.worker(), node.worker(), node.worker()]
    const second = limitOf({ name: 'second', limit: 50, window: 1000 })
    const slots = limitOf({ name: 'slots', algorithm: 'concurrency', limit: 8, window: minute })
    const [first] = await warm(holder, [slots], 8)
    elapse(950)
    // Nobody knows yet that there is a slot again.
    holder.store.release(first as Admission)
    const late = askOften(waiting, [second, slots], 1)
    await turn()
    waiting.deliverUp()
    elapse(50)
    const swift = askOften(other, [second], 50)
    await turn()
    other.deliverUp()
    await node.settle()
    expect([swift.length, late.length]).toEqual([50, 0])
  })

  test('calendar: what was asked before the edge and decided behind it is not forgotten', async () => {
    const workers = [node.worker(), node.worker(), node.worker()] as const
    const calendar = (now: number) => ({ start: now - (now % 1000), end: now - (now % 1000) + 1000 })
    const limits = [limitOf({ limit: 1, calendar })]
    const first = askOften(workers[0], limits, 1)
    await node.settle()
    elapse(999)
    const second = askOften(workers[1], limits, 1)
    await turn()
    elapse(1)
    await node.settle()
    elapse(1)
    const third = askOften(workers[2], limits, 1)
    await node.settle()
    expect(first.length + second.length + third.length).toBe(2)
  })

  test('when counters are too many, none of those at hand is forgotten', async () => {
    const full = new LimitNode({ clock, byHand: true, capacity: 2 })
    const worker = full.worker()
    const asked = ['a', 'b', 'c'].map((key) => worker.ask([limitOf({ limit: 1 })], [key]))
    await full.settle()
    expect((await Promise.all(asked)).map(({ admission }) => admission.decidedBy)).toEqual(['store', 'store', 'deny'])
    const again = worker.ask([limitOf({ limit: 1 })], ['a'])
    await full.settle()
    expect((await again).admission).toMatchObject({ admitted: false, decidedBy: 'store' })
    await full.close()
  })
})

describe('not one too few', () => {
  test('sliding_log: what was used is told so late that it has expired', async () => {
    const worker = node.worker()
    const limits = [limitOf({ algorithm: 'sliding_log', limit: 80 })]
    await warm(worker, limits, 20)
    for (let i = 0; i < 3; i++) await pass(60)
    // What is left in hand is used up, and of that nobody is told.
    const { lent } = node.ledger.status() as { lent: number }
    expect(lent).toBeGreaterThan(0)
    for (let i = 0; i < lent; i++) expect(worker.take(limits, ['k0'])).toMatchObject({ admitted: true })
    for (let i = 0; i < 21; i++) await pass(50)
    const admitted = askOften(worker, limits, 100)
    await node.settle()
    expect(admitted).toHaveLength(80)
  })

  test('a worker is lent nothing that its own requests wait for', async () => {
    const [holder, worker] = [node.worker(), node.worker()]
    const second = limitOf({ name: 'second', limit: 20, window: minute })
    const slots = limitOf({ name: 'slots', algorithm: 'concurrency', limit: 16, window: minute })
    const held = await warm(holder, [slots], 16)
    await warm(worker, [second], 12)
    for (const admission of held.slice(0, 8)) holder.store.release(admission)
    const admitted = askOften(worker, [second, slots], 10)
    await node.settle()
    expect(admitted).toHaveLength(8)
  })

  test('a request that has waited gets what lies with its own worker', async () => {
    const [holder, worker, other] = [node.worker(), node.worker(), node.worker()]
    const second = limitOf({ name: 'second', limit: 8, window: minute })
    const whole = limitOf({ name: 'whole', limit: 40, window: minute })
    await warm(holder, [second], 6)
    await warm(worker, [whole], 6)
    const waiting = askOften(worker, [second, whole], 1)
    await turn()
    worker.deliverUp()
    // Others take all that is left while it waits.
    for (let left = 1; left > 0; ) {
      const asked = other.ask([whole], ['k0'])
      await turn()
      other.deliverUp()
      other.deliverDown()
      const { admission } = await asked
      expect(admission.admitted).toBe(true)
      left = admission.remaining[0] as number
    }
    await node.settle()
    expect(waiting).toHaveLength(1)
  })

  test('requests that come while a loan is on its way have it', async () => {
    const worker = node.worker()
    const limits = [limitOf({ limit: 60, window: minute })]
    await warm(worker, limits, 5)
    const before = askOften(worker, limits, 1)
    await turn()
    worker.deliverUp()
    const behind = askOften(worker, limits, 5)
    await node.settle()
    expect([before.length, behind.length]).toEqual([1, 5])
  })

  test('fixed_window: what lies with another worker is there until the last millisecond', async () => {
    const [one, other] = [node.worker(), node.worker()]
    const limits = [limitOf({ limit: 20 })]
    elapse(990)
    await warm(one, limits, 7)
    const { lent } = node.ledger.status() as { lent: number }
    expect(lent).toBeGreaterThan(0)
    elapse(2)
    const admitted = askOften(other, limits, 30)
    await node.settle()
    expect(admitted).toHaveLength(13)
  })

  test('a flood of keys makes a worker forget none that it has asked about', { timeout: 20_000 }, async () => {
    const worker = node.worker()
    const slots = [limitOf({ algorithm: 'concurrency', limit: 1, window: minute })]
    const first = askOften(worker, slots, 1)
    await turn()
    for (let i = 0; i < 100_000; i++) void worker.ask(slots, [`flood-${i}`])
    await node.settle()
    worker.store.release(first[0] as Admission)
    const admitted = askOften(worker, slots, 1)
    await node.settle()
    expect(admitted).toHaveLength(1)
  })

  test('concurrency: a shortage that is over is forgotten', async () => {
    const [one, other] = [node.worker(), node.worker()]
    const limits = [limitOf({ algorithm: 'concurrency', limit: 100, window: minute })]
    const flying = await warm(one, limits, 20)
    const others = askOften(other, limits, 100)
    await node.settle()
    expect(others).toHaveLength(80)
    for (const admission of others) other.store.release(admission)
    for (let i = 0; i < 5; i++) await pass(100)
    const { sent } = node
    for (let i = 0; i < 200; i++) {
      one.store.release(flying.shift() as Admission)
      const admitted = askOften(one, limits, 1)
      await pass(1)
      flying.push(admitted[0] as Admission)
    }
    expect(node.sent - sent).toBeLessThan(20)
  })
})

describe('a limit that changes', () => {
  const [few, many] = [limitOf({ limit: 1, window: minute }), limitOf({ limit: 50, window: minute })]

  test('a refusal by the terms before closes nothing', async () => {
    const worker = node.worker()
    askOften(worker, [few], 2)
    await turn()
    worker.deliverUp()
    const admitted = askOften(worker, [many], 1)
    await node.settle()
    const more = askOften(worker, [many], 1)
    await node.settle()
    expect([admitted.length, more.length]).toEqual([1, 1])
  })

  test('a worker that had no request meanwhile is not held to terms that were taken back', async () => {
    const [one, other] = [node.worker(), node.worker()]
    askOften(one, [many], 1)
    askOften(other, [many], 1)
    await node.settle()
    askOften(one, [few], 1)
    await node.settle()
    const admitted = askOften(other, [{ ...many }], 1)
    await node.settle()
    expect(admitted).toHaveLength(1)
  })

  test('a worker that only gives back does not bring back the terms before', async () => {
    const [one, other] = [node.worker(), node.worker()]
    const slots = limitOf({ algorithm: 'concurrency', limit: 4, window: minute })
    askOften(one, [slots], 2)
    const [admission] = await warm(other, [slots], 1)
    other.store.release(admission as Admission)
    const admitted = askOften(one, [{ ...slots, limit: 2 }], 1)
    await node.settle()
    expect(admitted).toHaveLength(0)
  })

  test('concurrency: slots that become free are not used again when there are fewer', async () => {
    const worker = node.worker()
    const slots = limitOf({ algorithm: 'concurrency', limit: 3, window: minute })
    const flying = await warm(worker, [slots], 3)
    const fewer = [{ ...slots, limit: 1 }]
    for (const expected of [0, 0, 0, 1]) {
      const admitted = askOften(worker, fewer, 1)
      await node.settle()
      expect(admitted).toHaveLength(expected)
      const admission = flying.shift()
      if (admission !== undefined) worker.store.release(admission)
    }
  })
})
