/**
 * What primary and workers say to each other over the fork's channel (`serialization: 'advanced'`, so that buffers
 * travel as they are).
 *
 * A reload has two steps, so that it happens on every worker or on none: `prepare` makes a worker compile the
 * snapshot beside the one it serves; when all have answered `prepared`, `activate` makes them swap. One `refused`
 * and the primary sends `discard`.
 */
export type PrimaryMessage =
  | { readonly type: 'prepare'; readonly version: number; readonly snapshot: Uint8Array }
  | { readonly type: 'activate'; readonly version: number }
  | { readonly type: 'discard'; readonly version: number }
  /** Stop accepting, finish what is in flight within `timeout` milliseconds, exit 0. */
  | { readonly type: 'drain'; readonly timeout: number }
  | { readonly type: 'collect'; readonly id: number }
  /** Is the event loop still turning? */
  | { readonly type: 'ping' }
  /** Reopen log files (SIGUSR2). */
  | { readonly type: 'reopen_logs' }
  | ServiceMessage

export type WorkerMessage =
  /** The process is up and asks for its first snapshot. */
  | { readonly type: 'ready' }
  | { readonly type: 'prepared'; readonly version: number }
  | { readonly type: 'refused'; readonly version: number; readonly reason: string }
  /** Serving this version on these listeners. */
  | { readonly type: 'active'; readonly version: number }
  | { readonly type: 'metrics'; readonly id: number; readonly report: WorkerReport }
  | { readonly type: 'pong' }
  | { readonly type: 'drained' }
  | ServiceMessage
  /** Something that can't be worked with; the worker exits. */
  | { readonly type: 'fatal'; readonly reason: string }

/** What a service of a worker and its counterpart in the primary say to each other, through a `NodeLink`. */
export interface ServiceMessage {
  readonly type: 'service'
  readonly topic: Topic
  readonly body: unknown
}

/** Who is meant: key sets of issuers, counters of limits, revoked credentials, stored API keys. */
export type Topic = 'key_sets' | 'limits' | 'revocations' | 'api_keys'

/** A worker's end of the channel to its primary, for services. */
export interface WorkerLink {
  send(topic: Topic, body: unknown): void
  /** One listener per topic. */
  on(topic: Topic, listener: (body: unknown) => void): void
}

/** The primary's end of the channels to all its workers. A worker is named by a number that never comes again. */
export interface PrimaryLink {
  readonly workers: Iterable<number>
  send(worker: number, topic: Topic, body: unknown): void
  broadcast(topic: Topic, body: unknown): void
  /** One listener per topic. */
  on(topic: Topic, listener: (body: unknown, worker: number) => void): void
  /** A worker is there and listens; it has said nothing yet. */
  onJoin(listener: (worker: number) => void): void
  /** A worker has ended, however. */
  onLeave(listener: (worker: number) => void): void
}

/** One worker's figures at one moment, in a form that adds up. Written by telemetry/metrics.ts, merged by the primary. */
export interface WorkerReport {
  readonly pid: number
  readonly version: number
  /** Serialized metrics; telemetry/metrics.ts knows the form. */
  readonly metrics: Uint8Array
}
