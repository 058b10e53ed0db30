import { describe, expect, test } from 'vitest'
import { bed } from '../../../test/support/counting-store.ts'
import { access, lines, request, respond } from '../../../test/support/plugin.ts'
import type { Rejection } from '../../core/errors.ts'

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
