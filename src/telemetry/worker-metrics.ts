import { type EventLoopUtilization, type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { DurationHistogram } from './histogram.ts'
import { InstrumentSet } from './instruments.ts'
import { type ConnectionsReport, packReport, type RouteReport, type TargetReport } from './report.ts'

/** Series that a worker keeps per route (and per target); what is beyond shares one named `_other`. */
const mostSeries = 1000
/** Reasons of failure that are told apart; a plugin of an operator may make its own up. */
const mostReasons = 200

const other = '_other'
/** Requests that matched no route. */
const unmatched = '_unmatched'

/** Milliseconds between the timers whose lateness is measured. */
const lagResolution = 20

/** The connections to one target, as its client counts them. */
export interface UpstreamConnections {
  readonly upstream: string
  readonly target: string
  readonly open: number
  readonly idle: number
  readonly waiting: number
  /** Connections opened by this client. */
  readonly opened: number
}

/** What is known elsewhere and read when a report is made. */
export interface Sources {
  upstreamConnections(): Iterable<UpstreamConnections>
  requestsInFlight(): number
  downstreamConnections(): number
  accessLogDropped(): number
}

/** Counts what became of the requests of one route. Numbers and typed arrays only: `record` runs for every request. */
export class RouteMetrics {
  readonly route: string
  readonly upstream: string
  /** The snapshot that last asked for it. */
  generation = 0

  /** By status; made with the first request, as thousands of routes may never see one. */
  #statuses: Float64Array | null = null
  #duration: DurationHistogram | null = null
  #upstreamDuration: DurationHistogram | null = null
  readonly #failures = new Map<string, number>()
  #bytesIn = 0
  #bytesOut = 0

  constructor(route: string, upstream: string) {
    this.route = route
    this.upstream = upstream
  }

  /**
   * Counts a request that is over. `status` 0: none was sent. Durations in milliseconds; `upstreamMs` below 0: no
   * upstream was asked. `failure` is a code of the catalogue or the reason of a cut, `''` if all went well.
   */
  record(
    status: number,
    durationMs: number,
    upstreamMs: number,
    bytesIn: number,
    bytesOut: number,
    failure: string,
  ): void {
    const statuses = (this.#statuses ??= new Float64Array(600))
    const index = status < 600 ? status : 0
    statuses[index] = (statuses[index] as number) + 1
    ;(this.#duration ??= new DurationHistogram()).record(durationMs)
    if (upstreamMs >= 0) (this.#upstreamDuration ??= new DurationHistogram()).record(upstreamMs)
    this.#bytesIn += bytesIn
    this.#bytesOut += bytesOut
    if (failure !== '') this.#fail(failure, 1)
  }

  #fail(reason: string, count: number): void {
    const key = this.#failures.has(reason) || this.#failures.size < mostReasons ? reason : other
    this.#failures.set(key, (this.#failures.get(key) ?? 0) + count)
  }

  /** Takes over the counts of a route that is gone. */
  absorb(gone: RouteMetrics): void {
    if (gone.#statuses !== null) {
      const statuses = (this.#statuses ??= new Float64Array(600))
      gone.#statuses.forEach((count, status) => {
        statuses[status] = (statuses[status] as number) + count
      })
    }
    if (gone.#duration !== null) (this.#duration ??= new DurationHistogram()).add(gone.#duration)
    if (gone.#upstreamDuration !== null)
      (this.#upstreamDuration ??= new DurationHistogram()).add(gone.#upstreamDuration)
    for (const [reason, count] of gone.#failures) this.#fail(reason, count)
    this.#bytesIn += gone.#bytesIn
    this.#bytesOut += gone.#bytesOut
  }

  /** `null` as long as there was no request. */
  report(): RouteReport | null {
    if (this.#statuses === null) return null
    const statuses: number[] = []
    this.#statuses.forEach((count, status) => {
      if (count !== 0) statuses.push(status, count)
    })
    return {
      route: this.route,
      upstream: this.upstream,
      statuses,
      failures: [...this.#failures],
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      duration: durationsOf(this.#duration),
      upstreamDuration: durationsOf(this.#upstreamDuration),
    }
  }
}

function durationsOf(histogram: DurationHistogram | null): { sum: number; pairs: number[] } {
  return histogram === null ? { sum: 0, pairs: [] } : { sum: histogram.sum, pairs: histogram.pairs() }
}

/** Counts the attempts at one target. */
export class TargetMetrics {
  readonly upstream: string
  readonly target: string
  readonly #classes = new Float64Array(6)

  constructor(upstream: string, target: string) {
    this.upstream = upstream
    this.target = target
  }

  /** Counts an attempt by the status of its answer; 0: there was none. */
  record(status: number): void {
    const index = status < 600 ? Math.floor(status / 100) : 0
    this.#classes[index] = (this.#classes[index] as number) + 1
  }

  report(): TargetReport {
    return { upstream: this.upstream, target: this.target, classes: [...this.#classes] }
  }
}

/** All that a worker counts. Outlives snapshots: a route or target of the same name goes on where it was. */
export class WorkerMetrics {
  /** Version of the snapshot that is served. */
  snapshot = 0
  /** Downstream connections accepted since the start. */
  downstreamOpened = 0
  /** Figures of services and plugins. */
  readonly instruments = new InstrumentSet()
  sources: Sources = {
    upstreamConnections: () => [],
    requestsInFlight: () => 0,
    downstreamConnections: () => 0,
    accessLogDropped: () => 0,
  }

  readonly #routes = new Map<string, RouteMetrics>()
  readonly #targets = new Map<string, TargetMetrics>()
  readonly #otherRoutes = new RouteMetrics(other, other)
  readonly #otherTargets = new TargetMetrics(other, other)
  readonly #pluginFaults = new Map<string, [plugin: string, phase: string, kind: string, count: number]>()
  readonly #opened = new Map<string, { last: number; before: number }>()
  readonly #run = `${process.pid}-${performance.timeOrigin}`
  readonly #lag: IntervalHistogram = monitorEventLoopDelay({ resolution: lagResolution })
  #utilization: EventLoopUtilization = performance.eventLoopUtilization()
  #generation = 0

  constructor() {
    this.#lag.enable()
  }

  /** Call before a snapshot's routes ask for theirs. */
  beginSnapshot(): void {
    this.#generation++
  }

  /** The counters of a route; `route` is `''` for requests that matched none. */
  routeMetrics(route: string, upstream: string): RouteMetrics {
    const key = JSON.stringify([route, upstream])
    let metrics = this.#routes.get(key)
    if (metrics === undefined) {
      if (this.#routes.size >= mostSeries && !this.#makeRoom()) return this.#otherRoutes
      metrics = new RouteMetrics(route === '' ? unmatched : route, upstream)
      this.#routes.set(key, metrics)
    }
    metrics.generation = this.#generation
    return metrics
  }

  /** The counters of a target. */
  targetMetrics(upstream: string, target: string): TargetMetrics {
    const key = JSON.stringify([upstream, target])
    let metrics = this.#targets.get(key)
    if (metrics === undefined) {
      if (this.#targets.size >= mostSeries) return this.#otherTargets
      metrics = new TargetMetrics(upstream, target)
      this.#targets.set(key, metrics)
    }
    return metrics
  }

  pluginFault(plugin: string, phase: string, kind: string): void {
    const key = `${plugin} ${phase} ${kind}`
    const fault = this.#pluginFaults.get(key)
    if (fault !== undefined) fault[3]++
    else this.#pluginFaults.set(key, [plugin, phase, kind, 1])
  }

  /** Everything, serialised for the primary. Times of lag and utilisation begin anew. */
  report(): Uint8Array {
    const routes = [...this.#routes.values(), this.#otherRoutes].map((metrics) => metrics.report())
    const targets = [...this.#targets.values(), this.#otherTargets].map((metrics) => metrics.report())
    const memory = process.memoryUsage()
    const cpu = process.cpuUsage()
    return packReport({
      run: this.#run,
      snapshot: this.snapshot,
      routes: routes.filter((route) => route !== null),
      targets: targets.filter(({ classes }) => classes.some((count) => count > 0)),
      connections: this.#connections(),
      pluginFaults: [...this.#pluginFaults.values()],
      requestsInFlight: this.sources.requestsInFlight(),
      downstreamOpen: this.sources.downstreamConnections(),
      downstreamOpened: this.downstreamOpened,
      accessLogDropped: this.sources.accessLogDropped(),
      lag: this.#lagSince(),
      utilization: this.#utilizationSince(),
      residentBytes: memory.rss,
      heapBytes: memory.heapUsed,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      instruments: this.instruments.report(),
      rankings: this.instruments.rankings(),
    })
  }

  /** Stops what it measures by itself. */
  close(): void {
    this.#lag.disable()
  }

  /** Makes the counts of a route that neither this snapshot nor the one before has part of `_other`. */
  #makeRoom(): boolean {
    for (const [key, metrics] of this.#routes) {
      if (metrics.generation >= this.#generation - 1) continue
      this.#otherRoutes.absorb(metrics)
      this.#routes.delete(key)
      return true
    }
    return false
  }

  /** A reload may put a new client in the place of one: its count begins at 0, ours goes on. */
  #connections(): ConnectionsReport[] {
    return [...added(this.sources.upstreamConnections())].map((connections) => {
      const key = JSON.stringify([connections.upstream, connections.target])
      const opened = this.#opened.get(key) ?? { last: 0, before: 0 }
      if (connections.opened < opened.last) opened.before += opened.last
      opened.last = connections.opened
      this.#opened.set(key, opened)
      return { ...connections, opened: opened.before + opened.last }
    })
  }

  #lagSince(): [number, number, number] {
    const seconds = (nanoseconds: number): number => Math.max(nanoseconds / 1e9 - lagResolution / 1e3, 0)
    const lag = this.#lag
    const report: [number, number, number] =
      lag.count === 0 ? [0, 0, 0] : [seconds(lag.percentile(50)), seconds(lag.percentile(99)), seconds(lag.max)]
    lag.reset()
    return report
  }

  #utilizationSince(): number {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, this.#utilization)
    this.#utilization = now
    return Number.isFinite(utilization) ? utilization : 0
  }
}

/** While a reload lets old connections run out, a target has two clients: one row for both. */
function added(rows: Iterable<UpstreamConnections>): Iterable<UpstreamConnections> {
  const sums = new Map<string, UpstreamConnections>()
  for (const row of rows) {
    const key = JSON.stringify([row.upstream, row.target])
    const sum = sums.get(key)
    sums.set(
      key,
      sum === undefined
        ? row
        : {
            upstream: row.upstream,
            target: row.target,
            open: sum.open + row.open,
            idle: sum.idle + row.idle,
            waiting: sum.waiting + row.waiting,
            opened: sum.opened + row.opened,
          },
    )
  }
  return sums.values()
}
