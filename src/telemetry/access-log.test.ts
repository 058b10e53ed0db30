import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RequestContext } from '../core/context.ts'
import type { Admission, Limit } from '../core/services/limits.ts'
import { AccessLog, type AccessLogSettings, quoted } from './access-log.ts'

let folder = ''
const logs: AccessLog[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-log-'))
})

afterEach(async () => {
  for (const log of logs.splice(0)) await log.file.close(0)
  rmSync(folder, { recursive: true, force: true })
})

function open(settings: Partial<AccessLogSettings> = {}): AccessLog {
  const path = join(folder, 'access.log')
  const log = AccessLog.open({ path, requestHeaders: [], responseHeaders: [], query: false, ...settings })
  logs.push(log)
  return log
}

/** A request that went to an upstream and was answered. */
function request(fields: Partial<RequestContext> = {}): RequestContext {
  return Object.assign(new RequestContext(), {
    method: 'GET',
    path: '/api/users/7',
    query: 'token=secret',
    authority: 'api.example.com',
    clientIp: '203.0.113.9',
    remoteIp: '192.0.2.1',
    requestId: 'id-1',
    routeName: 'users',
    upstreamName: 'backend',
    target: '10.0.0.1:3000',
    status: 200,
    upstreamStatus: 200,
    attempts: 1,
    bytesIn: 5,
    bytesOut: 110,
    startedAt: 1000,
    forwardedAt: 1000.25,
    respondedAt: 1003.7504,
    endedAt: 1012.5,
    ...fields,
  })
}

function parsed(log: AccessLog, ctx: RequestContext): Record<string, unknown> {
  const line = log.text(ctx)
  expect(line).toMatch(/^[ -~]+\n$/)
  return JSON.parse(line) as Record<string, unknown>
}

describe('a line', () => {
  test('says everything about a request that was answered by an upstream', () => {
    const { time, ...rest } = parsed(open(), request())
    expect(time).toBe(new Date(time as string).toISOString())
    expect(rest).toEqual({
      request_id: 'id-1',
      method: 'GET',
      scheme: 'http',
      host: 'api.example.com',
      path: '/api/users/7',
      status: 200,
      duration_ms: 12.5,
      gateway_ms: 0.25,
      upstream_ms: 3.5,
      client_ip: '203.0.113.9',
      remote_ip: '192.0.2.1',
      bytes_in: 5,
      bytes_out: 110,
      route: 'users',
      upstream: 'backend',
      target: '10.0.0.1:3000',
      upstream_status: 200,
      attempts: 1,
    })
  })

  test('leaves out what there was not', () => {
    const local = {
      routeName: '',
      upstreamName: '',
      target: '',
      forwardedAt: 0,
      respondedAt: 0,
      attempts: 0,
      status: 404,
    }
    const line = parsed(open(), request({ ...local, failure: 'route_not_found' }))
    expect(line).toMatchObject({ status: 404, failure: 'route_not_found', gateway_ms: 12.5 })
    for (const field of [
      'route',
      'upstream',
      'target',
      'upstream_status',
      'upstream_ms',
      'attempts',
      'consumer',
      'aborted',
    ]) {
      expect(line).not.toHaveProperty(field)
    }
  })

  test('says what went wrong, and who it was', () => {
    const line = parsed(
      open(),
      request({
        failure: 'upstream_connection_refused',
        failureDetail: 'ECONNREFUSED "x"\n',
        aborted: true,
        respondedAt: 0,
        consumer: {
          id: 'ann',
          name: null,
          tier: null,
          groups: [],
          tenant: null,
          roles: [],
          scopes: [],
          credential: null,
          anonymous: false,
        },
      }),
    )
    expect(line).toMatchObject({
      failure: 'upstream_connection_refused',
      failure_detail: 'ECONNREFUSED "x"\n',
      aborted: true,
      consumer: 'ann',
      upstream_ms: 12.25,
    })
  })

  test('says which limits refused, or would have', () => {
    const limit = (name: string): Limit => ({
      name,
      algorithm: 'fixed_window',
      limit: 1,
      window: 1000,
      burst: 0,
      nodelay: false,
      calendar: null,
      observe: false,
    })
    const admission = (fields: Partial<Admission>): Admission => ({
      admitted: true,
      refusedBy: -1,
      remaining: [],
      resetAt: [],
      retryAfter: 0,
      delay: 0,
      wouldRefuse: 0,
      decidedBy: 'store',
      limits: [limit('route/api/a'), limit('b'), limit('c "d"')],
      keys: [],
      previous: null,
      ...fields,
    })
    const logged = (last: Admission): unknown => {
      const { limit: refused, would_refuse, limits_decided_by } = parsed(open(), request({ admission: last }))
      return [refused, would_refuse, limits_decided_by]
    }
    const early = admission({ wouldRefuse: 0b10, decidedBy: 'node' })
    expect(logged(admission({}))).toEqual([undefined, undefined, undefined])
    expect(logged(admission({ admitted: false, refusedBy: 2 }))).toEqual(['c "d"', undefined, undefined])
    expect(logged(admission({ wouldRefuse: 0b101, previous: early }))).toEqual([undefined, ['a', 'c "d"', 'b'], 'node'])
    expect(logged(admission({ admitted: false, decidedBy: 'deny' }))).toEqual([undefined, undefined, 'deny'])
  })

  test('holds the query only when that is wanted', () => {
    expect(open().text(request())).not.toContain('secret')
    expect(parsed(open({ query: true }), request())).toMatchObject({ path: '/api/users/7', query: 'token=secret' })
  })

  test('holds fields that are named, and never credentials', () => {
    const log = open({
      requestHeaders: ['user-agent', 'authorization', 'x-none', 'accept', 'x-long'],
      responseHeaders: ['content-type', 'set-cookie'],
    })
    const line = parsed(
      log,
      request({
        headers: [
          'user-agent',
          'a "b" ü',
          'authorization',
          'Bearer s3cret',
          'accept',
          'a',
          'accept',
          'b',
          'x-long',
          'x'.repeat(5000),
        ],
        responseHeaders: ['content-type', 'text/plain', 'set-cookie', 's3cret'],
      }),
    )
    expect(line['request_headers']).toEqual({
      'user-agent': 'a "b" ü',
      authorization: '***',
      accept: 'a, b',
      'x-long': `${'x'.repeat(1024)}…`,
    })
    expect(line['response_headers']).toEqual({ 'content-type': 'text/plain', 'set-cookie': '***' })
  })

  test('follows what changes from one request of a route to the next', () => {
    const log = open()
    for (const change of [
      {},
      { method: 'POST' },
      { authority: 'other.example.com' },
      { scheme: 'https' as const },
      { upstreamName: 'other' },
      { target: '10.0.0.2:3000' },
      { routeName: 'orders' },
      { clientIp: '203.0.113.10', remoteIp: '192.0.2.2' },
      {},
    ]) {
      log.text(request())
      const ctx = request(change)
      expect(parsed(log, ctx)).toMatchObject({
        method: ctx.method,
        host: ctx.authority,
        scheme: ctx.scheme,
        route: ctx.routeName,
        upstream: ctx.upstreamName,
        target: ctx.target,
        client_ip: ctx.clientIp,
        remote_ip: ctx.remoteIp,
      })
    }
  })

  test.each([
    [0.0004, 0],
    [0.0006, 0.001],
    [0.9999, 1],
    [1.0009, 1.001],
    [59_999.99951, 60_000],
    [-3, 0],
  ])('rounds %d ms to %d', (duration, shown) => {
    expect(parsed(open(), request({ startedAt: 0, forwardedAt: 0, endedAt: duration }))['duration_ms']).toBe(shown)
  })
})

test('quoted text is JSON, whatever is in it', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.string({ unit: 'grapheme' })), (text) => {
      const json = quoted(text)
      expect(json).toMatch(/^[ -~]*$/)
      expect(JSON.parse(json)).toBe(text)
    }),
  )
  expect(JSON.parse(quoted('\ud800"\u007f\u2028'))).toBe('\ud800"\u007f\u2028')
})

describe('line', () => {
  async function logged(sample: number, requests: RequestContext[]): Promise<number> {
    const log = open()
    for (const ctx of requests) log.line(ctx, sample)
    await log.file.flush()
    return readFileSync(log.file.path, 'utf8').split('\n').length - 1
  }

  const many = (fields: Partial<RequestContext>) => Array.from({ length: 2000 }, () => request(fields))

  test('logs all, none, or about the share that is asked for', async () => {
    expect(await logged(1, many({}))).toBe(2000)
    rmSync(join(folder, 'access.log'))
    expect(await logged(0, many({}))).toBe(0)
    const share = await logged(0.5, many({}))
    // 0.5 of 2000 has a standard deviation of 22: a miss by 220 does not happen.
    expect(Math.abs(share - 1000)).toBeLessThan(220)
  })

  test.each([
    [{ status: 500 }, 3],
    [{ status: 503, failure: 'draining' }, 3],
    [{ status: 200, failure: 'upstream_body_broken' }, 3],
    [{ status: 401, failure: 'x' }, 0],
    [{ status: 499, failure: 'client_closed', aborted: true }, 0],
    [{ status: 200, failure: 'client_closed', aborted: true }, 0],
  ])('%j is logged whatever the share: %d of 3', async (fields, count) => {
    expect(await logged(0, [request(fields), request(fields), request(fields)])).toBe(count)
  })
})

test('goes on in the same file with other settings', async () => {
  const log = open()
  const changed = new AccessLog({ path: log.file.path, requestHeaders: [], responseHeaders: [], query: true }, log.file)
  log.line(request(), 1)
  changed.line(request(), 1)
  await log.file.flush()
  const [first, second] = readFileSync(log.file.path, 'utf8').split('\n')
  expect(first).not.toContain('"query"')
  expect(second).toContain('"query":"token=secret"')
})
