import { Packr } from 'msgpackr'
import type { InstrumentReport, RankingReport } from './instruments.ts'

/** One worker's figures at one moment. Counters run from the worker's start. */
export interface Report {
  /** Names this run of the worker: process ids come again. */
  readonly run: string
  /** Version of the snapshot that it serves; 0 before the first. */
  readonly snapshot: number
  readonly routes: readonly RouteReport[]
  readonly targets: readonly TargetReport[]
  readonly connections: readonly ConnectionsReport[]
  /** `[plugin, phase, kind]` and how often. */
  readonly pluginFaults: readonly (readonly [plugin: string, phase: string, kind: string, count: number])[]
  readonly requestsInFlight: number
  readonly downstreamOpen: number
  readonly downstreamOpened: number
  readonly accessLogDropped: number
  /** Seconds by which timers came late since the report before: median, 99th percentile, worst. */
  readonly lag: readonly [p50: number, p99: number, max: number]
  /** Share of the time since the report before in which the event loop was busy. */
  readonly utilization: number
  readonly residentBytes: number
  readonly heapBytes: number
  readonly cpuSeconds: number
  /** Of services and plugins. */
  readonly instruments: readonly InstrumentReport[]
  readonly rankings: readonly RankingReport[]
}

export interface RouteReport {
  readonly route: string
  readonly upstream: string
  /** `[status, count, status, count, …]` */
  readonly statuses: readonly number[]
  readonly failures: readonly (readonly [reason: string, count: number])[]
  readonly bytesIn: number
  readonly bytesOut: number
  readonly duration: DurationReport
  readonly upstreamDuration: DurationReport
}

export interface DurationReport {
  /** Milliseconds. */
  readonly sum: number
  /** `[microseconds, count, …]`, ascending. */
  readonly pairs: readonly number[]
}

export interface TargetReport {
  readonly upstream: string
  readonly target: string
  /** Attempts by class of the status: 1xx to 5xx at 1 to 5, at 0 those without an answer. */
  readonly classes: readonly number[]
}

export interface ConnectionsReport {
  readonly upstream: string
  readonly target: string
  readonly open: number
  readonly idle: number
  readonly waiting: number
  /** Since the worker's start. */
  readonly opened: number
}

// Records share their keys, so that a thousand routes name them once.
const packr = new Packr({ useRecords: true })

export function packReport(report: Report): Uint8Array {
  return packr.pack(report)
}

export function unpackReport(bytes: Uint8Array): Report {
  return packr.unpack(bytes) as Report
}
