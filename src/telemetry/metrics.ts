/**
 * What the gateway counts. A worker counts for itself, in numbers and typed arrays (`WorkerMetrics`), and reports when
 * it is asked; the primary adds the reports up and writes them in the Prometheus text format (`MetricsMerger`).
 */
export type { BusyKey } from './instrument-totals.ts'
export { InstrumentSet } from './instruments.ts'
export { type GatewayFacts, MetricsMerger, mergeReports } from './merge.ts'
export { RouteMetrics, type Sources, TargetMetrics, type UpstreamConnections, WorkerMetrics } from './worker-metrics.ts'
