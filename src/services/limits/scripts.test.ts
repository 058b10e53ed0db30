import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LimitModel } from '../../../test/support/limit-model.ts'
import { closeStores, connected, limitOf, openClient } from '../../../test/support/limit-store.ts'
import { type RedisServer, startRedis, stopRedis } from '../../../test/support/redis.ts'
import type { Limit, LimitAlgorithm } from '../../core/services/limits.ts'
import type { RedisScript } from '../redis.ts'
import { type Asker, Batch, type Decision, type Operation, type Slot } from './batch.ts'
import { Rule } from './batch-rule.ts'
import { slotsOf } from './redis-store-check.ts'
import { limitScript, skills } from './scripts.ts'

let server: RedisServer
/** The script that can do this, with a time that the test has put into Redis. */
let scriptOf: (bits: number) => RedisScript

beforeAll(async () => {
  server = await startRedis()
  const client = openClient([`:${server.port}`])
  await connected(client)
  scriptOf = (bits) => {
    const source = limitScript(bits)
    expect(source).toContain("redis.call('TIME')")
    return client.script(source.replace("redis.call('TIME')", "redis.call('LRANGE', 'clock', 0, 1)"), 10_000, 'bytes')
  }
})

beforeEach(() => server.command('FLUSHALL'))

afterAll(async () => {
  closeStores()
  await stopRedis()
})

const algorithms: readonly LimitAlgorithm[] = [
  'fixed_window',
  'sliding_window',
  'sliding_log',
  'token_bucket',
  'leaky_bucket',
  'concurrency',
]

const start = 1_700_000_000_000

interface Check {
  readonly keys: readonly string[]
  readonly costs: readonly number[]
}

async function setClock(now: number): Promise<void> {
  await server.command('DEL', 'clock')
  await server.command('RPUSH', 'clock', Math.floor(now / 1000), (now % 1000) * 1000)
}

let batches = 0

/** Has checks decided in one run. `hear` is told of them in the order in which the script has met them. */
async function decide(
  now: number,
  rule: Rule,
  checks: readonly Check[],
  hear: (check: Check, decision: Decision) => void,
  operations: readonly Operation[] = [],
): Promise<void> {
  await setClock(now)
  const batch = new Batch(`batch${batches++}.`)
  batch.operations.push(...operations)
  for (const check of checks) {
    const asker: Asker = {
      decided: (decision) => hear(check, decision),
      failed: () => expect.unreachable(),
      late: () => expect.unreachable(),
      lost: () => expect.unreachable(),
    }
    batch.add(rule, countersOf(rule, check.keys), check.costs, true, asker)
  }
  const { bits, keys, args } = batch.command(now)
  const reply = await scriptOf(bits).run(keys, args)
  expect(batch.deliver(reply as never), JSON.stringify(reply)).toBe(now)
}

/** Has one request decided, of which every limit has the same key. */
async function ask(now: number, limits: readonly Limit[], operations: readonly Operation[] = [], cost = 1) {
  let decided: Decision | null = null
  const check = { keys: limits.map(() => 'key'), costs: limits.map(() => cost) }
  await decide(now, new Rule(limits, String), [check], (_, decision) => (decided = decision), operations)
  return decided as unknown as Decision
}

function countersOf(rule: Rule, keys: readonly string[]): string[] {
  return keys.map((key, i) => rule.counter(i, key))
}

function terms(...names: LimitAlgorithm[]) {
  return fc.record({
    algorithm: fc.constantFrom(...names),
    limit: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.integer({ min: 1, max: 2e7 })),
    window: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1000, max: 100_000 })),
    burst: fc.integer({ min: 0, max: 4 }),
    nodelay: fc.boolean(),
    observe: fc.boolean(),
  })
}

/** What happens at one moment. */
const steps = fc.array(
  fc.record({
    /** Since the moment before, in thousandths of a window. */
    passed: fc.oneof(fc.constant(0), fc.nat({ max: 300 }), fc.nat({ max: 3000 })),
    checks: fc.array(
      fc.record({ key: fc.constantFrom('a', 'b'), costs: fc.tuple(...[1, 2, 3].map(() => fc.nat({ max: 3 }))) }),
      { minLength: 1, maxLength: 5 },
    ),
    ended: fc.nat({ max: 3 }),
    newLimit: fc.option(fc.integer({ min: 1, max: 6 }), { freq: 8 }),
  }),
  { minLength: 1, maxLength: 15 },
)

type Steps = typeof steps extends fc.Arbitrary<infer S> ? S : never

/** Has everything decided by Redis and by the model. */
async function compare(given: readonly Omit<Limit, 'name' | 'calendar'>[], moments: Steps): Promise<void> {
  await server.command('FLUSHALL')
  const model = new LimitModel()
  let limits = given.map((one, i) => limitOf({ ...one, name: `limit${i}` }))
  const longest = Math.max(...limits.map(({ window }) => window))
  let now = start
  const inFlight: { slot: Slot; limit: Limit; key: string }[] = []
  for (const { passed, checks, ended, newLimit } of moments) {
    now += Math.floor((passed * longest) / 1000)
    if (newLimit !== null) limits = limits.map((limit) => ({ ...limit, limit: newLimit }))
    const rule = new Rule(limits, String)
    const gone = inFlight.splice(0, ended)
    for (const { slot, limit, key } of gone) model.release([limit], [key], [slot.cost])
    const operations: Operation[] = [
      ...gone.map(({ slot }) => ({ type: 'release' as const, slot })),
      ...inFlight.map(({ slot }) => ({ type: 'hold' as const, slot })),
    ]
    const asked = checks.map(({ key, costs }) => ({
      keys: limits.map(() => key),
      costs: costs.slice(0, limits.length),
    }))
    const hear = ({ keys, costs }: Check, decision: Decision): void => {
      const { slot, now: at, receipts } = decision
      const { admitted, ...expected } = model.admit(now, limits, keys, costs)
      expect(decision).toEqual({ ...expected, slot, now: at, receipts })
      if (!admitted || slot === '') return
      const counters = countersOf(rule, keys)
      for (const taken of slotsOf(decision, rule, 0, counters, costs)) {
        const i = counters.indexOf(taken.key)
        inFlight.push({ slot: taken, limit: limits[i] as Limit, key: keys[i] as string })
      }
    }
    await decide(now, rule, asked, hear, operations)
  }
  for (const key of (await server.command('KEYS', 'limit:*')) as string[])
    expect(await server.command('PTTL', key), key).toBeGreaterThan(0)
}

describe('decides as the model does', () => {
  test.each(algorithms)('%s', async (algorithm) => {
    const property = fc.asyncProperty(terms(algorithm), steps, (one, moments) => compare([one], moments))
    await fc.assert(property, { numRuns: 120 })
  })

  test('several limits at once', async () => {
    const several = fc.array(terms(...algorithms), { minLength: 2, maxLength: 3 })
    await fc.assert(fc.asyncProperty(several, steps, compare), { numRuns: 120 })
  })
})

describe('gives back what another shard refused', () => {
  const others = algorithms.filter((algorithm) => algorithm !== 'concurrency')

  test.each(others)('%s', async (algorithm) => {
    const property = fc.asyncProperty(
      fc.record({
        burst: fc.nat({ max: 9 }),
        window: fc.integer({ min: 100, max: 5000 }),
        cost: fc.integer({ min: 1, max: 3 }),
      }),
      // Milliseconds between: the request before, the one that is given back, one more, the giving back.
      fc.array(fc.nat({ max: 50 }), { minLength: 3, maxLength: 3 }),
      async ({ burst, window, cost }, [first = 0, second = 0, third = 0]) => {
        await server.command('FLUSHALL')
        const limits = [limitOf({ algorithm, window, burst: burst + 10, limit: 20, nodelay: true })]
        const rule = new Rule(limits, String)
        const model = new LimitModel()
        let now = start
        await ask(now, limits)
        model.admit(now, limits, ['key'])
        now += first
        const { receipts, refusedBy } = await ask(now, limits, [], cost)
        expect(refusedBy).toBe(-1)
        const at = now
        now += second
        await ask(now, limits)
        model.admit(now, limits, ['key'])
        now += third
        const back = {
          type: 'back' as const,
          key: rule.counter(0, 'key'),
          limit: rule.textOf(0, cost, now),
          skills: skills[algorithm],
          receipt: receipts?.[0] as number,
          at,
        }
        const said = (await ask(now, limits, [back])).remaining[0] as number
        const expected = model.admit(now, limits, ['key']).remaining[0] as number
        // As if it had never been there; a bucket that may have run empty meanwhile keeps some of it, never the contrary.
        if (algorithm.endsWith('bucket')) expect(said).toBeLessThanOrEqual(expected)
        else expect(said).toBe(expected)
        if (second + third === 0) expect(said).toBe(expected)
      },
    )
    await fc.assert(property, { numRuns: 40 })
  })
})

test('keeps windows of a calendar where Redis has another idea of the time than the gateway', async () => {
  const day = 86_400_000
  const midnight = start - (start % day) + day
  const calendar = (at: number) => ({ start: at - (at % day), end: at - (at % day) + day })
  const limits = [limitOf({ limit: 2, window: day, calendar })]
  const rule = new Rule(limits, String)
  const seen: unknown[] = []
  // The gateway's clock is an hour behind, then an hour ahead.
  for (const [redis, gateway] of [
    [midnight - 1, midnight - 3_600_000],
    [midnight, midnight - 3_600_000],
    [midnight + 1, midnight + 3_600_000],
    [midnight - 1 + day, midnight + day + 3_600_000],
    [midnight + day, midnight + day + 3_600_000],
  ] as const) {
    await setClock(redis)
    const text = rule.text([1], gateway)
    const reply = await scriptOf(rule.skills).run([rule.counter(0, 'key')], ['x', 'check', text, 1, 0])
    const { buffer, byteOffset, byteLength } = Uint8Array.from(reply as Buffer)
    seen.push([...new Float64Array(buffer, byteOffset, byteLength / 8)].slice(1))
  }
  const refused = [1, 0, 1, 0, 0]
  expect(seen).toEqual([
    [0, 1, midnight],
    [0, 1, midnight + day],
    [0, 0, midnight + day],
    [...refused, 0, midnight + day],
    [0, 1, midnight + 2 * day],
  ])
})

test('stays exact with large numbers', async () => {
  const month = 31 * 86_400_000
  for (const algorithm of ['sliding_window', 'token_bucket', 'fixed_window'] as const) {
    await server.command('FLUSHALL')
    const limits = [limitOf({ algorithm, limit: 3_000_000, window: month })]
    const model = new LimitModel()
    let now = start - (start % month)
    for (const [passed, cost] of [
      [0, 2_999_999],
      [1, 1],
      [1, 1],
      [month - 3, 1],
      [1, 1],
      [894, 1],
      [1786, 2],
    ] as const) {
      now += passed
      const { refusedBy, remaining, retryAfter } = await ask(now, limits, [], cost)
      const expected = model.admit(now, limits, ['key'], [cost])
      expect({ refusedBy, remaining, retryAfter }).toEqual({
        refusedBy: expected.refusedBy,
        remaining: expected.remaining,
        retryAfter: expected.retryAfter,
      })
    }
  }
})

test.each(algorithms)('forgets nothing when the clock is put back: %s', async (algorithm) => {
  const limits = [limitOf({ algorithm, limit: 2, burst: 1, window: 10_000, nodelay: true })]
  await ask(start, limits)
  if (algorithm !== 'token_bucket') await ask(start, limits)
  for (const back of [1, 5000, 20_000]) expect((await ask(start - back, limits)).refusedBy, `${back} ms`).toBe(0)
})

test('frees slots of which nothing was heard for a window', async () => {
  const limits = [limitOf({ algorithm: 'concurrency', limit: 1, window: 5000 })]
  const { slot } = await ask(start, limits)
  expect((await ask(start + 4999, limits)).refusedBy).toBe(0)
  const held: Slot = {
    key: new Rule(limits, String).counter(0, 'key'),
    shard: 0,
    name: slot,
    cost: 1,
    window: 5000,
    saidAt: 0,
  }
  expect((await ask(start + 4999, limits, [{ type: 'hold', slot: held }])).refusedBy).toBe(0)
  expect((await ask(start + 9998, limits)).refusedBy).toBe(0)
  expect((await ask(start + 9999, limits)).refusedBy).toBe(-1)
})
