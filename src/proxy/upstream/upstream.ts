import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Balancer } from './balancer.ts'
import type { ClientSettings, UpstreamClient } from './client.ts'
import { createPipelinedClient } from './pipelined-client.ts'
import type { Resolver } from './resolver.ts'
import { createSocketClient } from './socket-client.ts'
import { createUndiciClient } from './undici-client.ts'

/** What the configuration says of an upstream. Durations in milliseconds, sizes in bytes, paths absolute. */
export interface UpstreamSettings {
  readonly name: string
  readonly targets: readonly {
    readonly target: string
    readonly host: string
    readonly port: number
    readonly weight: number
  }[]
  readonly protocol: 'http' | 'https'
  readonly path: string
  readonly client: 'socket' | 'undici'
  readonly http2: boolean
  readonly tls: {
    readonly server_name: string | null
    readonly verify: boolean
    readonly ca: string | null
    readonly cert: string | null
    readonly key: string | null
  }
  readonly max_connections: number
  readonly max_waiting: number
  readonly keepalive: { readonly idle_timeout: number; readonly max_idle: number; readonly max_requests: number }
  readonly max_head_size: number
  readonly pipelining: number
}

/** Counts what became of the attempts at a target. */
export interface AttemptMetrics {
  /** `status` is that of the answer; 0: there was none. */
  record(status: number): void
}

/** One address of an upstream with the connections to it. */
export interface Target {
  /** `host:port` as configured, for the log. */
  readonly address: string
  readonly host: string
  readonly port: number
  readonly weight: number
  readonly client: UpstreamClient
  readonly metrics: AttemptMetrics
  /** Value of the Host field when the client's own is not preserved: without the protocol's default port. */
  readonly hostField: string
  /** What the client was made from; equal text, same client. */
  readonly key: string
}

/** A named group of targets. Immutable but for the balancer's place in its sequence. */
export class Upstream {
  readonly name: string
  readonly protocol: 'http' | 'https'
  /** Stands before the path of every request; `''` usually. */
  readonly path: string
  readonly targets: readonly Target[]
  private readonly balancer: Balancer<Target>

  constructor(name: string, protocol: 'http' | 'https', path: string, targets: readonly Target[]) {
    this.name = name
    this.protocol = protocol
    this.path = path
    this.targets = targets
    this.balancer = new Balancer(targets)
  }

  /** Targets that can be picked. */
  get size(): number {
    return this.balancer.size
  }

  /** The target whose turn it is, or null when none may be picked. */
  pick(): Target | null {
    return this.balancer.pick()
  }

  /** A target for one more attempt, none of `tried`; null when there is none. */
  pickOther(tried: readonly Target[]): Target | null {
    return this.balancer.pickOther(tried)
  }
}

/** Upstreams of one snapshot by name. */
export type Upstreams = ReadonlyMap<string, Upstream>

const noUpstreams: Upstreams = new Map()

/**
 * Makes the upstreams of a snapshot. A target whose settings and certificate files did not change since `previous`
 * keeps its client, connections included; an upstream of which nothing changed is the same object, so that the
 * balancer goes on where it was. Nothing is connected yet. Throws when a certificate file can't be read or used.
 *
 * Whoever swaps snapshots calls `closeUnused` afterwards, in either direction.
 */
export function createUpstreams(
  settings: readonly UpstreamSettings[],
  previous: Upstreams | null,
  resolver: Resolver,
  metricsOf: (upstream: string, target: string) => AttemptMetrics,
): Map<string, Upstream> {
  const made: UpstreamClient[] = []
  try {
    return new Map(
      settings.map((one) => [one.name, createUpstream(one, previous ?? noUpstreams, resolver, metricsOf, made)]),
    )
  } catch (err) {
    for (const client of made) client.close()
    throw err
  }
}

/**
 * Closes the clients of `retired` that `kept` doesn't use: idle connections now, the others when their requests have
 * finished. After a swap `retired` is the old snapshot's; when a prepared snapshot is discarded it is that one's.
 */
export function closeUnused(retired: Upstreams, kept: Upstreams | null): void {
  const used = clientsOf(kept ?? noUpstreams)
  for (const client of clientsOf(retired)) if (!used.has(client)) client.close()
}

function clientsOf(upstreams: Upstreams): Set<UpstreamClient> {
  return new Set([...upstreams.values()].flatMap(({ targets }) => targets.map(({ client }) => client)))
}

function createUpstream(
  settings: UpstreamSettings,
  previous: Upstreams,
  resolver: Resolver,
  metricsOf: (upstream: string, target: string) => AttemptMetrics,
  made: UpstreamClient[],
): Upstream {
  const before = previous.get(settings.name)
  const clients = new Map(before?.targets.map(({ key, client }) => [key, client]))
  const targets = settings.targets.map(({ target, host, port, weight }): Target => {
    const clientSettings = clientSettingsOf(settings, host, port)
    const createClient = clientKind(settings)
    const key = keyOf(createClient.name, clientSettings)
    let client = clients.get(key)
    if (client === undefined) {
      client = createClient(clientSettings, resolver)
      clients.set(key, client)
      made.push(client)
    }
    const metrics = metricsOf(settings.name, target)
    const hostField = hostFieldOf(settings.protocol, host, port)
    return { address: target, host, port, weight, client, metrics, hostField, key }
  })
  return before !== undefined && isSame(before, settings, targets)
    ? before
    : new Upstream(settings.name, settings.protocol, settings.path, targets)
}

function hostFieldOf(protocol: 'http' | 'https', host: string, port: number): string {
  const name = host.includes(':') ? `[${host}]` : host
  return port === (protocol === 'https' ? 443 : 80) ? name : `${name}:${port}`
}

function clientKind(settings: UpstreamSettings): typeof createSocketClient {
  if (usesUndici(settings)) return createUndiciClient
  return settings.pipelining > 1 ? createPipelinedClient : createSocketClient
}

/** The socket client speaks HTTP/1.1 over plain TCP only. */
function usesUndici({ client, protocol, http2 }: UpstreamSettings): boolean {
  return client === 'undici' || protocol === 'https' || http2
}

function clientSettingsOf(settings: UpstreamSettings, host: string, port: number): ClientSettings {
  const { protocol, tls, keepalive } = settings
  return {
    host,
    port,
    maxConnections: settings.max_connections,
    maxWaiting: settings.max_waiting,
    idleTimeout: keepalive.idle_timeout,
    maxIdle: keepalive.max_idle,
    maxRequests: keepalive.max_requests,
    maxHeadSize: settings.max_head_size,
    pipelining: settings.pipelining,
    tls:
      protocol === 'https'
        ? { serverName: tls.server_name ?? host, verify: tls.verify, ca: tls.ca, cert: tls.cert, key: tls.key }
        : null,
    http2: settings.http2,
  }
}

/** Names the files' contents too: a certificate that was renewed in place needs new connections. */
function keyOf(kind: string, settings: ClientSettings): string {
  const { tls } = settings
  const files = tls === null ? [] : [tls.ca, tls.cert, tls.key].map((path) => (path === null ? null : digestOf(path)))
  return JSON.stringify([kind, settings, files])
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('base64')
}

function isSame(before: Upstream, { protocol, path }: UpstreamSettings, targets: readonly Target[]): boolean {
  return (
    before.protocol === protocol &&
    before.path === path &&
    before.targets.length === targets.length &&
    before.targets.every(({ address, weight, client }, i) => {
      const after = targets[i] as Target
      return address === after.address && weight === after.weight && client === after.client
    })
  )
}
