import type { AddressSet } from '../core/address-set.ts'
import type { AccessContext, LogContext } from '../core/context.ts'
import type { Verdict } from '../core/plugin.ts'
import type { ResponseChain } from './chain.ts'
import type { FieldRoles } from './fields.ts'
import type { Router } from './router/trie.ts'
import type { Upstream, Upstreams } from './upstream/upstream.ts'

/** Milliseconds, each for one phase; `total` 0 means no bound. */
export interface Timeouts {
  readonly connect: number
  readonly response: number
  readonly body_idle: number
  readonly plugins: number
  readonly total: number
}

/** Counts what became of the requests of one route. */
export interface RouteMetrics {
  record(
    status: number,
    durationMs: number,
    upstreamMs: number,
    bytesIn: number,
    bytesOut: number,
    failure: string,
  ): void
}

/** A route as the request path sees it: everything decided, phases without steps are `null`. */
export interface Route {
  readonly name: string
  readonly access: ((ctx: AccessContext) => Verdict | Promise<Verdict>) | null
  readonly response: ResponseChain | null
  /** Plugins' log steps and the access log, or `null` when nobody listens. */
  readonly log: ((ctx: LogContext) => void) | null
  /** `null` where a plugin always answers. */
  readonly upstream: Upstream | null
  readonly preserveHost: boolean
  readonly timeouts: Timeouts
  /** Bytes; 0: no limit. */
  readonly bodySize: number
  readonly metrics: RouteMetrics
}

export interface Limits {
  readonly header_size: number
  readonly header_count: number
  readonly uri_length: number
  readonly connections: number
}

export interface TlsCertificate {
  readonly cert: string
  readonly key: string
  readonly hosts: readonly string[]
}

export interface ListenerSettings {
  readonly host: string
  readonly port: number
  readonly tls: { readonly certificates: readonly TlsCertificate[]; readonly min_version: '1.2' | '1.3' } | null
  readonly path_policy: 'normalize' | 'reject'
  readonly proxy_protocol: boolean
  /** Bytes; 0: no limit, `null`: the route decides. */
  readonly body_size: number | null
  /** Changes when a certificate's bytes do; the listener is then opened anew. */
  readonly fingerprint: string
}

/**
 * Everything that decides what becomes of a request: immutable, swapped whole. A request keeps the snapshot that it
 * began with until it ends.
 */
export interface Snapshot {
  readonly version: number
  /** Runs before the match; `null` when nothing does. */
  readonly beforeMatch: Route['access']
  readonly router: Router<Route>
  readonly listeners: readonly ListenerSettings[]
  /** Every upstream by name, for metrics and for closing what a later snapshot uses no more. */
  readonly upstreams: Upstreams
  readonly limits: Limits
  readonly trustedProxies: AddressSet
  /** Request fields that need more than being passed on. */
  readonly fieldRoles: FieldRoles
  /** Where requests go that match nothing or are refused before the match: counted and logged like a route. */
  readonly unrouted: Route
  /** What the upstream's `server` field becomes: `null` passes it, `''` drops it. */
  readonly serverHeader: string | null
}
