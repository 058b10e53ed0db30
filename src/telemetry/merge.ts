import type { WorkerReport } from '../core/messages.ts'
import { Exposition } from './exposition.ts'
import { type BusyKey, busiestKeys } from './instrument-totals.ts'
import type { InstrumentReport } from './instruments.ts'
import { type Report, unpackReport } from './report.ts'
import { type Durations, Totals } from './totals.ts'

/** What only the primary knows. */
export interface GatewayFacts {
  /** Of Sluice. */
  readonly version: string
  readonly workersWanted: number
  readonly workersAlive: number
  /** Workers whose figures are missing because they did not answer in time. */
  readonly workersMissing: number
  readonly workerRestarts: number
  readonly configVersion: number
  readonly configHash: string
  /** Seconds since the configuration came into force. */
  readonly configAge: number
  /** Whether the last attempt to reload succeeded; true when there was none. */
  readonly lastReloadOk: boolean
}

/**
 * The figures of all workers as one: counters that never go backwards, whoever dies. What a dead worker had counted up
 * to its last report stays in the sums.
 */
export class MetricsMerger {
  /** By process id. */
  readonly #live = new Map<number, Report>()
  /** All dead workers together. */
  #dead: Report | null = null

  /** Takes the latest reports. Workers that have none keep the one before. */
  take(reports: readonly WorkerReport[]): void {
    for (const { pid, metrics } of reports) {
      const report = unpackReport(metrics)
      if (this.#live.has(pid) && this.#live.get(pid)?.run !== report.run) this.retire(pid)
      this.#live.set(pid, report)
    }
  }

  /** A worker is gone. */
  retire(pid: number): void {
    const report = this.#live.get(pid)
    if (report === undefined) return
    this.#live.delete(pid)
    const totals = new Totals()
    if (this.#dead !== null) totals.add(this.#dead, false)
    totals.add(report, false)
    this.#dead = totals.report()
  }

  /** Everything in the Prometheus text format. `own`: what the instruments of the primary itself say. */
  text(facts: GatewayFacts, own: readonly InstrumentReport[] = []): string {
    const totals = new Totals()
    if (this.#dead !== null) totals.add(this.#dead, false)
    for (const report of this.#live.values()) totals.add(report, true)
    totals.instruments.add(own, true)
    return exposed(totals, facts)
  }

  /** The busiest keys of a ranking over all workers, most frequent first. */
  busiestKeys(ranking: string, most: number): BusyKey[] {
    return busiestKeys(
      [...this.#live.values()].flatMap(({ rankings }) => rankings),
      ranking,
      most,
    )
  }
}

/** The reports of workers in the Prometheus text format, without memory of those that are gone. */
export function mergeReports(reports: readonly WorkerReport[], facts: GatewayFacts): string {
  const merger = new MetricsMerger()
  merger.take(reports)
  return merger.text(facts)
}

/** Upper bounds of the buckets, in seconds. */
const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const quantiles = [0.5, 0.95, 0.99]
const classNames = ['none', '1xx', '2xx', '3xx', '4xx', '5xx']

function exposed(totals: Totals, facts: GatewayFacts): string {
  const out = new Exposition()
  exposeGateway(out, totals, facts)
  exposeRequests(out, totals)
  exposeUpstreams(out, totals)
  exposeProcesses(out, totals)
  totals.instruments.expose(out)
  return out.toString()
}

function exposeGateway(out: Exposition, { snapshots }: Totals, facts: GatewayFacts): void {
  out.metric('sluice_build_info', 'gauge', 'Version of Sluice and of Node.js, always 1.')
  out.sample('sluice_build_info', ['version', facts.version, 'node', process.version], 1)
  out.single('sluice_workers_wanted', 'gauge', 'Worker processes that should run.', facts.workersWanted)
  out.single('sluice_workers_alive', 'gauge', 'Worker processes that run.', facts.workersAlive)
  out.single(
    'sluice_workers_missing',
    'gauge',
    'Workers whose figures are missing here or not the latest.',
    facts.workersMissing,
  )
  out.single(
    'sluice_workers_current',
    'gauge',
    'Workers that serve the current configuration.',
    snapshots.filter((snapshot) => snapshot === facts.configVersion).length,
  )
  out.single('sluice_worker_restarts_total', 'counter', 'Workers forked in place of dead ones.', facts.workerRestarts)
  out.single(
    'sluice_config_version',
    'gauge',
    'Number of the configuration in force, counted from the start.',
    facts.configVersion,
  )
  out.metric('sluice_config_info', 'gauge', 'Hash of the configuration in force, always 1.')
  out.sample('sluice_config_info', ['hash', facts.configHash], 1)
  out.single('sluice_config_age_seconds', 'gauge', 'Time since the configuration came into force.', facts.configAge)
  out.single(
    'sluice_config_last_reload_success',
    'gauge',
    '1 unless the last reload failed.',
    facts.lastReloadOk ? 1 : 0,
  )
}

function exposeRequests(out: Exposition, totals: Totals): void {
  const routes = [...totals.routes.values()]
  out.metric(
    'sluice_requests_total',
    'counter',
    'Requests that are over, by route and status; status 0: no answer was sent.',
  )
  for (const { route, upstream, statuses } of routes) {
    for (const [status, count] of [...statuses].sort(([a], [b]) => a - b)) {
      const statusClass = classNames[Math.floor(status / 100)] ?? 'none'
      const labels = ['route', route, 'upstream', upstream, 'status', String(status), 'status_class', statusClass]
      out.sample('sluice_requests_total', labels, count)
    }
  }
  out.metric('sluice_request_failures_total', 'counter', 'Requests that did not go well, by reason.')
  for (const { route, upstream, failures } of routes) {
    for (const [reason, count] of failures) {
      out.sample('sluice_request_failures_total', ['route', route, 'upstream', upstream, 'reason', reason], count)
    }
  }
  out.metric('sluice_request_duration_seconds', 'histogram', 'From the request head to the end of the answer.')
  for (const { route, upstream, duration } of routes) {
    exposeHistogram(out, 'sluice_request_duration_seconds', ['route', route, 'upstream', upstream], duration)
  }
  out.metric(
    'sluice_request_duration_quantile_seconds',
    'gauge',
    'Quantiles of the same since the start; for those of a period use the histogram.',
  )
  for (const { route, upstream, duration } of routes) {
    for (const quantile of quantiles) {
      const value = duration.histogram.getValueAtPercentile(quantile * 100) / 1e6
      const labels = ['route', route, 'upstream', upstream, 'quantile', String(quantile)]
      out.sample('sluice_request_duration_quantile_seconds', labels, value)
    }
  }
  out.metric(
    'sluice_upstream_duration_seconds',
    'histogram',
    'From sending a request upstream to the head of the response.',
  )
  for (const { route, upstream, upstreamDuration } of routes) {
    if (upstreamDuration.count === 0) continue
    exposeHistogram(out, 'sluice_upstream_duration_seconds', ['route', route, 'upstream', upstream], upstreamDuration)
  }
  out.metric('sluice_request_bytes_total', 'counter', 'Bytes of request bodies.')
  for (const { route, upstream, bytesIn } of routes) {
    out.sample('sluice_request_bytes_total', ['route', route, 'upstream', upstream], bytesIn)
  }
  out.metric('sluice_response_bytes_total', 'counter', 'Bytes of response bodies.')
  for (const { route, upstream, bytesOut } of routes) {
    out.sample('sluice_response_bytes_total', ['route', route, 'upstream', upstream], bytesOut)
  }
  out.single('sluice_requests_in_flight', 'gauge', 'Requests that are not over.', totals.requestsInFlight)
  out.single('sluice_connections_open', 'gauge', 'Open connections of clients.', totals.downstreamOpen)
  out.single('sluice_connections_total', 'counter', 'Connections accepted from clients.', totals.downstreamOpened)
  out.metric('sluice_plugin_faults_total', 'counter', 'Plugin steps that failed, took too long or decided nonsense.')
  for (const [plugin, phase, kind, count] of totals.pluginFaults.values()) {
    out.sample('sluice_plugin_faults_total', ['plugin', plugin, 'phase', phase, 'kind', kind], count)
  }
  out.single(
    'sluice_access_log_dropped_total',
    'counter',
    'Lines that the access log had no room for.',
    totals.accessLogDropped,
  )
}

function exposeHistogram(out: Exposition, name: string, labels: readonly string[], durations: Durations): void {
  const pairs = durations.pairs()
  let count = 0
  let next = 0
  for (const bound of bounds) {
    for (; next < pairs.length && (pairs[next] as number) <= bound * 1e6; next += 2) count += pairs[next + 1] as number
    out.sample(`${name}_bucket`, [...labels, 'le', String(bound)], count)
  }
  out.sample(`${name}_bucket`, [...labels, 'le', '+Inf'], durations.count)
  out.sample(`${name}_sum`, labels, durations.sum / 1000)
  out.sample(`${name}_count`, labels, durations.count)
}

function exposeUpstreams(out: Exposition, totals: Totals): void {
  const connections = [...totals.connections.values()]
  out.metric('sluice_upstream_connections_open', 'gauge', 'Open connections to a target.')
  for (const { upstream, target, open, idle } of connections) {
    out.sample(
      'sluice_upstream_connections_open',
      ['upstream', upstream, 'target', target, 'state', 'busy'],
      open - idle,
    )
    out.sample('sluice_upstream_connections_open', ['upstream', upstream, 'target', target, 'state', 'idle'], idle)
  }
  out.metric('sluice_upstream_connections_total', 'counter', 'Connections opened to a target.')
  for (const { upstream, target, opened } of connections) {
    out.sample('sluice_upstream_connections_total', ['upstream', upstream, 'target', target], opened)
  }
  out.metric('sluice_upstream_requests_waiting', 'gauge', 'Requests that wait for a connection to a target.')
  for (const { upstream, target, waiting } of connections) {
    out.sample('sluice_upstream_requests_waiting', ['upstream', upstream, 'target', target], waiting)
  }
  out.metric(
    'sluice_upstream_requests_total',
    'counter',
    'Attempts at a target by class of the status; none: it did not answer.',
  )
  for (const { upstream, target, classes } of totals.targets.values()) {
    classes.forEach((count, i) => {
      if (count === 0) return
      const labels = ['upstream', upstream, 'target', target, 'status_class', classNames[i] as string]
      out.sample('sluice_upstream_requests_total', labels, count)
    })
  }
}

function exposeProcesses(out: Exposition, totals: Totals): void {
  out.metric(
    'sluice_event_loop_lag_seconds',
    'gauge',
    'By how much timers came late since the last look, on the worst worker.',
  )
  ;['0.5', '0.99', '1'].forEach((quantile, i) => {
    out.sample('sluice_event_loop_lag_seconds', ['quantile', quantile], totals.lag[i] as number)
  })
  out.metric(
    'sluice_event_loop_utilization_ratio',
    'gauge',
    'Share of time since the last look in which workers were busy.',
  )
  const { utilizations } = totals
  if (utilizations.length > 0) {
    const mean = utilizations.reduce((sum, value) => sum + value, 0) / utilizations.length
    out.sample('sluice_event_loop_utilization_ratio', ['worker', 'mean'], mean)
    out.sample('sluice_event_loop_utilization_ratio', ['worker', 'busiest'], Math.max(...utilizations))
  }
  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  out.metric('sluice_process_resident_bytes', 'gauge', 'Memory in use, of the primary and of all workers together.')
  out.sample('sluice_process_resident_bytes', ['process', 'primary'], memory.rss)
  out.sample('sluice_process_resident_bytes', ['process', 'workers'], totals.residentBytes)
  out.metric('sluice_process_heap_bytes', 'gauge', 'Of that, JavaScript objects.')
  out.sample('sluice_process_heap_bytes', ['process', 'primary'], memory.heapUsed)
  out.sample('sluice_process_heap_bytes', ['process', 'workers'], totals.heapBytes)
  out.metric('sluice_process_cpu_seconds_total', 'counter', 'Time that the processors spent.')
  out.sample('sluice_process_cpu_seconds_total', ['process', 'primary'], (cpu.user + cpu.system) / 1e6)
  out.sample('sluice_process_cpu_seconds_total', ['process', 'workers'], totals.cpuSeconds)
}
