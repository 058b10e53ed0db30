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
  /** Something that can't be worked with; the worker exits. */
  | { readonly type: 'fatal'; readonly reason: string }

/** One worker's figures at one moment, in a form that adds up. Written by telemetry/metrics.ts, merged by the primary. */
export interface WorkerReport {
  readonly pid: number
  readonly version: number
  /** Serialized metrics; telemetry/metrics.ts knows the form. */
  readonly metrics: Uint8Array
}
