import { describe, expect, test } from 'vitest'
import { bed, CountingStore, codes, who } from '../../../test/support/counting-store.ts'
import { access, compile, depsOf, lines, request, respond } from '../../../test/support/plugin.ts'
import type { RequestContext } from '../../core/context.ts'
import type { Rejection } from '../../core/errors.ts'
import type { Steps } from '../../core/plugin.ts'
import { noInstruments } from '../../core/services/instruments.ts'
import { servicesAtRest } from '../../core/services/services.ts'
import { rateLimiting } from './plugin.ts'

const refused = 'rate_limit_exceeded'

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

test.each(['redis', 'node'])('ranks the keys that it counts in Redis by itself, and no others: %s', (store) => {
  const { deps, store: counters } = bed()
  const notes: unknown[] = []
  const ranking = () => ({ note: (...note: unknown[]) => void notes.push(note) })
  const services = { ...servicesAtRest, limits: { open: () => counters }, instruments: { ...noInstruments, ranking } }
  const config = { limits: [{ by: 'ip', limit: 2, window: '1s', name: 'a' }], store }
  const steps = compile(rateLimiting, config, {}, { ...deps, services })
  codes(steps, 3)
  counters.says = { decidedBy: 'allow', remaining: [], resetAt: [] }
  codes(steps, 1)
  const seen = [
    ['s1000|192.0.2.1', 0.5, false],
    ['s1000|192.0.2.1', 1, false],
    ['s1000|192.0.2.1', 1, true],
  ]
  expect(notes).toEqual(store === 'redis' ? seen : [])
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

  test('has nothing to check where no route matches', () => {
    const { deps } = bed()
    const none = { name: '', paramNames: [], methods: [], upstream: null }
    const steps = compile(rateLimiting, { limits: [address, each] }, none, { ...deps, global: true, scope: 'global' })
    expect(steps.access).toBeUndefined()
    expect(steps.response).toBeDefined()
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
