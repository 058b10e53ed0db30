import { expect, test } from 'vitest'
import { access, compile, faults, lines, request, respond } from '../../../test/support/plugin.ts'
import { getHeader } from '../../core/headers.ts'
import { correlationId } from './plugin.ts'

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

test('makes an id, for the upstream and the client', () => {
  const steps = compile(correlationId, {})
  const ctx = request()
  access(steps, ctx)
  const id = getHeader(ctx.headers, 'x-correlation-id')
  expect(id).toMatch(uuid)
  expect(respond(steps, ctx, 200, ['a', 'b'])).toEqual(['a', 'b', 'x-correlation-id', id])

  const other = request()
  access(steps, other)
  expect(getHeader(other.headers, 'x-correlation-id')).not.toBe(id)
})

test("keeps the client's id when it is sane", () => {
  const steps = compile(correlationId, { header_name: 'X-Trace' })
  const ctx = request({ headers: ['x-trace', 'abc-1:2', 'accept', '*/*'] })
  access(steps, ctx)
  expect(ctx.headers).toEqual(['x-trace', 'abc-1:2', 'accept', '*/*'])
  expect(respond(steps, ctx, 200, [])).toEqual(['x-trace', 'abc-1:2'])
})

test.each(['', ' ', 'a b', 'a"b', '<script>', 'ü', 'x'.repeat(129), 'a\tb'])('replaces the id %j', (sent) => {
  const steps = compile(correlationId, {})
  const ctx = request({ headers: ['x-correlation-id', sent] })
  access(steps, ctx)
  expect(getHeader(ctx.headers, 'x-correlation-id')).toMatch(uuid)
})

test('several ids become one', () => {
  const ctx = request({ headers: ['x-correlation-id', 'a b', 'accept', '*/*', 'x-correlation-id', 'fine'] })
  access(compile(correlationId, {}), ctx)
  expect(lines(ctx.headers)).toEqual(['x-correlation-id: fine', 'accept: */*'])
})

test("the client gets one id, not the upstream's as well", () => {
  const steps = compile(correlationId, {})
  const ctx = request({ headers: ['x-correlation-id', 'mine'] })
  access(steps, ctx)
  const answer = ['x-correlation-id', 'theirs', 'vary', 'x-correlation-id', 'x-correlation-id', 'theirs too']
  expect(lines(respond(steps, ctx, 200, answer))).toEqual(['vary: x-correlation-id', 'x-correlation-id: mine'])
})

test('can keep the id from the client', () => {
  const steps = compile(correlationId, { echo_downstream: false })
  const ctx = request()
  access(steps, ctx)
  expect(steps.response).toBeUndefined()
  expect(ctx.addedResponseHeaders).toBeNull()
})

test('has nothing to do for X-Request-Id, which every request has', () => {
  expect(compile(correlationId, { header_name: 'X-Request-Id' })).toEqual({})
})

test('uuid#counter counts', () => {
  const steps = compile(correlationId, { generator: 'uuid#counter' })
  const [first, second] = [request(), request()]
  access(steps, first)
  access(steps, second)
  const [prefix, one] = (getHeader(first.headers, 'x-correlation-id') as string).split('#')
  expect(prefix).toMatch(uuid)
  expect(one).toBe('1')
  expect(getHeader(second.headers, 'x-correlation-id')).toBe(`${prefix}#2`)
})

test('tracker says where and when', () => {
  const ctx = request()
  access(compile(correlationId, { generator: 'tracker' }), ctx)
  expect(getHeader(ctx.headers, 'x-correlation-id')).toMatch(new RegExp(`^8080-${process.pid}-1-\\d+\\.\\d{3}$`))
})

test('refuses what is no header name', () => {
  expect(faults(correlationId, { header_name: 'X Trace' })).toContain('must be the name of a header field')
})
