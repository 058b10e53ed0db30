import { describe, expect, test } from 'vitest'
import { faults } from '../../../test/support/plugin.ts'
import { type Config, schema } from './schema.ts'

const parse = (config: unknown): Config => schema.parse(config)
const faultsOf = (config: unknown): string => faults({ schema }, config)
const limit = (fields: object = {}): object => ({ limits: [{ by: 'ip', limit: 10, window: '1s', ...fields }] })

describe('a limit', () => {
  test('says everything that was left open', () => {
    expect(parse({ limits: [{ by: 'consumer', limit: 100, window: '60s' }] })).toEqual({
      limits: [
        {
          name: 'consumer-1m',
          by: [{ kind: 'consumer' }],
          algorithm: 'sliding_window',
          limit: 100,
          window: 60_000,
          calendar: null,
          burst: 0,
          nodelay: false,
          cost: 1,
          ipv6_prefix: 64,
          message: null,
          observe: false,
          tier: '',
          early: null,
        },
      ],
      tiers: {},
      default_tier: '',
      scope: null,
      store: 'node',
      strict: false,
      on_store_error: 'node',
      timeout: 20,
      headers: ['x-ratelimit'],
      status: 429,
      message: 'Too many requests. Please retry after {retry_after} seconds.',
      body: null,
    })
  })

  test.each([
    ['ip', [{ kind: 'ip' }], 'ip-1s'],
    ['route+method', [{ kind: 'route' }, { kind: 'method' }], 'route-method-1s'],
    ['header:X-Org', [{ kind: 'header', name: 'x-org' }], 'x-org-1s'],
    [{ header: 'X-Org' }, [{ kind: 'header', name: 'x-org' }], 'x-org-1s'],
    ['claim:org.id', [{ kind: 'claim', path: 'org.id' }], 'org.id-1s'],
    [
      { claim: 'https://example.com/org' },
      [{ kind: 'claim', path: 'https://example.com/org' }],
      'https_example.com_org-1s',
    ],
    [['tenant', { claim: 'sub' }], [{ kind: 'tenant' }, { kind: 'claim', path: 'sub' }], 'tenant-sub-1s'],
  ])('counts by %j', (by, subjects, name) => {
    expect(parse(limit({ by })).limits[0]).toMatchObject({ by: subjects, name })
  })

  test.each([
    ['10ms', 10, 'ip-10ms'],
    [90, 90_000, 'ip-90s'],
    ['60m', 3_600_000, 'ip-1h'],
    ['30d', 2_592_000_000, 'ip-30d'],
  ])('has the window %j', (window, milliseconds, name) => {
    expect(parse(limit({ window })).limits[0]).toMatchObject({ window: milliseconds, calendar: null, name })
  })

  test.each([
    [{ window: 'day' }, 'day', 'UTC'],
    [{ window: 'month', time_zone: 'Europe/Berlin' }, 'month', 'Europe/Berlin'],
    [{ window: 'year', algorithm: 'fixed_window' }, 'year', 'UTC'],
  ])('is a quota by the calendar: %j', (fields, unit, time_zone) => {
    expect(parse(limit(fields)).limits[0]).toMatchObject({
      algorithm: 'fixed_window',
      calendar: { unit, time_zone },
      name: `ip-${unit}`,
    })
  })

  test('is a rate with a burst, in the words of others', () => {
    const traefik = parse(limit({ limit: 100, window: '1m', algorithm: 'token_bucket', burst: 50 }))
    expect(traefik.limits[0]).toMatchObject({ limit: 100, window: 60_000, burst: 50 })
    expect(parse(limit({ algorithm: 'token_bucket' })).limits[0]).toMatchObject({ burst: 10 })
    const nginx = parse(limit({ limit: 50, algorithm: 'leaky_bucket', burst: 100, nodelay: true }))
    expect(nginx.limits[0]).toMatchObject({ limit: 50, burst: 100, nodelay: true })
    const slots = parse({ limits: [{ by: 'ip', limit: 20, algorithm: 'concurrency' }] })
    expect(slots.limits[0]).toMatchObject({ window: 60_000, name: 'ip-concurrency' })
  })

  test('observes when it says so, or the rule does', () => {
    const limits = [
      { by: 'ip', limit: 1, window: 1, name: 'a' },
      { by: 'ip', limit: 1, window: 1, name: 'b', mode: 'enforce' },
      { by: 'ip', limit: 1, window: 1, name: 'c', mode: 'observe' },
    ]
    const observed = (mode: string) => parse({ limits, mode }).limits.map(({ observe }) => observe)
    expect(observed('enforce')).toEqual([false, false, true])
    expect(observed('observe')).toEqual([true, false, true])
  })

  test.each([
    [{ by: 'ipp' }, 'limits.0.by: must be ip, consumer'],
    [{ by: [] }, 'limits.0.by: '],
    [{ by: ['ip', 'ip'] }, 'has "ip" twice'],
    [{ by: ['global', 'ip'] }, '"global" stands alone'],
    [{ by: 'header:a b' }, 'must be ip, consumer'],
    [{ limit: 0 }, 'limits.0.limit: Too small'],
    [{ limit: '10' }, 'limits.0.limit: '],
    [{ window: undefined }, 'limits.0.window: is required'],
    [{ window: 'week' }, 'must be a duration such as 1s, 10m or 1h, or day, month or year'],
    [{ window: '5ms' }, 'must be at least 10ms'],
    [{ window: '400d' }, 'must be at most 366d'],
    [{ window: 'month', algorithm: 'token_bucket' }, 'limits.0.window: "month" needs fixed_window, not token_bucket'],
    [{ window: 'day', algorithm: 'concurrency' }, '"day" means nothing for concurrency'],
    [{ window: '2d', algorithm: 'concurrency' }, 'must be at most 1d for concurrency'],
    [{ time_zone: 'Europe/Berlin' }, 'limits.0.time_zone: goes with the windows day, month and year'],
    [{ window: 'day', time_zone: 'Mars/Base' }, 'limits.0.time_zone: must be a time zone'],
    [{ burst: 5 }, 'limits.0.burst: goes with token_bucket and leaky_bucket, not with sliding_window'],
    [{ burst: 0, algorithm: 'token_bucket' }, 'must be at least 1 for token_bucket'],
    [{ nodelay: true, algorithm: 'token_bucket' }, 'limits.0.nodelay: goes with leaky_bucket, not with token_bucket'],
    [{ algorithm: 'sliding_log', limit: 200_000 }, 'limits.0.limit: must be at most 100000 for sliding_log'],
    [{ cost: 11 }, 'limits.0.cost: must be at most 10, or no request would ever pass'],
    [{ cost: 6, algorithm: 'token_bucket', burst: 5 }, 'must be at most 5'],
    [{ cost: 3, algorithm: 'leaky_bucket', burst: 1 }, 'must be at most 2'],
    [{ cost: 2, algorithm: 'concurrency' }, 'limits.0.cost: means nothing for concurrency'],
    [{ by: 'consumer', ipv6_prefix: 56 }, 'limits.0.ipv6_prefix: goes with "ip"'],
    [{ by: 'consumer', early: true }, 'limits.0.early: goes with "ip" and "global" alone'],
    [{ name: '1st' }, 'limits.0.name: must be letters'],
    [{ unknown: 1 }, 'Unrecognized key'],
  ])('is refused with %j', (fields, message) => expect(faultsOf(limit(fields))).toContain(message))
})

describe('a rule', () => {
  const one = { by: 'ip', limit: 1, window: 1 }

  test('adds the limits of a tier to those for everybody', () => {
    const config = parse({
      limits: [one],
      tiers: { free: { limits: [{ by: 'consumer', limit: 5, window: 1 }] }, best: { limits: [] } },
      default_tier: 'free',
    })
    expect(config.default_tier).toBe('free')
    expect(Object.entries(config.tiers).map(([tier, limits]) => [tier, limits.map(({ name }) => name)])).toEqual([
      ['free', ['ip-1s', 'consumer-1s']],
      ['best', ['ip-1s']],
    ])
  })

  test.each([
    [undefined, ['x-ratelimit']],
    ['ietf', ['ietf']],
    [
      ['ietf', 'x-ratelimit', 'ietf'],
      ['ietf', 'x-ratelimit'],
    ],
    ['off', []],
    [false, []],
  ])('headers: %j', (headers, styles) => expect(parse({ limits: [one], headers }).headers).toEqual(styles))

  test.each([
    [{}, 'needs "limits", "tiers", or one of second'],
    [{ limits: [] }, 'needs "limits"'],
    [{ limits: [one, one] }, 'limits.1.name: "ip-1s" is the name of another limit'],
    [{ limits: [one, { ...one, window: 2, name: 'IP-1s' }] }, 'limits.1.name: "IP-1s" is the name of another'],
    [{ limits: [one], tiers: { a: { limits: [one] } }, default_tier: 'a' }, 'tiers.a.limits.0.name: "ip-1s"'],
    [{ tiers: { a: { limits: [one] } } }, 'default_tier: is required with "tiers"'],
    [{ tiers: { a: { limits: [one] } }, default_tier: 'b' }, 'default_tier: must be one of the tiers: a (got "b")'],
    [{ tiers: { a: { limits: [{ ...one, early: true }] } }, default_tier: 'a' }, 'the tier is known after the match'],
    [{ limits: [one], default_tier: 'b' }, 'default_tier: goes with "tiers"'],
    [{ limits: [one], strict: true }, 'strict: goes with "store: leased"'],
    [{ limits: [one], headers: 'x-rate' }, 'must be x-ratelimit, per-limit, ietf, legacy, a list of these, or off'],
    [{ limits: [one], body: { request_id: 'x' } }, 'has "request_id" without being told'],
    [{ limits: [one], timeout: 'soon' }, 'timeout: must be a duration'],
    [{ limits: Array.from({ length: 25 }, (_, i) => ({ ...one, name: `n${i}` })) }, 'limits: '],
    [{ limits: [one], status: 200 }, 'status: '],
  ])('is refused with %j', (config, message) => expect(faultsOf(config)).toContain(message))
})

describe("Kong's form", () => {
  test('becomes windows of the clock, and of the calendar', () => {
    const { limits, headers, store } = parse({ second: 100, hour: 3000, month: 100_000, policy: 'redis' })
    expect(store).toBe('redis')
    expect(headers).toEqual(['x-ratelimit', 'per-limit'])
    expect(limits).toMatchObject([
      { name: 'second', algorithm: 'fixed_window', limit: 100, window: 1000, by: [{ kind: 'consumer' }] },
      { name: 'hour', algorithm: 'fixed_window', limit: 3000, window: 3_600_000 },
      { name: 'month', algorithm: 'fixed_window', calendar: { unit: 'month', time_zone: 'UTC' } },
    ])
  })

  test.each([
    [{ limit_by: 'ip' }, [{ kind: 'ip' }]],
    [{ limit_by: 'credential' }, [{ kind: 'credential' }]],
    [{ limit_by: 'service' }, [{ kind: 'upstream' }]],
    [{ limit_by: 'header', header_name: 'X-Org' }, [{ kind: 'header', name: 'x-org' }]],
    [{ limit_by: 'path', path: '/a' }, [{ kind: 'path', path: '/a' }]],
  ])('counts by %j', (fields, by) => expect(parse({ minute: 5, ...fields }).limits[0]?.by).toEqual(by))

  test("takes Kong's words for the rest", () => {
    const words = { fault_tolerant: false, error_code: 503, error_message: 'Slow down.', hide_client_headers: true }
    expect(parse({ minute: 5, policy: 'local', sync_rate: -1, ...words })).toMatchObject({
      store: 'node',
      on_store_error: 'deny',
      status: 503,
      message: 'Slow down.',
      headers: [],
    })
    expect(parse({ minute: 5, fault_tolerant: true }).on_store_error).toBe('allow')
  })

  test.each([
    [{ second: 10, minute: 5 }, 'minute: must be at least what "second" allows, 10'],
    [{ minute: 5, limits: [] }, 'minute: is Kong\'s form: write it into "limits"'],
    [{ minute: 5, policy: 'redis', store: 'node' }, 'policy: says the same as "store"'],
    [{ minute: 5, policy: 'cluster' }, 'policy: must be local or redis'],
    [{ minute: 5, redis: { host: 'a', port: 1 } }, 'redis: stands at the top level here'],
    [{ minute: 5, redis_host: 'a' }, 'redis_host: stands at the top level here'],
    [{ limits: [{ by: 'ip', limit: 1, window: 1 }], limit_by: 'ip' }, 'limit_by: goes with second'],
    [{ minute: 5, limit_by: 'header' }, 'header_name: is required'],
    [{ minute: 5, limit_by: 'path' }, 'path: is required'],
    [{ minute: 5, header_name: 'x' }, 'header_name: goes with "limit_by: header"'],
    [{ minute: 5, path: '/x' }, 'path: goes with "limit_by: path"'],
    [{ minute: 1.5 }, 'minute: '],
  ])('is refused with %j', (config, message) => expect(faultsOf(config)).toContain(message))
})
