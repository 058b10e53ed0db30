import { describe, expect, test } from 'vitest'
import { recordInstruments } from '../../../test/support/instruments.ts'
import { access, compile, depsOf, lines, request, respond } from '../../../test/support/plugin.ts'
import type { Consumer, RequestContext } from '../../core/context.ts'
import type { Rejection } from '../../core/errors.ts'
import type { Deps, Steps } from '../../core/plugin.ts'
import {
  type Admission,
  type Limit,
  type LimitStore,
  type LimitStoreSettings,
  titleOf,
} from '../../core/services/limits.ts'
import { servicesAtRest } from '../../core/services/services.ts'
import { rateLimiting } from './plugin.ts'

/** Plain counters without time: what is used stays used, but for slots. */
class CountingStore implements LimitStore {
  readonly used = new Map<string, number>()
  readonly opened: LimitStoreSettings[] = []
  readonly asked: { names: string[]; keys: readonly string[]; costs: readonly number[] }[] = []
  /** What the next admissions say differently. */
  says: Partial<Admission> = {}
  /** Answers come when it is called. */
  answer: (() => void) | null = null
  waits = false

  admit(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission> {
    this.asked.push({ names: limits.map(titleOf), keys, costs })
    const admission = this.#decide(limits, keys, costs)
    if (!this.waits) return admission
    return new Promise((resolve) => {
      this.answer = () => resolve(admission)
    })
  }

  release({ limits, keys }: Admission): void {
    limits.forEach((limit, i) => {
      if (limit.algorithm === 'concurrency') this.#add(`${limit.name} ${keys[i]}`, -1)
    })
  }

  usedOf(name: string): number {
    return [...this.used].reduce((sum, [key, count]) => sum + (key.includes(`/${name} `) ? count : 0), 0)
  }

  #decide(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission {
    const counters = limits.map(({ name }, i) => `${name} ${keys[i]}`)
    const fits = limits.map(
      ({ limit }, i) => (this.used.get(counters[i] as string) ?? 0) + (costs[i] as number) <= limit,
    )
    const refusedBy = limits.findIndex(({ observe }, i) => !observe && fits[i] === false)
    let wouldRefuse = 0
    limits.forEach(({ observe }, i) => {
      if (observe && fits[i] === false) wouldRefuse |= 1 << i
      if (refusedBy === -1 && fits[i] === true) this.#add(counters[i] as string, costs[i] as number)
    })
    return {
      admitted: refusedBy === -1,
      refusedBy,
      remaining: limits.map(({ limit }, i) => limit - (this.used.get(counters[i] as string) ?? 0)),
      resetAt: limits.map((_, i) => 1_620_000_000_000 + i * 1000 - 1),
      retryAfter: refusedBy === -1 ? 0 : 41_001,
      delay: 0,
      wouldRefuse,
      decidedBy: 'store',
      limits,
      keys,
      previous: null,
      ...this.says,
    }
  }

  #add(counter: string, count: number): void {
    this.used.set(counter, (this.used.get(counter) ?? 0) + count)
  }
}

function bed(store = new CountingStore()) {
  const instruments = recordInstruments()
  const limits = {
    open: (settings: LimitStoreSettings) => {
      store.opened.push(settings)
      return store
    },
  }
  const deps: Partial<Deps> = { services: { ...servicesAtRest, limits, instruments } }
  return { store, instruments, deps, compile: (config: unknown) => compile(rateLimiting, config, {}, deps) }
}

const who = (fields: Partial<Consumer>): Consumer => ({
  id: 'ann',
  name: null,
  tier: null,
  tenant: null,
  groups: [],
  roles: [],
  scopes: [],
  credential: null,
  anonymous: false,
  ...fields,
})

/** The codes of so many requests one after the other; `''` for those that go on. */
function codes(steps: Steps, count: number, fields: () => Partial<RequestContext> = () => ({})): string[] {
  return Array.from({ length: count }, () => (access(steps, request(fields())) as Rejection | undefined)?.code ?? '')
}

const refused = 'rate_limit_exceeded'

describe('a refusal', () => {
  const once = (more: object = {}) => ({ limits: [{ by: 'ip', limit: 1, window: '1m', ...more }] })

  function refusal(config: object): Rejection {
    const steps = bed().compile(config)
    access(steps, request())
    return access(steps, request()) as Rejection
  }

  test('is what the catalogue says, with the seconds to wait', () => {
    expect(refusal(once())).toEqual({
      code: 'rate_limit_exceeded',
      status: 429,
      source: 'downstream',
      message: 'Too many requests. Please retry after 42 seconds.',
      headers: ['retry-after', '42'],
      close: false,
      detail: null,
      body: '{"error":"rate_limit_exceeded","message":"Too many requests. Please retry after 42 seconds.","request_id":"',
    })
  })

  test.each([
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1000.5, '2'],
    [86_399_001, '86400'],
    [Infinity, '31536000'],
  ])('after %d ms asks to wait %s seconds', (retryAfter, seconds) => {
    const { store, compile: make } = bed()
    const steps = make(once())
    store.says = { admitted: false, refusedBy: 0, retryAfter }
    const { headers, body } = access(steps, request()) as Rejection
    expect(headers).toEqual(['retry-after', seconds])
    expect(body).toContain(`retry after ${seconds} seconds`)
  })

  test('says what its limit says, or the rule', () => {
    const parsed = ({ body }: Rejection): unknown => JSON.parse(`${body}id"}`)
    const own = refusal({ ...once({ message: 'Wait "{retry_after}", {retry_after}!' }), message: 'x', status: 503 })
    expect(own.status).toBe(503)
    expect(parsed(own)).toEqual({ error: refused, message: 'Wait "42", 42!', request_id: 'id' })
    expect(own.message).toBe('Wait "42", 42!')
    expect(parsed(refusal({ ...once(), message: 'Slow down.' }))).toMatchObject({ message: 'Slow down.' })
  })

  test("has a body of its own, as Kong's", () => {
    const body = { message: 'API rate limit exceeded', retry_after: '{retry_after}', hint: 'in {retry_after} s', a: 1 }
    const rejection = refusal({ ...once(), body })
    expect(JSON.parse(`${rejection.body}id"}`)).toEqual({
      message: 'API rate limit exceeded',
      retry_after: 42,
      hint: 'in 42 s',
      a: 1,
      request_id: 'id',
    })
    expect(JSON.parse(`${refusal({ ...once(), body: {} }).body}id"}`)).toEqual({ request_id: 'id' })
  })

  test('of a store that could not say is another one', () => {
    const { store, compile: make } = bed()
    const steps = make({ ...once(), store: 'redis', on_store_error: 'deny' })
    store.says = { admitted: false, refusedBy: -1, decidedBy: 'deny', remaining: [], resetAt: [] }
    const ctx = request()
    expect(access(steps, ctx)).toMatchObject({ code: 'limits_unavailable', status: 503 })
    expect(respond(steps, ctx, 503, [])).toEqual([])
  })
})

describe('what clients are told', () => {
  const two = {
    limits: [
      { by: 'ip', limit: 10, window: '1s', name: 'Second' },
      { by: 'ip', limit: 12, window: '1h', name: 'hour', cost: 2 },
      { by: 'ip', limit: 1, window: '1h', name: 'quiet', mode: 'observe' },
      { by: 'ip', limit: 1000, algorithm: 'concurrency', name: 'slots' },
    ],
  }

  /** The fields of the answers to so many requests. */
  function told(config: object, count: number, upstream: string[] = []): string[][] {
    const steps = bed().compile(config)
    return Array.from({ length: count }, () => {
      const ctx = request()
      const verdict = access(steps, ctx) as Rejection | undefined
      return lines(respond(steps, ctx, verdict?.status ?? 200, verdict === undefined ? upstream : []))
    })
  }

  test('is the limit that is next to refuse, and which has refused', () => {
    const answers = told(two, 7)
    expect(answers[0]).toEqual(['x-ratelimit-limit: 10', 'x-ratelimit-remaining: 9', 'x-ratelimit-reset: 1620000000'])
    expect(answers[3]).toEqual(['x-ratelimit-limit: 12', 'x-ratelimit-remaining: 4', 'x-ratelimit-reset: 1620000001'])
    expect(answers[6]).toEqual(['x-ratelimit-limit: 12', 'x-ratelimit-remaining: 0', 'x-ratelimit-reset: 1620000001'])
  })

  test('is what may come at once, for buckets', () => {
    const bucket = (fields: object) => told({ limits: [{ by: 'ip', limit: 10, window: '1s', ...fields }] }, 1)[0]?.[0]
    expect(bucket({ algorithm: 'token_bucket', burst: 50 })).toBe('x-ratelimit-limit: 50')
    expect(bucket({ algorithm: 'leaky_bucket', burst: 4 })).toBe('x-ratelimit-limit: 5')
  })

  test('is every limit, when asked for', () => {
    expect(told({ ...two, headers: 'per-limit' }, 1)[0]).toEqual([
      'x-ratelimit-limit-second: 10',
      'x-ratelimit-remaining-second: 9',
      'x-ratelimit-limit-hour: 12',
      'x-ratelimit-remaining-hour: 10',
      'x-ratelimit-limit-slots: 1000',
      'x-ratelimit-remaining-slots: 999',
    ])
  })

  test('is what the drafts of the IETF say', () => {
    const [answer] = told({ ...two, headers: ['ietf', 'legacy'] }, 1)
    // The time of the store is long past.
    expect(answer).toEqual([
      'ratelimit-policy: "Second";q=10;w=1, "hour";q=12;w=3600, "slots";q=1000;qu="concurrent-requests"',
      'ratelimit: "Second";r=9;t=0',
      'ratelimit-limit: 10',
      'ratelimit-remaining: 9',
      'ratelimit-reset: 0',
    ])
    const { store, compile: make } = bed()
    const steps = make({ ...two, headers: 'ietf' })
    store.says = { resetAt: [Date.now() + 60_000, 0, 0, 0] }
    const ctx = request()
    access(steps, ctx)
    expect(respond(steps, ctx, 200, [])[3]).toMatch(/^"Second";r=9;t=(59|60)$/)
  })

  test('replaces what the upstream says of limits', () => {
    const upstream = ['x-ratelimit-limit', '5', 'a', 'b', 'x-ratelimit-remaining-day', '4', 'ratelimit', 'x']
    const [answer] = told(two, 1, [...upstream, 'ratelimits', 'stays', 'ratelimit-policy', 'x', 'retry-after', '7'])
    expect(answer).toEqual([
      'a: b',
      'ratelimits: stays',
      'retry-after: 7',
      'x-ratelimit-limit: 10',
      'x-ratelimit-remaining: 9',
      'x-ratelimit-reset: 1620000000',
    ])
  })

  test('is nothing, when that is wanted', () => {
    const steps = bed().compile({ ...two, headers: 'off' })
    expect(steps.response).toBeUndefined()
  })

  test('is nothing of limits that refuse nothing, or that nobody could check', () => {
    expect(told({ ...two, mode: 'observe' }, 1)[0]).toEqual([])
    const { store, compile: make } = bed()
    const steps = make({ ...two, store: 'redis' })
    store.says = { decidedBy: 'allow', remaining: [], resetAt: [] }
    const ctx = request()
    expect(access(steps, ctx)).toBeUndefined()
    expect(respond(steps, ctx, 200, ['x-ratelimit-limit', '5'])).toEqual([])
  })

  test('is slots only where there is nothing else, or none is free', () => {
    const slots = { by: 'ip', limit: 2, algorithm: 'concurrency', name: 'slots' }
    const rate = { by: 'ip', limit: 10, window: '1s', name: 'rate' }
    expect(told({ limits: [slots] }, 1)[0]?.slice(0, 2)).toEqual(['x-ratelimit-limit: 2', 'x-ratelimit-remaining: 1'])
    for (const limits of [
      [slots, rate],
      [rate, slots],
    ]) {
      const answers = told({ limits }, 3)
      expect(answers[0]?.slice(0, 2)).toEqual(['x-ratelimit-limit: 10', 'x-ratelimit-remaining: 9'])
      expect(answers[2]?.slice(0, 2)).toEqual(['x-ratelimit-limit: 2', 'x-ratelimit-remaining: 0'])
    }
  })
})

describe('several limits at once', () => {
  test("a tenant's flood uses up nothing of what others are owed", () => {
    const { store, compile: make } = bed()
    const steps = make({
      limits: [
        { by: 'global', limit: 10, window: '1m', name: 'all' },
        { by: 'tenant', limit: 6, window: '1m', name: 'tenant' },
        { by: 'credential', limit: 4, window: '1m', name: 'key' },
      ],
    })
    const from = (tenant: string, credential: string) => () => ({
      consumer: who({ id: tenant, tenant, credential }),
    })
    expect(codes(steps, 1000, from('loud', 'k1')).filter((code) => code === '')).toHaveLength(4)
    expect(codes(steps, 1000, from('loud', 'k2')).filter((code) => code === '')).toHaveLength(2)
    expect(store.usedOf('all')).toBe(6)
    expect(codes(steps, 5, from('quiet', 'k3'))).toEqual(['', '', '', '', refused])
    expect(codes(steps, 1, from('third', 'k4'))).toEqual([refused])
  })

  test('are asked for together, each with its key and cost', () => {
    const { store, compile: make } = bed()
    const steps = make({
      limits: [
        { by: 'ip', limit: 10, window: '1s', cost: 3 },
        { by: ['tenant', 'route'], limit: 10, window: '1m' },
      ],
      store: 'leased',
      strict: true,
      on_store_error: 'allow',
      timeout: '5ms',
    })
    access(steps, request({ consumer: who({ tenant: 'acme' }) }))
    expect(store.asked).toEqual([
      {
        names: ['ip-1s', 'tenant-route-1m'],
        keys: ['s1000|192.0.2.1', 's60000|acme|test'],
        costs: [3, 1],
      },
    ])
    expect(store.opened[0]).toEqual({ store: 'leased', strict: true, onError: 'allow', timeout: 5 })
  })

  test('that observe refuse nothing, and count what they would have', () => {
    const { instruments, compile: make } = bed()
    const steps = make({
      limits: [
        { by: 'ip', limit: 3, window: '1s', name: 'a', mode: 'observe' },
        { by: 'ip', limit: 5, window: '1s', name: 'b' },
      ],
    })
    expect(codes(steps, 6)).toEqual(['', '', '', '', '', refused])
    const read = (name: string, limit: string) =>
      instruments.read(`sluice_limit_${name}_total{route="test",limit="${limit}"}`)
    expect(['checks', 'refusals', 'would_refuse'].map((name) => read(name, 'a'))).toEqual([6, 0, 3])
    expect(['checks', 'refusals', 'would_refuse'].map((name) => read(name, 'b'))).toEqual([6, 1, 0])
  })
})

test.each([
  ['redis', 3],
  ['node', 0],
])('ranks the keys that it counts in %s by itself: %d', (store, notes) => {
  const { instruments, compile: make } = bed()
  const steps = make({ limits: [{ by: 'ip', limit: 2, window: '1s', name: 'a' }], store })
  expect(codes(steps, 3)).toEqual(['', '', refused])
  expect(instruments.read('limits{route="test",limit="a"}')).toBe(notes)
})

describe('tiers', () => {
  const config = {
    limits: [{ by: 'ip', limit: 100, window: '1m', name: 'address' }],
    tiers: {
      free: { limits: [{ by: 'consumer', limit: 2, window: '1m', name: 'tier' }] },
      enterprise: { limits: [{ by: 'consumer', limit: 4, window: '1m', name: 'tier' }] },
      unlimited: { limits: [] },
    },
    default_tier: 'free',
  }

  test.each([
    ['free', 2],
    ['enterprise', 4],
    ['unlimited', 6],
    ['unknown', 2],
    [null, 2],
  ])('%s: %d of 6', (tier, passed) => {
    const steps = bed().compile(config)
    const outcome = codes(steps, 6, () => ({ consumer: who({ tier }) }))
    expect(outcome.filter((code) => code === '')).toHaveLength(passed)
  })

  test('of which one has no limits at all', () => {
    const { store, compile: make } = bed()
    const steps = make({ ...config, limits: undefined })
    expect(codes(steps, 6, () => ({ consumer: who({ tier: 'unlimited' }) }))).toEqual(['', '', '', '', '', ''])
    expect(store.asked).toEqual([])
    expect(codes(steps, 3).filter((code) => code === '')).toHaveLength(2)
  })

  test('count for themselves, and what is for everybody over all of them', () => {
    const { store, compile: make } = bed()
    const steps = make(config)
    expect(codes(steps, 3, () => ({ consumer: who({ tier: 'free' }) }))).toEqual(['', '', refused])
    expect(codes(steps, 5, () => ({ consumer: who({ tier: 'enterprise' }) }))).toEqual(['', '', '', '', refused])
    const names = new Set([...store.used.keys()].map((key) => key.slice(0, key.indexOf(' '))))
    expect([...names].sort()).toEqual(['route/test/address', 'route/test/enterprise/tier', 'route/test/free/tier'])
  })
})

describe('concurrency', () => {
  const config = { limits: [{ by: 'ip', limit: 2, algorithm: 'concurrency', name: 'slots' }] }
  const end = (steps: Steps, ctx: RequestContext): void => {
    ctx.endedAt = 1
    steps.log?.(ctx)
  }

  test('gives a slot back when the request is over', () => {
    const { store, compile: make } = bed()
    const steps = make(config)
    const [first, second, third] = [request(), request(), request()]
    for (const ctx of [first, second]) expect(access(steps, ctx)).toBeUndefined()
    expect(access(steps, third)).toMatchObject({ code: refused })
    end(steps, third)
    expect(store.usedOf('slots')).toBe(2)
    end(steps, first)
    expect(store.usedOf('slots')).toBe(1)
    expect(access(steps, request())).toBeUndefined()
  })

  test.each([['aborted'], ['timed out']])(
    'gives it back when the request was %s before the store answered',
    async (how) => {
      const { store, compile: make } = bed()
      store.waits = true
      const steps = make(config)
      const ctx = request()
      const pending = steps.access?.(ctx)
      if (how === 'aborted') ctx.aborted = true
      end(steps, ctx)
      expect(store.usedOf('slots')).toBe(1)
      store.answer?.()
      await expect(pending).resolves.toBeUndefined()
      expect(store.usedOf('slots')).toBe(0)
      expect(ctx.admission).toBeNull()
    },
  )

  test('has no log step where there is nothing to give back', () => {
    expect(bed().compile({ limits: [{ by: 'ip', limit: 1, window: '1s' }] }).log).toBeUndefined()
  })
})

describe('a store that has to be asked', () => {
  const config = { limits: [{ by: 'ip', limit: 1, window: '1s' }] }

  test('is waited for', async () => {
    const { store, compile: make } = bed()
    store.waits = true
    const steps = make(config)
    const ctx = request()
    const pending = steps.access?.(ctx)
    store.answer?.()
    await expect(pending).resolves.toBeUndefined()
    expect(ctx.admission?.admitted).toBe(true)
    const second = steps.access?.(request())
    store.answer?.()
    await expect(second).resolves.toMatchObject({ code: refused })
  })
})

describe('a request that has to wait its turn', () => {
  const config = { limits: [{ by: 'ip', limit: 10, window: '1s', algorithm: 'leaky_bucket', burst: 5 }] }

  test('waits as long as the store says', async () => {
    const { store, compile: make } = bed()
    const steps = make(config)
    const order: number[] = []
    const begin = performance.now()
    const waits = [40, 5, 20].map((delay) => {
      store.says = { delay }
      return Promise.resolve(steps.access?.(request())).then((verdict) => {
        order.push(delay)
        expect(performance.now() - begin).toBeGreaterThanOrEqual(delay)
        return verdict
      })
    })
    expect(await Promise.all(waits)).toEqual([undefined, undefined, undefined])
    expect(order).toEqual([5, 20, 40])
  })

  test('goes nowhere when its client has gone meanwhile', async () => {
    const { store, compile: make } = bed()
    const steps = make({ limits: [...config.limits, { by: 'ip', limit: 5, algorithm: 'concurrency', name: 'slots' }] })
    store.says = { delay: 10 }
    const ctx = request()
    const pending = steps.access?.(ctx)
    ctx.aborted = true
    ctx.endedAt = 1
    steps.log?.(ctx)
    expect(await pending).toBeUndefined()
    expect(store.usedOf('slots')).toBe(0)
  })
})

describe('an entry of the top level', () => {
  /** The step before the match, and those of a route. */
  function stages(config: unknown, store = new CountingStore()) {
    const { deps, instruments } = bed(store)
    const parsed = rateLimiting.schema.parse(config)
    const global = { ...depsOf(), ...deps, global: true, scope: 'global' }
    const none = { ...global, route: { name: '', paramNames: [], methods: [], upstream: null } }
    const steps = rateLimiting.create(parsed, global)
    const before = rateLimiting.beforeMatch?.(parsed, none)
    const pass = (ctx: RequestContext): string => {
      const early = before?.(ctx) as Rejection | undefined
      return early?.code ?? (access(steps, ctx) as Rejection | undefined)?.code ?? ''
    }
    return { before, steps, store, instruments, pass }
  }

  const names = ({ asked }: CountingStore): string[][] => asked.map((one) => one.names)
  const address = { by: 'ip', limit: 5, window: '1m', name: 'address' }
  const all = { by: 'global', limit: 9, window: '1m', name: 'all' }
  const each = { by: 'consumer', limit: 3, window: '1m', name: 'each' }

  test('checks addresses and everybody together before the match, and nothing after it', () => {
    const { before, steps, store, instruments } = stages({ limits: [address, all] })
    expect(steps.access).toBeUndefined()
    const ctx = request()
    expect(before?.(ctx)).toBeUndefined()
    expect(names(store)).toEqual([['address', 'all']])
    expect(store.asked[0]?.keys).toEqual(['s60000|192.0.2.1', 's60000|'])
    expect(lines(respond(steps, ctx, 200, []))[0]).toBe('x-ratelimit-limit: 5')
    expect(instruments.read('sluice_limit_checks_total{route="_all",limit="all"}')).toBe(1)
  })

  test('leaves everybody together to the route where another limit must wait for it', () => {
    const { store, pass } = stages({ limits: [address, all, each] })
    const flood = Array.from({ length: 20 }, (_, i) =>
      pass(request({ clientIp: `192.0.2.${i}`, consumer: who({ id: 'loud' }) })),
    )
    expect(flood.filter((code) => code === '')).toHaveLength(3)
    expect(names(store).slice(0, 2)).toEqual([['address'], ['all', 'each']])
    expect(store.usedOf('all')).toBe(3)
  })

  test('does as told', () => {
    const told = stages({ limits: [{ ...address, early: false }, { ...all, early: true }, each] })
    expect(told.pass(request())).toBe('')
    expect(names(told.store)).toEqual([['all'], ['address', 'each']])
    expect(stages({ limits: [{ ...address, early: false }] }).before).toBeUndefined()
    expect(stages({ limits: [each] }).before).toBeUndefined()
  })

  test('tells clients of both checks', () => {
    const { pass, steps } = stages({ limits: [address, each], headers: ['x-ratelimit', 'per-limit'] })
    const told = (ctx: RequestContext): string[] => {
      pass(ctx)
      return lines(respond(steps, ctx, 200, []))
    }
    expect(told(request())).toEqual([
      'x-ratelimit-limit: 3',
      'x-ratelimit-remaining: 2',
      'x-ratelimit-reset: 1620000000',
      'x-ratelimit-limit-each: 3',
      'x-ratelimit-remaining-each: 2',
      'x-ratelimit-limit-address: 5',
      'x-ratelimit-remaining-address: 4',
    ])
    const others = ['a', 'b', 'c'].map((id) => told(request({ consumer: who({ id }) })).slice(0, 2))
    expect(others.at(-1)).toEqual(['x-ratelimit-limit: 5', 'x-ratelimit-remaining: 1'])
  })

  test('gives slots back that were taken before the match', () => {
    const slots = { by: 'ip', limit: 2, algorithm: 'concurrency', name: 'slots' }
    const { pass, steps, store } = stages({ limits: [slots, { ...slots, by: 'consumer', name: 'own' }] })
    const ctx = request()
    expect(pass(ctx)).toBe('')
    expect([store.usedOf('slots'), store.usedOf('own')]).toEqual([1, 1])
    steps.log?.(ctx)
    expect([store.usedOf('slots'), store.usedOf('own')]).toEqual([0, 0])
  })

  test('leaves the slots of the entry of a route alone', () => {
    const slots = { by: 'ip', limit: 2, algorithm: 'concurrency', name: 'slots' }
    const { before, steps, store } = stages({ limits: [slots] })
    const own = bed(store).compile({ limits: [{ ...slots, name: 'own' }] })
    const ctx = request()
    expect(before?.(ctx)).toBeUndefined()
    access(own, ctx)
    own.log?.(ctx)
    expect([store.usedOf('slots'), store.usedOf('own')]).toEqual([1, 0])
    steps.log?.(ctx)
    expect([store.usedOf('slots'), store.usedOf('own')]).toEqual([0, 0])
  })
})

test('rules of the same scope count together', () => {
  const store = new CountingStore()
  const rule = { limits: [{ by: 'ip', limit: 3, window: '1m' }], scope: 'api' }
  const steps = ['a', 'b'].map((name) =>
    compile(rateLimiting, rule, { name }, { ...bed(store).deps, scope: `route/${name}` }),
  )
  expect(steps.flatMap((one) => codes(one, 2))).toEqual(['', '', '', refused])
})

test.each([
  [{ by: 'consumer' }, ['consumer']],
  [{ by: ['tenant', 'ip'] }, ['consumer']],
  [{ by: 'credential' }, ['consumer']],
  [{ by: 'claim:sub' }, ['claims']],
  [{ by: ['claim:sub', 'consumer'] }, ['claims', 'consumer']],
  [{ by: 'ip' }, []],
])('%j needs %j', (fields, facts) => {
  const config = rateLimiting.schema.parse({ limits: [{ limit: 1, window: 1, ...fields }] })
  expect(rateLimiting.requires?.(config)).toEqual(facts)
})

test('tiers need a consumer', () => {
  const tiers = { free: { limits: [{ by: 'ip', limit: 1, window: 1 }] } }
  const config = rateLimiting.schema.parse({ tiers, default_tier: 'free' })
  expect(rateLimiting.requires?.(config)).toEqual(['consumer'])
})
