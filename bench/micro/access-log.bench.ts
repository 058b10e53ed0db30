import { openSync } from 'node:fs'
import sonicBoom from 'sonic-boom'
import { RequestContext } from '../../src/core/context.ts'
import { AccessLog, type AccessLogSettings, quoted } from '../../src/telemetry/access-log.ts'
import { DayClock } from '../../src/telemetry/clock.ts'
import { LogFile } from '../../src/telemetry/log-file.ts'

const settings: AccessLogSettings = { path: '/dev/null', requestHeaders: [], responseHeaders: [], query: false }

let sequence = 0

/** Times and ids differ from request to request, the rest comes again. */
function request(): RequestContext {
  const ctx = new RequestContext()
  ctx.method = 'GET'
  ctx.path = '/api/users/1234567/orders'
  ctx.authority = 'api.example.com'
  ctx.headers = ['user-agent', 'Mozilla/5.0 (X11; Linux x86_64) "bench"', 'authorization', 'Bearer x']
  ctx.clientIp = ctx.remoteIp = '192.0.2.1'
  ctx.requestId = `01234567-89ab-cdef-0123-${sequence++}`
  ctx.routeName = 'users'
  ctx.upstreamName = 'backend'
  ctx.target = '10.0.0.1:3000'
  ctx.status = ctx.upstreamStatus = 200
  ctx.attempts = 1
  ctx.bytesOut = 110
  ctx.startedAt = 1000 + sequence * 0.0137
  ctx.forwardedAt = ctx.startedAt + 0.0313
  ctx.respondedAt = ctx.startedAt + 0.7171
  ctx.endedAt = ctx.startedAt + 0.7233
  return ctx
}

const plain = new AccessLog(settings, LogFile.open('/dev/null'))
const withFields = new AccessLog({ ...settings, requestHeaders: ['user-agent', 'authorization'] }, plain.file)
const line = plain.text(request())

/** Written away at once every 64 kB: a bench that never yields would fill the buffer. */
let written = 0
function writing(): void {
  plain.file.write(line)
  if (++written % 200 === 0) plain.file.flushSync()
}

const boom = new sonicBoom.SonicBoom({
  fd: openSync('/dev/null', 'a'),
  sync: true,
  minLength: 65_536,
  maxWrite: 131_072,
})
const clock = new DayClock()
let at = performance.now()

/** The same fields, as one would write it without a second thought. */
function stringified(ctx: RequestContext): string {
  return `${JSON.stringify({
    time: new Date(performance.timeOrigin + ctx.endedAt).toISOString(),
    request_id: ctx.requestId,
    method: ctx.method,
    scheme: ctx.scheme,
    host: ctx.authority,
    path: ctx.path,
    status: ctx.status,
    duration_ms: ctx.endedAt - ctx.startedAt,
    gateway_ms: ctx.forwardedAt - ctx.startedAt,
    client_ip: ctx.clientIp,
    remote_ip: ctx.remoteIp,
    bytes_in: ctx.bytesIn,
    bytes_out: ctx.bytesOut,
    route: ctx.routeName,
    upstream: ctx.upstreamName,
    target: ctx.target,
    upstream_status: ctx.upstreamStatus,
    upstream_ms: ctx.respondedAt - ctx.forwardedAt,
    attempts: ctx.attempts,
  })}\n`
}

export const suite = {
  name: 'access log',
  cases: {
    'a request alone': () => void request(),
    'a request and its line': () => void plain.text(request()),
    'a request and its line, 2 header fields': () => void withFields.text(request()),
    'a request and its line by JSON.stringify': () => void stringified(request()),
    'appending a line': writing,
    'appending a line with sonic-boom': () => void boom.write(line),
    'quoting a path': () => void quoted('/api/users/1234567/orders'),
    'time as text': () => void clock.text((at += 0.02)),
  },
}
