import type { HeaderList } from './headers.ts'
import type { Admission } from './services/limits.ts'

/** Who calls, as an authenticating plugin proved it. */
export interface Consumer {
  /** What limits count by and logs show. */
  readonly id: string
  readonly name: string | null
  readonly tier: string | null
  readonly tenant: string | null
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  /** Which of its credentials was used: the id of an API key, a user name; never a secret. */
  readonly credential: string | null
  /** Nobody proved anything: the route lets such callers in under this name. */
  readonly anonymous: boolean
}

/**
 * The one object that flows with a request: the contract between the plugins.
 *
 * Every field exists from construction (`null`, `''` or `0` until it is written), so that all contexts share one
 * hidden class and no read misses. There is no open bag: a new fact that plugins share is a new field here, with who
 * writes and who reads it. Plugins see it through the narrower views below, one per phase.
 */
export class RequestContext {
  // ── The request. Written by the listener; access steps may change what is not marked readonly in AccessContext.

  /** As sent, case kept (methods are case-sensitive, RFC 9110 §9.1). Read by the router and the client. */
  method = ''
  /** Normalised path, `/`-led, without query. The router matches it; the upstream gets it (less what `strip_path` drops). */
  path = ''
  /** Path that the upstream gets in place of all that, or `null`. Written by access steps that rewrite; must be `/`-led. */
  upstreamPath: string | null = null
  /** Raw query without `?`; `''` when there is none. */
  query = ''
  /** The Host field as sent: `Api.example.com:8080`. */
  authority = ''
  /** Lower-case host without port. Read by the router. */
  hostname = ''
  /** End-to-end fields only: hop-by-hop fields, identity headers and framing never get in. Names are lower-case. */
  headers: HeaderList = []
  /** What the client spoke to us (or to a trusted proxy in front of us). */
  scheme: 'http' | 'https' = 'http'
  /** Port that the client addressed, for `X-Forwarded-Port`. */
  port = 0
  /** Address of the peer that holds the connection. */
  remoteIp = ''
  /** Address of the client: the peer's, or what a trusted proxy says of it. Read by the router, limits and logs. */
  clientIp = ''
  /** What the upstream gets as `X-Forwarded-For` and `X-Forwarded-Host`: of trusted proxies what they say, else our own. */
  forwardedFor = ''
  forwardedHost = ''
  /** Fields that the upstream gets besides `headers`; other requests have the same list. Written by the proxy, read by logs. */
  sharedHeaders: Readonly<HeaderList> = noHeaders
  /** The client's `X-Request-Id` when it is sane, else one of ours. */
  requestId = ''
  /** Bytes of the request body: 0 none, -1 unknown (chunked). */
  bodyLength = 0
  /** Most bytes of body that an access step lets through, 0: no limit of its own. The proxy enforces the smallest. */
  bodyLimit = 0
  /** The Origin field as it came (`''`: none). Written and read by cors: another plugin may drop the field in between. */
  origin: string | null = null

  // ── The match. Written by the router.

  /** Values of the matched path's parameters, in the order of `paramNames`. */
  params: readonly string[] = noParams
  paramNames: readonly string[] = noParams
  /** Name of the matched route, `''` before. Read by logs and metrics. */
  routeName = ''

  // ── Identity. Written by authenticating plugins (`provides`), read by whoever `requires` it.

  consumer: Consumer | null = null
  claims: Readonly<Record<string, unknown>> | null = null
  /** The bearer token as it came. Written by who checked it, read by token-exchange; no step of a later phase sees it. */
  token: string | null = null

  // ── Limits. Written by rate-limiting in the access phase, read by its own later steps and by the access log.

  /** What the limits said, the last check first; `null`: none was made. */
  admission: Admission | null = null

  // ── The answer. Written when it begins; response steps may change status and headers.

  /** Status sent to the client; 0 until an answer begins. */
  status = 0
  /** Names lower-case, values one character per byte. `set-cookie` may repeat. */
  responseHeaders: HeaderList = noHeaders
  /** Set by access steps for whatever answer goes out, also a local reply or an error; `null` when there is none. */
  addedResponseHeaders: HeaderList | null = null

  // ── For the log. Written by the proxy.

  /** `performance.now()` when the request line and header fields were read, in milliseconds. */
  startedAt = 0
  /** The same when the request went to the upstream (0: never), when its response head came (0: never), at the end. */
  forwardedAt = 0
  respondedAt = 0
  endedAt = 0
  upstreamName = ''
  /** Address of the target of the last attempt. */
  target = ''
  /** Status that the upstream sent; 0 when none came. */
  upstreamStatus = 0
  attempts = 0
  /** Body bytes read from and written to the client. */
  bytesIn = 0
  bytesOut = 0
  /** Catalogue code or cut reason of a request that did not go well; `''` otherwise. */
  failure = ''
  /** Detail for the log that the client never sees; `null` mostly. */
  failureDetail: string | null = null
  /** The client is gone: nothing may be written any more. Test it after every resume. */
  aborted = false

  /** Adds a field to whatever answer goes out. `name` lower-case, `value` checked by the caller at compile. */
  addResponseHeader(name: string, value: string): void {
    if (this.addedResponseHeaders === null) this.addedResponseHeaders = [name, value]
    else this.addedResponseHeaders.push(name, value)
  }
}

const noParams: readonly string[] = Object.freeze([])

/** Nobody adds to it: whoever begins an answer puts a list of its own, or a shared one, in its place. */
const noHeaders: HeaderList = []

type RequestFacts =
  | 'method'
  | 'path'
  | 'scheme'
  | 'port'
  | 'authority'
  | 'hostname'
  | 'remoteIp'
  | 'clientIp'
  | 'forwardedFor'
  | 'forwardedHost'
  | 'requestId'
  | 'bodyLength'
  | 'params'
  | 'paramNames'
  | 'routeName'
  | 'startedAt'
  | 'aborted'

/** What an access step sees: it may change the request that goes to the upstream, and write identity. */
export type AccessContext = Readonly<Pick<RequestContext, RequestFacts>> &
  Pick<
    RequestContext,
    | 'upstreamPath'
    | 'query'
    | 'headers'
    | 'bodyLimit'
    | 'origin'
    | 'consumer'
    | 'claims'
    | 'token'
    | 'admission'
    | 'addResponseHeader'
  > & {
    /** Not 0 when the request is over, however it ended: what comes back after a wait comes too late. */
    readonly endedAt: number
  }

/** What a response step sees: the request is over and done with, status and response fields may change. */
export type ResponseContext = Readonly<
  Pick<
    RequestContext,
    | RequestFacts
    | 'query'
    | 'headers'
    | 'origin'
    | 'consumer'
    | 'claims'
    | 'admission'
    | 'upstreamName'
    | 'target'
    | 'upstreamStatus'
    | 'failure'
  >
> &
  Pick<RequestContext, 'status' | 'responseHeaders'>

/** What a log step sees: everything but the token, nothing of it to change. */
export type LogContext = Readonly<Omit<RequestContext, 'addResponseHeader' | 'token'>>

/** A captured path parameter by name, or `undefined`. */
export function paramOf(ctx: Pick<RequestContext, 'params' | 'paramNames'>, name: string): string | undefined {
  const index = ctx.paramNames.indexOf(name)
  return index === -1 ? undefined : ctx.params[index]
}
