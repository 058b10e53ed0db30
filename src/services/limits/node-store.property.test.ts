import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LimitModel } from '../../../test/support/limit-model.ts'
import { type Decided, LimitNode, type LimitWorker, limitOf, TestClock } from '../../../test/support/limit-node.ts'
import type { Limit, LimitAlgorithm } from '../../core/services/limits.ts'

/** What may happen, in any order. Numbers choose a worker, a limit, a key. */
type Event =
  | { readonly do: 'ask'; readonly worker: number; readonly rule: number; readonly key: number; readonly count: number }
  /** Requests that come steadily, so that something is lent. */
  | {
      readonly do: 'warm'
      readonly worker: number
      readonly rule: number
      readonly key: number
      readonly count: number
    }
  | { readonly do: 'release'; readonly nth: number }
  | { readonly do: 'turn' | 'settle' }
  | { readonly do: 'up' | 'down'; readonly worker: number; readonly count: number }
  | { readonly do: 'pass' | 'set'; readonly time: number }
  | { readonly do: 'kill' | 'hang' | 'thaw'; readonly worker: number }

const worker = fc.nat(2)
const ask = fc.record({
  do: fc.constant('ask' as const),
  worker,
  rule: fc.nat(3),
  key: fc.nat(1),
  count: fc.integer({ min: 1, max: 12 }),
})
const warm = fc.record({
  do: fc.constant('warm' as const),
  worker,
  rule: fc.nat(3),
  key: fc.nat(1),
  count: fc.integer({ min: 1, max: 3 }),
})
const peaceful = [
  { weight: 12, arbitrary: ask },
  { weight: 6, arbitrary: warm },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), nth: fc.nat(20) }) },
  { weight: 4, arbitrary: fc.constant({ do: 'turn' as const }) },
  { weight: 3, arbitrary: fc.constant({ do: 'settle' as const }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('up' as const, 'down' as const),
      worker,
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), time: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), time: fc.integer({ min: 60, max: 1500 }) }) },
] as const
const violent = [
  ...peaceful,
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('kill' as const, 'hang' as const, 'thaw' as const), worker }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('set' as const), time: fc.integer({ min: 1, max: 2000 }) }) },
] as const

interface Admitted extends Decided {
  readonly limits: readonly Limit[]
  readonly keys: readonly string[]
  readonly worker: LimitWorker
}

/** A node under test, and what it has admitted. */
class Trial {
  readonly clock = new TestClock()
  readonly node = new LimitNode({ clock: this.clock, byHand: true })
  readonly workers = [this.node.worker(), this.node.worker(), this.node.worker()]
  readonly admitted: Admitted[] = []
  readonly inFlight: Admitted[] = []
  mostInFlight = 0
  /** Who was refused though there was room: only where no message is ever late. */
  readonly wronged: string[] = []
  #refused: (readonly [limits: readonly Limit[], key: string])[] = []
  #isSwift = false
  #hasReleased = false
  readonly #rules: readonly (readonly Limit[])[]
  #pending = 0

  constructor(rules: readonly (readonly Limit[])[]) {
    this.#rules = rules
  }

  /** `swift`: no message is ever late. */
  async run(events: readonly Event[], swift = false): Promise<void> {
    this.#isSwift = swift
    for (const event of events) {
      if (swift && event.do === 'pass') await this.passSlowly(event.time)
      else await this.#apply(event)
    }
    await this.node.settle()
    // All that can still be admitted.
    for (const worker of this.workers) {
      worker.isHung = false
      if (!swift) for (let i = 0; i < 200; i++) void this.ask(worker, i % 4, (i >> 2) % 2)
    }
    while (this.#pending > 0) {
      await this.node.settle()
      this.pass(300)
    }
  }

  pass(time: number): void {
    if (this.#isSwift) this.judge()
    this.clock.pass(time)
    vi.advanceTimersByTime(time)
  }

  /** Nothing has become free since they were refused at this time: so there must not be room now either. */
  judge(): void {
    for (const [limits, key] of this.#refused) {
      const isFull = limits.some(
        (limit) => countOf(this, limit, key) >= limit.limit || (this.#hasReleased && limit.algorithm === 'concurrency'),
      )
      if (!isFull) this.wronged.push(`${limits.map(({ name }) => name).join(' ')} ${key} at ${this.clock.steady()}`)
    }
    this.#refused = []
    this.#hasReleased = false
  }

  async passSlowly(time: number): Promise<void> {
    for (let left = time; left > 0; left -= 50) {
      await this.node.settle()
      this.pass(Math.min(50, left))
    }
    await this.node.settle()
  }

  async ask(worker: LimitWorker, rule: number, key: number): Promise<void> {
    const limits = this.#rules[rule % this.#rules.length] as readonly Limit[]
    const keys = limits.map(() => `k${key}`)
    this.#pending++
    const decided = await worker.ask(limits, keys)
    this.#pending--
    if (this.#isSwift && !decided.admission.admitted) this.#refused.push([limits, `k${key}`])
    // What a dead worker thinks of it does not matter.
    if (!decided.admission.admitted || !worker.isAlive) return
    const admitted = { ...decided, limits, keys, worker }
    this.admitted.push(admitted)
    this.inFlight.push(admitted)
    for (const [i, { algorithm, observe }] of limits.entries()) {
      if (algorithm !== 'concurrency' || observe) continue
      const same = this.inFlight.filter(
        (other) => other.limits.includes(limits[i] as Limit) && other.keys[0] === keys[0],
      )
      this.mostInFlight = Math.max(this.mostInFlight, same.length)
    }
  }

  async #apply(event: Event): Promise<void> {
    const worker = 'worker' in event ? (this.workers[event.worker] as LimitWorker) : null
    switch (event.do) {
      case 'ask':
        for (let i = 0; i < event.count && worker?.isHung === false; i++) void this.ask(worker, event.rule, event.key)
        return
      case 'warm':
        for (let i = 0; i < 7 && worker?.isHung === false; i++) {
          for (let j = 0; j < event.count; j++) void this.ask(worker, event.rule, event.key)
          await this.node.settle()
          this.pass(1)
        }
        return
      case 'release': {
        this.#hasReleased = true
        const [over] = this.inFlight.splice(event.nth % Math.max(1, this.inFlight.length), 1)
        if (over?.worker.isAlive === true) over.worker.store.release(over.admission)
        return
      }
      case 'turn':
        return new Promise((resolve) => setImmediate(resolve))
      case 'settle':
        return this.node.settle()
      case 'up':
        worker?.deliverUp(event.count)
        return
      case 'down':
        worker?.deliverDown(event.count)
        return
      case 'pass':
        return this.pass(event.time)
      case 'set':
        return this.clock.set(event.time)
      case 'hang':
      case 'thaw':
        if (worker !== null) worker.isHung = event.do === 'hang'
        return
      case 'kill':
        if (worker === null) return
        this.node.kill(worker)
        for (let i = this.inFlight.length - 1; i >= 0; i--)
          if (this.inFlight[i]?.worker === worker) this.inFlight.splice(i, 1)
        this.workers[event.worker] = this.node.worker()
    }
  }

  /** Tells the textbook of nothing but what was admitted: it must admit all of that, by each limit. */
  faults(): string[] {
    const model = new LimitModel()
    const faults: string[] = []
    const inOrder = [...this.admitted].sort((one, other) => one.steady - other.steady)
    for (const { admission, wall, steady, limits, keys } of inOrder) {
      for (const [i, limit] of limits.entries()) {
        if (limit.algorithm === 'concurrency' || (admission.wouldRefuse & (1 << i)) !== 0) continue
        const isWindow = limit.algorithm === 'fixed_window' || limit.algorithm === 'sliding_window'
        const enforced = { ...limit, observe: false }
        const answer = model.admit(isWindow ? wall : Math.floor(steady), [enforced], [keys[i] as string])
        if (!answer.admitted) faults.push(`${limit.name} ${keys[i]} at ${steady}`)
      }
    }
    return faults
  }
}

const rulesOf: Readonly<Record<LimitAlgorithm, readonly (readonly Limit[])[]>> = {
  fixed_window: [[limitOf({ limit: 80 })]],
  sliding_window: [[limitOf({ algorithm: 'sliding_window', limit: 80 })]],
  sliding_log: [[limitOf({ algorithm: 'sliding_log', limit: 80 })]],
  token_bucket: [[limitOf({ algorithm: 'token_bucket', limit: 100, burst: 60 })]],
  leaky_bucket: [[limitOf({ algorithm: 'leaky_bucket', limit: 100, burst: 59 })]],
  concurrency: [[limitOf({ algorithm: 'concurrency', limit: 12, window: 60_000 })]],
}

const mixed: readonly (readonly Limit[])[] = [
  [
    limitOf({ name: 'second', limit: 50, window: 500 }),
    limitOf({ name: 'log', algorithm: 'sliding_log', limit: 90, window: 1500 }),
    limitOf({ name: 'bucket', algorithm: 'token_bucket', limit: 50, window: 1000, burst: 70 }),
  ],
  [
    limitOf({ name: 'second', limit: 50, window: 500 }),
    limitOf({ name: 'slots', algorithm: 'concurrency', limit: 12, window: 60_000 }),
  ],
  [
    limitOf({ name: 'seen', algorithm: 'sliding_window', limit: 20, observe: true }),
    limitOf({ name: 'log', algorithm: 'sliding_log', limit: 90, window: 1500 }),
  ],
  [limitOf({ name: 'paced', algorithm: 'leaky_bucket', limit: 40, burst: 8, nodelay: false })],
]

/** One after the other is the first to be used up. */
const short: readonly (readonly Limit[])[] = [
  [
    limitOf({ name: 'second', limit: 30, window: 500 }),
    limitOf({ name: 'log', algorithm: 'sliding_log', limit: 50, window: 1500 }),
    limitOf({ name: 'slots', algorithm: 'concurrency', limit: 12, window: 60_000 }),
  ],
  [
    limitOf({ name: 'second', limit: 30, window: 500 }),
    limitOf({ name: 'window', algorithm: 'sliding_window', limit: 40, window: 1000 }),
  ],
  [limitOf({ name: 'slots', algorithm: 'concurrency', limit: 12, window: 60_000 })],
]

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})
afterEach(() => {
  vi.useRealTimers()
})

describe('never one too many, whatever comes in between', () => {
  for (const [name, rules] of [...Object.entries(rulesOf), ['several limits', mixed] as const]) {
    test(name, { timeout: 60_000 }, async () => {
      const events = fc.array(fc.oneof(...violent), { minLength: 20, maxLength: 150 })
      await fc.assert(
        fc.asyncProperty(events, async (events) => {
          const trial = new Trial(rules)
          await trial.run(events)
          await trial.node.close()
          vi.clearAllTimers()
          expect(trial.faults()).toEqual([])
          expect(trial.mostInFlight).toBeLessThanOrEqual(12)
        }),
        { numRuns: 150, endOnFailure: true },
      )
    })
  }
})

describe('never one too few, when nobody dies and messages are swift', () => {
  const { fixed_window, sliding_window, sliding_log, concurrency } = rulesOf
  const exact = { fixed_window, sliding_window, sliding_log, concurrency, 'several limits': short }
  for (const [name, rules] of Object.entries(exact)) {
    test(name, { timeout: 60_000 }, async () => {
      const events = fc.array(fc.oneof(...peaceful), { minLength: 20, maxLength: 100 })
      await fc.assert(
        fc.asyncProperty(events, worker, fc.nat(1), async (events, probe, key) => {
          const trial = new Trial(rules)
          await trial.run(events, true)
          const [limits] = rules as readonly [readonly Limit[]]
          const room = Math.min(...limits.map((limit) => limit.limit - countOf(trial, limit, `k${key}`)))
          const before = trial.admitted.length
          for (let i = 0; i < 100; i++) void trial.ask(trial.workers[probe] as LimitWorker, 0, key)
          await trial.node.settle()
          expect(trial.admitted.length - before).toBe(room)
          trial.judge()
          expect(trial.wronged).toEqual([])
          await trial.node.close()
          vi.clearAllTimers()
        }),
        { numRuns: 150, endOnFailure: true },
      )
    })
  }
})

/** Units that count now, rounded up. */
function countOf(trial: Trial, limit: Limit, key: string): number {
  const now = trial.clock.wall()
  const steady = trial.clock.steady()
  const counts = ({ limits, keys }: Admitted): boolean =>
    keys[0] === key && limits.some(({ name }) => name === limit.name)
  const mine = trial.admitted.filter(counts)
  const start = now - (now % limit.window)
  if (limit.algorithm === 'concurrency') return trial.inFlight.filter(counts).length
  if (limit.algorithm === 'sliding_log') return mine.filter((one) => one.steady + limit.window > steady).length
  const current = mine.filter(({ wall }) => wall >= start).length
  if (limit.algorithm === 'fixed_window') return current
  const before = mine.filter(({ wall }) => wall >= start - limit.window && wall < start).length
  return current + Math.ceil((before * (start + limit.window - now)) / limit.window)
}
