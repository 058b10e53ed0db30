import { describe, expect, test } from 'vitest'
import { bed } from '../../../test/support/counting-store.ts'
import { access, request, respond } from '../../../test/support/plugin.ts'
import type { Rejection } from '../../core/errors.ts'

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
