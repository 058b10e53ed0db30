import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { recordInstruments } from '../../../test/support/instruments.ts'
import { LimitNode, type LimitWorker, limitOf } from '../../../test/support/limit-node.ts'
import { closeStores, connected, openClient } from '../../../test/support/limit-store.ts'
import { type RedisServer, startRedis, stopRedis } from '../../../test/support/redis.ts'
import { noInstruments } from '../../core/services/instruments.ts'
import type { Limit, LimitAlgorithm, LimitStoreSettings } from '../../core/services/limits.ts'
import type { RedisClient } from '../../services/redis.ts'

let server: RedisServer
const nodes: LimitNode[] = []

beforeAll(async () => {
  server = await startRedis()
})
beforeEach(() => server.command('FLUSHALL'))
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()))
  closeStores()
})
afterAll(stopRedis)

interface Member {
  readonly node: LimitNode
  readonly client: RedisClient
  readonly workers: readonly LimitWorker[]
}

/** A node with two workers. */
async function join(settings: Partial<LimitStoreSettings> = {}, instruments = noInstruments): Promise<Member> {
  const node = new LimitNode({ settings: { store: 'leased', timeout: 1000, ...settings }, instruments })
  const client = openClient([`:${server.port}`])
  await connected(client)
  node.ledger.configure(client)
  nodes.push(node)
  return { node, client, workers: [node.worker(), node.worker()] }
}

/** Its connection is cut, and it says nothing any more. */
function kill({ node, client }: Member): void {
  client.close()
  nodes.splice(nodes.indexOf(node), 1)
}

interface Tally {
  admitted: number
  refused: number
}

/** Each worker asks for `count` at a time, all at once, until `isEnough`. */
async function flood(
  workers: readonly LimitWorker[],
  limits: readonly Limit[],
  isEnough: (tally: Tally) => boolean,
  count = 5,
): Promise<Tally> {
  const tally = { admitted: 0, refused: 0 }
  const one = async (worker: LimitWorker): Promise<void> => {
    while (!isEnough(tally)) {
      const round = Array.from({ length: count }, () => worker.ask(limits, ['k']))
      for (const { admission } of await Promise.all(round)) {
        expect(admission.decidedBy).toBe('store')
        if (admission.admitted) tally.admitted++
        else tally.refused++
      }
      await sleep(1)
    }
  }
  await Promise.all(workers.map(one))
  return tally
}

/** Everything that there is, also what others have to give back first. */
async function drain(workers: readonly LimitWorker[], limits: readonly Limit[]): Promise<number> {
  let last = 0
  let changedAt = performance.now()
  const { admitted } = await flood(workers, limits, (tally) => {
    if (tally.admitted !== last) changedAt = performance.now()
    last = tally.admitted
    return performance.now() - changedAt > 500
  })
  return admitted
}

async function callsOf(command: string): Promise<number> {
  const stats = String(await server.command('INFO', 'commandstats'))
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

const most = 2000
const day = 86_400_000
const rules: Readonly<Record<Exclude<LimitAlgorithm, 'concurrency'>, Limit>> = {
  fixed_window: limitOf({ limit: most, window: day }),
  sliding_window: limitOf({ limit: most, window: day, algorithm: 'sliding_window' }),
  sliding_log: limitOf({ limit: most, window: day, algorithm: 'sliding_log' }),
  token_bucket: limitOf({ limit: 1, burst: most, window: day, algorithm: 'token_bucket' }),
  leaky_bucket: limitOf({ limit: 1, burst: most - 1, window: day, algorithm: 'leaky_bucket' }),
}

const { token_bucket: bucket } = rules

describe.each([false, true])('two nodes with two workers each, strict: %s', (strict) => {
  test('not one too many, not one too few, by each algorithm', async () => {
    const [one, other] = await Promise.all([join({ strict }), join({ strict })])
    const workers = [...one.workers, ...other.workers]
    const counts = Object.entries(rules).map(async ([name, rule]) => [name, await drain(workers, [{ ...rule, name }])])
    expect(Object.fromEntries(await Promise.all(counts))).toEqual({
      fixed_window: most,
      sliding_window: most,
      sliding_log: most,
      token_bucket: most,
      leaky_bucket: most,
    })
  })

  test('slots come free when requests are over, and not before', async () => {
    const [one, other] = await Promise.all([join({ strict }), join({ strict })])
    const limits = [limitOf({ algorithm: 'concurrency', limit: 40, window: 60_000 })]
    const inFlight: (() => void)[] = []
    const fill = async (): Promise<void> => {
      for (let round = 0; round < 40; round++) {
        const asked = [...one.workers, ...other.workers].map(async (worker) => {
          const { admission } = await worker.ask(limits, ['k'])
          if (admission.admitted) inFlight.push(() => worker.store.release(admission))
        })
        await Promise.all(asked)
        expect(inFlight.length).toBeLessThanOrEqual(40)
        if (round > 20 && inFlight.length < 40) await sleep(20)
      }
    }
    await fill()
    expect(inFlight.length).toBe(40)
    for (const release of inFlight.splice(0, 25)) release()
    await fill()
    expect(inFlight.length).toBe(40)
    for (const release of inFlight) release()
  })

  test('a request that is refused uses up nothing', async () => {
    const [one, other] = await Promise.all([join({ strict }), join({ strict })])
    const tight = limitOf({ name: 'tight', limit: 50, window: day })
    const wide = limitOf({ name: 'wide', limit: 1000, window: day, algorithm: 'sliding_window' })
    const workers = [...one.workers, ...other.workers]
    expect(await drain(workers, [wide, tight])).toBe(50)
    expect(await drain(workers, [wide])).toBe(950)
  })

  test('who waits as long as he is told is admitted', async () => {
    const { workers } = await join({ strict })
    const asked = Object.entries(rules).map(async ([name, rule]) => {
      const limits = [{ ...rule, name, limit: 10, burst: 9, window: 1000 }]
      const [worker] = workers as [LimitWorker]
      for (;;) {
        const { admission } = await worker.ask(limits, ['k'])
        if (admission.admitted) continue
        expect(admission.retryAfter).toBeLessThanOrEqual(2000)
        await sleep(admission.retryAfter + 2)
        return [name, (await worker.ask(limits, ['k'])).admission.admitted]
      }
    })
    for (const [name, isAdmitted] of await Promise.all(asked)) expect([name, isAdmitted]).toEqual([name, true])
  })
})

test('most requests touch no network, and keys with little traffic seldom do', async () => {
  const { workers } = await join()
  const [worker] = workers as [LimitWorker]
  const limits = [limitOf({ algorithm: 'sliding_window', limit: 10_000, window: day })]
  const before = await callsOf('evalsha')
  let asked = 0
  for (let round = 0; round < 150; round++) {
    for (let key = 0; key < 20; key++) {
      const { admission } = await worker.ask(limits, [`k${key}`])
      expect(admission.admitted).toBe(true)
      asked++
    }
    await sleep(5)
  }
  expect(asked).toBe(3000)
  expect((await callsOf('evalsha')) - before).toBeLessThan(300)
})

test('what lies idle goes back; what is held is told', async () => {
  const instruments = recordInstruments()
  const [one, other] = await Promise.all([join({}, instruments), join()])
  const limits = [bucket]
  await flood(one.workers, limits, ({ admitted }) => admitted >= 500)
  const series = 'sluice_limit_leases_outstanding{limit="a",store="leased"}'
  expect(instruments.read(series)).toBeGreaterThan(0)
  await expect.poll(() => instruments.read(series), { timeout: 8000 }).toBe(0)
  const used = 500 + (await drain(other.workers, limits)) - most
  // The flood went on a little when it had enough.
  expect(used).toBeGreaterThanOrEqual(-20)
  expect(used).toBeLessThanOrEqual(0)
})

test('what a node has used is counted, though it uses no more', async () => {
  const [one, other] = await Promise.all([join(), join()])
  const limits = [limitOf({ limit: 10, window: day, algorithm: 'sliding_log' })]
  for (let i = 0; i < 5; i++) await one.workers[0]?.ask(limits, ['k'])
  // Longer than the loan lasts.
  await sleep(2400)
  expect(await drain(other.workers, limits)).toBe(5)
})

test('a node that ends gives back what it holds', async () => {
  const [one, other] = await Promise.all([join(), join()])
  const { admitted } = await flood(one.workers, [bucket], (tally) => tally.admitted >= 500)
  await one.node.close()
  expect(admitted + (await drain(other.workers, [bucket]))).toBe(most)
})

describe('a node that loses Redis, and dies when it has used what it held', () => {
  /** What it had admitted, what it held, and what another can still have. */
  async function trial(strict: boolean): Promise<{ admitted: number; held: number; rest: number }> {
    const instruments = recordInstruments()
    const [one, other] = await Promise.all([join({ strict }, instruments), join({ strict })])
    const limits = [{ ...bucket, name: `strict ${strict}` }]
    let { admitted } = await flood(one.workers, limits, (tally) => tally.admitted >= 500, 20)
    const held = instruments.read(`sluice_limit_leases_outstanding{limit="strict ${strict}",store="leased"}`)
    expect(held).toBeGreaterThan(0)
    kill(one)
    for (const worker of one.workers) {
      while ((await worker.ask(limits, ['k'])).admission.admitted) admitted++
    }
    let rest = await drain(other.workers, limits)
    expect(admitted + rest).toBeLessThanOrEqual(most)
    // Its loan ends.
    await sleep(2200)
    rest += await drain(other.workers, limits)
    return { admitted, held, rest }
  }

  test('strict: not one is admitted too many, what it held is gone', async () => {
    const { admitted, held, rest } = await trial(true)
    expect(admitted + rest).toBeLessThanOrEqual(most)
    expect(admitted + rest).toBeGreaterThanOrEqual(most - held)
  })

  test('not strict: at most what it held is admitted twice, nothing is gone', async () => {
    const { admitted, held, rest } = await trial(false)
    expect(admitted + rest).toBeGreaterThanOrEqual(most)
    expect(admitted + rest).toBeLessThanOrEqual(most + held)
  })
})

describe('without Redis', () => {
  test.each([
    ['deny', false],
    ['allow', true],
    ['node', true],
  ] as const)('on_store_error: %s', async (onError, isAdmitted) => {
    const { workers } = await join({ onError, timeout: 50 })
    const [worker] = workers as [LimitWorker]
    const limits = [limitOf({ limit: 100, window: day })]
    expect((await worker.ask(limits, ['k'])).admission.decidedBy).toBe('store')
    server.freeze()
    try {
      const asked = Array.from({ length: 20 }, (_, i) => worker.ask(limits, [`k${i}`]))
      for (const { admission } of await Promise.all(asked)) {
        expect([admission.decidedBy, admission.admitted]).toEqual([onError, isAdmitted])
      }
    } finally {
      server.thaw()
    }
    const again = async (): Promise<string> => (await worker.ask(limits, ['again'])).admission.decidedBy
    await expect.poll(again, { timeout: 8000 }).toBe('store')
  })

  test('restarted with an empty memory: what nodes hold is not lent again', async () => {
    const instruments = recordInstruments()
    const [one, other] = await Promise.all([join({}, instruments), join()])
    await flood(one.workers, [bucket], ({ admitted }) => admitted >= 500)
    const held = instruments.read('sluice_limit_leases_outstanding{limit="a",store="leased"}')
    await server.restart()
    const workers = [...one.workers, ...other.workers]
    const again = async (): Promise<string> => (await other.workers[0]?.ask([bucket], ['x']))?.admission.decidedBy ?? ''
    await expect.poll(again, { timeout: 8000 }).toBe('store')
    let admitted = 0
    for (let quiet = 0; quiet < 50; ) {
      const asked = await Promise.all(workers.map((worker) => worker.ask([bucket], ['k'])))
      const more = asked.filter(({ admission }) => admission.admitted).length
      admitted += more
      quiet = more === 0 ? quiet + 1 : 0
      if (more === 0) await sleep(20)
    }
    expect(admitted).toBeLessThanOrEqual(most + held)
    expect(admitted).toBeGreaterThanOrEqual(most)
  })
})
