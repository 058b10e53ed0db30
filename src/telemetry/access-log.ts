import type { LogContext } from '../core/context.ts'
import { getHeaderJoined, type HeaderList } from '../core/headers.ts'
import type { PluginLog } from '../core/plugin.ts'
import { type Admission, type Limit, titleOf } from '../core/services/limits.ts'
import { DayClock } from './clock.ts'
import { LogFile } from './log-file.ts'

export interface AccessLogSettings {
  /** `stdout`, `stderr`, or an absolute path. */
  readonly path: string
  /** Fields that are logged besides the usual, lower-case. Credentials among them show as `***`. */
  readonly requestHeaders: readonly string[]
  readonly responseHeaders: readonly string[]
  /** Whether the query is logged. */
  readonly query: boolean
}

/** Never logged, whatever is configured. */
const credentials: ReadonlySet<string> = new Set([
  'apikey',
  'authorization',
  'cookie',
  'proxy-authorization',
  'set-cookie',
  'x-amz-security-token',
  'x-api-key',
  'x-auth-token',
  'x-csrf-token',
])

/** Characters of a field value that are logged. */
const longestValue = 1024

/**
 * One JSON line a request. Built by hand: names and punctuation are literals, and only text that needs it goes through
 * `JSON.stringify` (bench/micro/access-log.bench.ts).
 */
export class AccessLog {
  readonly file: LogFile
  readonly #settings: AccessLogSettings
  readonly #clock = new DayClock()
  /** By route; routes are few, whatever clients send. */
  readonly #repeated = new Map<string, Repeated>()

  /** Opens the file. Throws when it can't be opened. */
  static open(settings: AccessLogSettings, log: PluginLog | null = null): AccessLog {
    return new AccessLog(settings, LogFile.open(settings.path, log))
  }

  /** A log into a file that is open already: other settings after a reload. */
  constructor(settings: AccessLogSettings, file: LogFile) {
    this.#settings = settings
    this.file = file
  }

  /**
   * Logs a request that is over. `sample` is the share of requests that is logged, 0 to 1; answers that failed (5xx, and
   * those that were cut off) always are.
   */
  line(ctx: LogContext, sample: number): void {
    if (sample < 1 && !hasFailed(ctx) && Math.random() >= sample) return
    this.file.write(this.text(ctx))
  }

  /** The line of a request, with its line feed. */
  text(ctx: LogContext): string {
    const { forwardedAt, startedAt, endedAt } = ctx
    let line =
      `{"time":"${this.#clock.text(endedAt)}","request_id":${quoted(ctx.requestId)}${this.#repeatedOf(ctx)}` +
      `,"path":${quoted(ctx.path)},"status":${ctx.status},"duration_ms":${millis(endedAt - startedAt)}` +
      `,"gateway_ms":${millis((forwardedAt === 0 ? endedAt : forwardedAt) - startedAt)}` +
      `,"client_ip":${quoted(ctx.clientIp)},"remote_ip":${quoted(ctx.remoteIp)}` +
      `,"bytes_in":${ctx.bytesIn},"bytes_out":${ctx.bytesOut}`
    if (forwardedAt !== 0) {
      const respondedAt = ctx.respondedAt === 0 ? endedAt : ctx.respondedAt
      line +=
        `,"target":${quoted(ctx.target)},"upstream_status":${ctx.upstreamStatus},"upstream_ms":${millis(respondedAt - forwardedAt)}` +
        `,"attempts":${ctx.attempts}`
    }
    if (ctx.consumer !== null) line += `,"consumer":${quoted(ctx.consumer.id)}`
    if (ctx.admission !== null) line += limitFields(ctx.admission)
    if (ctx.failure !== '') line += `,"failure":${quoted(ctx.failure)}`
    if (ctx.failureDetail !== null) line += `,"failure_detail":${quoted(ctx.failureDetail)}`
    if (ctx.aborted) line += ',"aborted":true'
    const { requestHeaders, responseHeaders, query } = this.#settings
    if (query && ctx.query !== '') line += `,"query":${quoted(ctx.query)}`
    if (requestHeaders.length > 0)
      line += `,"request_headers":${fieldsOf(ctx.headers, ctx.sharedHeaders, requestHeaders)}`
    if (responseHeaders.length > 0)
      line += `,"response_headers":${fieldsOf(ctx.responseHeaders, noHeaders, responseHeaders)}`
    return `${line}}\n`
  }

  /** The part that most requests of a route have in common: as long as it stays the same, it is one text. */
  #repeatedOf(ctx: LogContext): string {
    const last = this.#repeated.get(ctx.routeName)
    if (
      last !== undefined &&
      last.method === ctx.method &&
      last.host === ctx.authority &&
      last.scheme === ctx.scheme &&
      last.upstream === ctx.upstreamName
    ) {
      return last.text
    }
    const { method, scheme, authority: host, routeName, upstreamName: upstream } = ctx
    let text = `,"method":${quoted(method)},"scheme":"${scheme}","host":${quoted(host)}`
    if (routeName !== '') text += `,"route":${quoted(routeName)}`
    if (upstream !== '') text += `,"upstream":${quoted(upstream)}`
    this.#repeated.set(routeName, { method, scheme, host, upstream, text })
    return text
  }
}

interface Repeated {
  readonly method: string
  readonly scheme: string
  readonly host: string
  readonly upstream: string
  readonly text: string
}

/** Broken answers hide behind their 200; a client that went away is no failure of ours. */
function hasFailed(ctx: LogContext): boolean {
  return ctx.status >= 500 || (ctx.failure !== '' && ctx.status < 400 && !ctx.aborted)
}

/** Which limit refused, which would have, and what decided where the store could not. Nothing for most requests. */
function limitFields(last: Admission): string {
  let refusedBy = ''
  let wouldRefuse = ''
  let decidedBy = ''
  for (let admission: Admission | null = last; admission !== null; admission = admission.previous) {
    const { limits } = admission
    if (admission.refusedBy !== -1) refusedBy = `,"limit":${quoted(titleOf(limits[admission.refusedBy] as Limit))}`
    if (admission.decidedBy !== 'store') decidedBy = `,"limits_decided_by":"${admission.decidedBy}"`
    if (admission.wouldRefuse === 0) continue
    for (let i = 0; i < limits.length; i++) {
      if (((admission.wouldRefuse >>> i) & 1) === 0) continue
      wouldRefuse += `${wouldRefuse === '' ? '' : ','}${quoted(titleOf(limits[i] as Limit))}`
    }
  }
  if (wouldRefuse !== '') wouldRefuse = `,"would_refuse":[${wouldRefuse}]`
  return refusedBy + wouldRefuse + decidedBy
}

const noHeaders: Readonly<HeaderList> = []

/** The fields of these names, of the second list those that the first has not. */
function fieldsOf(headers: Readonly<HeaderList>, more: Readonly<HeaderList>, names: readonly string[]): string {
  let text = '{'
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    let value = getHeaderJoined(headers, name) ?? getHeaderJoined(more, name)
    if (value === undefined) continue
    if (credentials.has(name)) value = '***'
    else if (value.length > longestValue) value = `${value.slice(0, longestValue)}…`
    text += `${text === '{' ? '' : ','}"${name}":${quoted(value)}`
  }
  return `${text}}`
}

const thousandths = Array.from({ length: 1000 }, (_, i) => `.${String(i).padStart(3, '0')}`)

/** Milliseconds with three decimals. Two integers as text cost a third of what a double does. */
function millis(value: number): string {
  const micros = value > 0 ? Math.round(value * 1000) : 0
  const whole = Math.floor(micros / 1000)
  return whole + (thousandths[micros - whole * 1000] as string)
}

/** A JSON string in ASCII: what `JSON.stringify` gives, but with every other character escaped. */
export function quoted(text: string): string {
  return special.test(text) ? escaped(text) : `"${text}"`
}

/** Anything but printable ASCII without `"` and `\`. A third faster than a loop over character codes. */
const special = /[^ !#-[\]-~]/

function escaped(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
