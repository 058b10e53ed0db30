import { Float64Histogram } from 'hdr-histogram-js'
import { InstrumentTotals } from './instrument-totals.ts'
import type { RankingReport } from './instruments.ts'
import type { ConnectionsReport, DurationReport, Report, RouteReport } from './report.ts'

/** Durations of several workers. */
export class Durations {
  /** Milliseconds. */
  sum = 0
  readonly histogram: Float64Histogram

  constructor() {
    this.histogram = new Float64Histogram(1, 131_071, 2)
    this.histogram.autoResize = true
  }

  add({ sum, pairs }: DurationReport): void {
    this.sum += sum
    for (let i = 0; i < pairs.length; i += 2)
      this.histogram.recordValueWithCount(pairs[i] as number, pairs[i + 1] as number)
  }

  get count(): number {
    return this.histogram.totalCount
  }

  /** `[microseconds, count, …]`, ascending. */
  pairs(): number[] {
    const pairs: number[] = []
    for (let index = 0; index < this.histogram.countsArrayLength; index++) {
      const count = this.histogram.getCountAtIndex(index)
      if (count > 0) pairs.push(this.histogram.valueFromIndex(index), count)
    }
    return pairs
  }
}

export interface RouteTotals {
  readonly route: string
  readonly upstream: string
  readonly statuses: Map<number, number>
  readonly failures: Map<string, number>
  bytesIn: number
  bytesOut: number
  readonly duration: Durations
  readonly upstreamDuration: Durations
}

export interface TargetTotals {
  readonly upstream: string
  readonly target: string
  readonly classes: number[]
}

type FaultTotals = [plugin: string, phase: string, kind: string, count: number]

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** What the workers have counted together. */
export class Totals {
  readonly routes = new Map<string, RouteTotals>()
  readonly targets = new Map<string, TargetTotals>()
  readonly connections = new Map<string, Mutable<ConnectionsReport>>()
  readonly pluginFaults = new Map<string, FaultTotals>()
  requestsInFlight = 0
  downstreamOpen = 0
  downstreamOpened = 0
  accessLogDropped = 0
  /** The worst of the workers: seconds. */
  lag: [p50: number, p99: number, max: number] = [0, 0, 0]
  /** Of each worker. */
  readonly utilizations: number[] = []
  readonly snapshots: number[] = []
  residentBytes = 0
  heapBytes = 0
  cpuSeconds = 0
  readonly instruments = new InstrumentTotals()
  readonly rankings: RankingReport[] = []

  /** Adds what a worker has counted; with `isAlive`, also what it is doing now. */
  add(report: Report, isAlive: boolean): void {
    for (const route of report.routes) this.#addRoute(route)
    for (const { upstream, target, classes } of report.targets) {
      const totals = entry(this.targets, JSON.stringify([upstream, target]), () => ({
        upstream,
        target,
        classes: classes.map(() => 0),
      }))
      classes.forEach((count, i) => {
        totals.classes[i] = (totals.classes[i] as number) + count
      })
    }
    for (const { upstream, target, open, idle, waiting, opened } of report.connections) {
      const totals = entry(this.connections, JSON.stringify([upstream, target]), () => ({
        upstream,
        target,
        open: 0,
        idle: 0,
        waiting: 0,
        opened: 0,
      }))
      totals.opened += opened
      if (!isAlive) continue
      totals.open += open
      totals.idle += idle
      totals.waiting += waiting
    }
    for (const [plugin, phase, kind, count] of report.pluginFaults) {
      const fault = entry(
        this.pluginFaults,
        `${plugin} ${phase} ${kind}`,
        () => [plugin, phase, kind, 0] as FaultTotals,
      )
      fault[3] += count
    }
    this.downstreamOpened += report.downstreamOpened
    this.accessLogDropped += report.accessLogDropped
    this.cpuSeconds += report.cpuSeconds
    this.instruments.add(report.instruments, isAlive)
    if (!isAlive) return
    this.rankings.push(...report.rankings)
    this.requestsInFlight += report.requestsInFlight
    this.downstreamOpen += report.downstreamOpen
    this.residentBytes += report.residentBytes
    this.heapBytes += report.heapBytes
    this.utilizations.push(report.utilization)
    this.snapshots.push(report.snapshot)
    report.lag.forEach((seconds, i) => {
      this.lag[i] = Math.max(this.lag[i] as number, seconds)
    })
  }

  #addRoute({ route, upstream, statuses, failures, bytesIn, bytesOut, duration, upstreamDuration }: RouteReport): void {
    const totals = entry(this.routes, JSON.stringify([route, upstream]), () => ({
      route,
      upstream,
      statuses: new Map(),
      failures: new Map(),
      bytesIn: 0,
      bytesOut: 0,
      duration: new Durations(),
      upstreamDuration: new Durations(),
    }))
    for (let i = 0; i < statuses.length; i += 2)
      increase(totals.statuses, statuses[i] as number, statuses[i + 1] as number)
    for (const [reason, count] of failures) increase(totals.failures, reason, count)
    totals.bytesIn += bytesIn
    totals.bytesOut += bytesOut
    totals.duration.add(duration)
    totals.upstreamDuration.add(upstreamDuration)
  }

  /** The same as the report of a worker that is gone. */
  report(): Report {
    return {
      run: '',
      snapshot: 0,
      routes: [...this.routes.values()].map((route) => ({
        ...route,
        statuses: [...route.statuses].flat(),
        failures: [...route.failures],
        duration: { sum: route.duration.sum, pairs: route.duration.pairs() },
        upstreamDuration: { sum: route.upstreamDuration.sum, pairs: route.upstreamDuration.pairs() },
      })),
      targets: [...this.targets.values()],
      connections: [...this.connections.values()],
      pluginFaults: [...this.pluginFaults.values()],
      requestsInFlight: 0,
      downstreamOpen: 0,
      downstreamOpened: this.downstreamOpened,
      accessLogDropped: this.accessLogDropped,
      lag: [0, 0, 0],
      utilization: 0,
      residentBytes: 0,
      heapBytes: 0,
      cpuSeconds: this.cpuSeconds,
      instruments: this.instruments.report(),
      rankings: [],
    }
  }
}

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

function increase<K>(map: Map<K, number>, key: K, by: number): void {
  map.set(key, (map.get(key) ?? 0) + by)
}
