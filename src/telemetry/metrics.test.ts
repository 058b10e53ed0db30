import assert from 'node:assert/strict'
import { describe, expect, test } from 'vitest'
import type { WorkerReport } from '../core/messages.ts'
import { type GatewayFacts, InstrumentSet, MetricsMerger, mergeReports, WorkerMetrics } from './metrics.ts'
import { unpackReport } from './report.ts'

const facts: GatewayFacts = {
  version: '1.2.3',
  workersWanted: 3,
  workersAlive: 2,
  workersMissing: 1,
  workerRestarts: 4,
  configVersion: 7,
  configHash: 'abc',
  configAge: 12.5,
  lastReloadOk: false,
}

let pid = 1000

/** A worker of its own, though in this process. */
function worker() {
  const metrics = new WorkerMetrics()
  metrics.close()
  const id = pid++
  const report = (): WorkerReport => ({ pid: id, version: metrics.snapshot, metrics: metrics.report() })
  return { metrics, report, pid: id }
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/**
 * Reads the Prometheus text format 0.0.4 strictly: HELP and TYPE before a metric's samples, all samples of a metric
 * together, no sample twice, label values escaped, histograms cumulative and complete.
 */
function parse(text: string): Sample[] {
  const samples: Sample[] = []
  const seen = new Set<string>()
  const types = new Map<string, string>()
  let current = ''
  assert(text.endsWith('\n'))
  const lines = text.split('\n').slice(0, -1)
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string
    const help = /^# HELP (\S+) \S.*$/.exec(line)
    if (help !== null) {
      current = help[1] as string
      assert(!types.has(current), `${current} begins twice`)
      const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(lines[++i] ?? '')
      assert.equal(type?.[1], current)
      types.set(current, type?.[2] as string)
      continue
    }
    const match = /^(sluice_[a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    assert(match !== null, `not a sample: ${line}`)
    const [, name = '', labelText = '', number = ''] = match
    const metric = types.get(current) === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name
    assert.equal(metric, current, `${name} stands with ${current}`)
    assert(types.get(current) !== 'counter' || name.endsWith('_total'), name)
    assert(!seen.has(`${name}{${labelText}}`), `${line} stands twice`)
    seen.add(`${name}{${labelText}}`)
    const value = number === '+Inf' ? Infinity : Number(number)
    assert(!Number.isNaN(value), line)
    samples.push({ name, labels: parseLabels(labelText), value })
  }
  for (const [name, type] of types) if (type === 'histogram') checkHistogram(name, samples)
  return samples
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const match = /^([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest)
    assert(match !== null, `labels: ${rest}`)
    const [whole, name = '', value = ''] = match
    assert.equal(labels[name], undefined)
    labels[name] = value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
    rest = rest.slice(whole.length)
  }
  return labels
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const rows = new Map<string, { buckets: [number, number][]; sum?: number; count?: number }>()
  for (const { name: of, labels, value } of samples) {
    const { le, ...series } = labels
    const key = JSON.stringify(series)
    const row = rows.get(key) ?? { buckets: [] }
    if (of === `${name}_bucket`) row.buckets.push([le === '+Inf' ? Infinity : Number(le), value])
    else if (of === `${name}_sum`) row.sum = value
    else if (of === `${name}_count`) row.count = value
    else continue
    rows.set(key, row)
  }
  for (const { buckets, sum, count } of rows.values()) {
    for (let i = 1; i < buckets.length; i++) {
      const [[le, value], [nextLe, nextValue]] = [buckets[i - 1], buckets[i]] as [[number, number], [number, number]]
      assert(le < nextLe && value <= nextValue, `${name} is not cumulative`)
    }
    assert.deepEqual(buckets.at(-1), [Infinity, count])
    assert(sum !== undefined && sum >= 0)
  }
}

function valueOf(
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )
  return found.length === 0 ? undefined : found.reduce((sum, sample) => sum + sample.value, 0)
}

describe('mergeReports', () => {
  test('adds the workers up', () => {
    const [a, b] = [worker(), worker()]
    const users = { route: 'users', upstream: 'backend' }
    a.metrics.routeMetrics('users', 'backend').record(200, 1.5, 1, 10, 100, '')
    a.metrics.routeMetrics('users', 'backend').record(200, 3, 2.5, 20, 200, '')
    b.metrics.routeMetrics('users', 'backend').record(502, 40, 38, 0, 50, 'upstream_connection_refused')
    b.metrics.routeMetrics('health', '').record(200, 0.05, -1, 0, 2, '')
    b.metrics.routeMetrics('', '').record(404, 0.1, -1, 0, 5, 'route_not_found')
    b.metrics.routeMetrics('users', 'backend').record(0, 7, -1, 0, 0, 'client_closed')
    const samples = parse(mergeReports([a.report(), b.report()], facts))

    expect(valueOf(samples, 'sluice_requests_total')).toBe(6)
    expect(valueOf(samples, 'sluice_requests_total', { ...users, status: '200', status_class: '2xx' })).toBe(2)
    expect(valueOf(samples, 'sluice_requests_total', { ...users, status: '502', status_class: '5xx' })).toBe(1)
    expect(valueOf(samples, 'sluice_requests_total', { ...users, status: '0', status_class: 'none' })).toBe(1)
    expect(valueOf(samples, 'sluice_requests_total', { route: '_unmatched', status: '404' })).toBe(1)
    expect(valueOf(samples, 'sluice_request_failures_total', { ...users, reason: 'client_closed' })).toBe(1)
    expect(valueOf(samples, 'sluice_request_failures_total')).toBe(3)
    expect(valueOf(samples, 'sluice_request_bytes_total', users)).toBe(30)
    expect(valueOf(samples, 'sluice_response_bytes_total', users)).toBe(350)

    const bucket = (le: string) => valueOf(samples, 'sluice_request_duration_seconds_bucket', { ...users, le })
    expect(['0.001', '0.0025', '0.005', '0.01', '0.025', '0.05', '+Inf'].map(bucket)).toEqual([0, 1, 2, 3, 3, 4, 4])
    expect(valueOf(samples, 'sluice_request_duration_seconds_sum', users)).toBeCloseTo(0.0515, 10)
    expect(valueOf(samples, 'sluice_request_duration_seconds_count', users)).toBe(4)
    expect(valueOf(samples, 'sluice_upstream_duration_seconds_count', users)).toBe(3)
    expect(valueOf(samples, 'sluice_upstream_duration_seconds_count', { route: 'health' })).toBeUndefined()
    const quantile = valueOf(samples, 'sluice_request_duration_quantile_seconds', {
      ...users,
      quantile: '0.99',
    }) as number
    expect(Math.abs(quantile - 0.04)).toBeLessThan(0.0004)
  })

  test('says what only the primary knows', () => {
    const current = worker()
    current.metrics.snapshot = 7
    const samples = parse(mergeReports([current.report(), worker().report()], facts))
    expect(valueOf(samples, 'sluice_build_info', { version: '1.2.3' })).toBe(1)
    expect(valueOf(samples, 'sluice_workers_wanted')).toBe(3)
    expect(valueOf(samples, 'sluice_workers_alive')).toBe(2)
    expect(valueOf(samples, 'sluice_workers_missing')).toBe(1)
    expect(valueOf(samples, 'sluice_workers_current')).toBe(1)
    expect(valueOf(samples, 'sluice_worker_restarts_total')).toBe(4)
    expect(valueOf(samples, 'sluice_config_version')).toBe(7)
    expect(valueOf(samples, 'sluice_config_info', { hash: 'abc' })).toBe(1)
    expect(valueOf(samples, 'sluice_config_age_seconds')).toBe(12.5)
    expect(valueOf(samples, 'sluice_config_last_reload_success')).toBe(0)
  })

  test('has nothing of workers when there are none', () => {
    const samples = parse(mergeReports([], facts))
    expect(valueOf(samples, 'sluice_requests_total')).toBeUndefined()
    expect(valueOf(samples, 'sluice_requests_in_flight')).toBe(0)
  })

  test('shows connections, attempts, faults, lag and memory', () => {
    const [a, b] = [worker(), worker()]
    for (const { metrics } of [a, b]) {
      metrics.sources = {
        upstreamConnections: () => [
          { upstream: 'backend', target: '10.0.0.1:80', open: 5, idle: 2, waiting: 1, opened: 9 },
          // The client of a snapshot before, still running out.
          { upstream: 'backend', target: '10.0.0.1:80', open: 1, idle: 0, waiting: 0, opened: 3 },
        ],
        requestsInFlight: () => 4,
        downstreamConnections: () => 6,
        accessLogDropped: () => 2,
      }
      metrics.downstreamOpened = 10
      metrics.pluginFault('tenant', 'access', 'timeout')
      metrics.targetMetrics('backend', '10.0.0.1:80').record(200)
      metrics.targetMetrics('backend', '10.0.0.1:80').record(503)
      metrics.targetMetrics('backend', '10.0.0.1:80').record(0)
    }
    a.metrics.pluginFault('tenant', 'access', 'timeout')
    const samples = parse(mergeReports([a.report(), b.report()], facts))
    const target = { upstream: 'backend', target: '10.0.0.1:80' }
    expect(valueOf(samples, 'sluice_upstream_connections_open', { ...target, state: 'busy' })).toBe(8)
    expect(valueOf(samples, 'sluice_upstream_connections_open', { ...target, state: 'idle' })).toBe(4)
    expect(valueOf(samples, 'sluice_upstream_connections_total', target)).toBe(24)
    expect(valueOf(samples, 'sluice_upstream_requests_waiting', target)).toBe(2)
    expect(valueOf(samples, 'sluice_upstream_requests_total', { ...target, status_class: '2xx' })).toBe(2)
    expect(valueOf(samples, 'sluice_upstream_requests_total', { ...target, status_class: 'none' })).toBe(2)
    expect(valueOf(samples, 'sluice_upstream_requests_total', { ...target, status_class: '5xx' })).toBe(2)
    expect(valueOf(samples, 'sluice_requests_in_flight')).toBe(8)
    expect(valueOf(samples, 'sluice_connections_open')).toBe(12)
    expect(valueOf(samples, 'sluice_connections_total')).toBe(20)
    expect(valueOf(samples, 'sluice_access_log_dropped_total')).toBe(4)
    expect(valueOf(samples, 'sluice_plugin_faults_total', { plugin: 'tenant', phase: 'access', kind: 'timeout' })).toBe(
      3,
    )
    expect(valueOf(samples, 'sluice_event_loop_lag_seconds', { quantile: '0.99' })).toBeGreaterThanOrEqual(0)
    expect(valueOf(samples, 'sluice_process_resident_bytes', { process: 'workers' })).toBeGreaterThan(1e6)
    expect(valueOf(samples, 'sluice_process_cpu_seconds_total', { process: 'primary' })).toBeGreaterThan(0)
  })

  test('escapes names', () => {
    const one = worker()
    const route = 'a "b" \\ c\nd'
    one.metrics.routeMetrics(route, 'u').record(200, 1, -1, 0, 0, '')
    const samples = parse(mergeReports([one.report()], facts))
    expect(valueOf(samples, 'sluice_requests_total', { route })).toBe(1)
  })

  test('gives a status that is none no row of its own', () => {
    const one = worker()
    one.metrics.routeMetrics('a', 'u').record(999, 1, -1, 0, 0, '')
    one.metrics.targetMetrics('u', 't').record(999)
    const samples = parse(mergeReports([one.report()], facts))
    expect(valueOf(samples, 'sluice_requests_total', { status: '0' })).toBe(1)
    expect(valueOf(samples, 'sluice_upstream_requests_total', { status_class: 'none' })).toBe(1)
  })
})

describe('MetricsMerger', () => {
  const total = (merger: MetricsMerger, name: string) => valueOf(parse(merger.text(facts)), name)

  test('keeps what dead workers counted', () => {
    const merger = new MetricsMerger()
    const [a, b] = [worker(), worker()]
    for (const { metrics } of [a, b]) {
      metrics.routeMetrics('users', 'backend').record(200, 2, 1, 1, 1, 'x')
      metrics.targetMetrics('backend', 't').record(200)
      metrics.sources = {
        ...metrics.sources,
        requestsInFlight: () => 3,
        upstreamConnections: () => [{ upstream: 'u', target: 't', open: 1, idle: 1, waiting: 0, opened: 5 }],
      }
    }
    merger.take([a.report(), b.report()])
    const before = parse(merger.text(facts))
    merger.retire(a.pid)
    merger.retire(a.pid)
    const after = parse(merger.text(facts))
    for (const { name, labels, value } of before) {
      if (!/_(total|bucket|sum|count)$/.test(name) || name.includes('process_cpu')) continue
      expect(valueOf(after, name, labels), name).toBe(valueOf(before, name, labels))
      expect(value).toBeGreaterThanOrEqual(0)
    }
    expect(valueOf(after, 'sluice_requests_in_flight')).toBe(3)
    expect(valueOf(after, 'sluice_upstream_connections_open')).toBe(1)

    const successor = worker()
    successor.metrics.routeMetrics('users', 'backend').record(200, 2, 1, 1, 1, '')
    merger.take([successor.report()])
    expect(total(merger, 'sluice_requests_total')).toBe(3)
    merger.retire(b.pid)
    merger.retire(successor.pid)
    expect(total(merger, 'sluice_requests_total')).toBe(3)
    expect(total(merger, 'sluice_request_duration_seconds_count')).toBe(3)
    expect(total(merger, 'sluice_requests_in_flight')).toBe(0)
    expect(total(merger, 'sluice_event_loop_utilization_ratio')).toBeUndefined()
  })

  test('goes on with the last report of a worker that does not answer', () => {
    const merger = new MetricsMerger()
    const [a, b] = [worker(), worker()]
    a.metrics.routeMetrics('users', 'u').record(200, 2, 1, 1, 1, '')
    merger.take([a.report(), b.report()])
    b.metrics.routeMetrics('users', 'u').record(200, 2, 1, 1, 1, '')
    merger.take([b.report()])
    expect(total(merger, 'sluice_requests_total')).toBe(2)
  })

  test('knows a new worker that got the process id of a dead one', () => {
    const merger = new MetricsMerger()
    const [a, b] = [worker(), worker()]
    a.metrics.routeMetrics('users', 'u').record(200, 2, 1, 1, 1, '')
    const report = a.report()
    merger.take([report])
    // Both run in this process: the run is told by hand.
    const text = Buffer.from(b.report().metrics).toString('latin1')
    const { run } = unpackReport(b.report().metrics)
    const other = Buffer.from(
      text.replace(
        run,
        run.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10)),
      ),
      'latin1',
    )
    merger.take([{ pid: a.pid, version: 0, metrics: other }])
    expect(total(merger, 'sluice_requests_total')).toBe(1)
  })
})

describe('instruments', () => {
  const seconds = [0.001, 0.01, 0.1]

  test('of all workers and of the primary are one', () => {
    const merger = new MetricsMerger()
    const [a, b] = [worker(), worker()]
    const own = new InstrumentSet()
    for (const [set, count] of [
      [a.metrics.instruments, 1],
      [b.metrics.instruments, 2],
      [own, 4],
    ] as const) {
      set.counter('sluice_things_total', 'Things.', ['kind', 'a "b"\n']).add(count)
      set.counter('sluice_things_total', 'Things.', ['kind', 'never'])
      set.gauge('sluice_leases_open', 'Leases.', [], 'sum', () => count)
      set.gauge('sluice_age_seconds', 'Age.', [], 'max', () => -count)
      const calls = set.distribution('sluice_call_seconds', 'Calls.', seconds, ['store', 'redis'])
      for (const value of [0.001, 0.0011, 0.05, 7]) calls.record(value * count)
    }
    merger.take([a.report(), b.report()])
    const samples = parse(merger.text(facts, own.report()))
    expect(valueOf(samples, 'sluice_things_total', { kind: 'a "b"\n' })).toBe(7)
    expect(valueOf(samples, 'sluice_things_total', { kind: 'never' })).toBe(0)
    expect(valueOf(samples, 'sluice_leases_open')).toBe(7)
    expect(valueOf(samples, 'sluice_age_seconds')).toBe(-1)
    const bucket = (le: string) => valueOf(samples, 'sluice_call_seconds_bucket', { store: 'redis', le })
    expect(['0.001', '0.01', '0.1', '+Inf'].map(bucket)).toEqual([1, 6, 8, 12])
    expect(valueOf(samples, 'sluice_call_seconds_sum', { store: 'redis' })).toBeCloseTo(7 * 7.0521, 10)
    expect(valueOf(samples, 'sluice_call_seconds_count', { store: 'redis' })).toBe(12)
  })

  test('of dead workers stay, but for gauges', () => {
    const merger = new MetricsMerger()
    for (const { metrics, report, pid: id } of [worker(), worker(), worker()]) {
      metrics.instruments.counter('sluice_things_total', 'Things.').add(2)
      metrics.instruments.gauge('sluice_leases_open', 'Leases.', [], 'sum', () => 5)
      metrics.instruments.distribution('sluice_call_seconds', 'Calls.', seconds).record(0.05)
      merger.take([report()])
      merger.retire(id)
    }
    const samples = parse(merger.text(facts))
    expect(valueOf(samples, 'sluice_things_total')).toBe(6)
    expect(valueOf(samples, 'sluice_leases_open')).toBeUndefined()
    expect(valueOf(samples, 'sluice_call_seconds_bucket', { le: '0.01' })).toBe(0)
    expect(valueOf(samples, 'sluice_call_seconds_bucket', { le: '0.1' })).toBe(3)
    expect(valueOf(samples, 'sluice_call_seconds_sum')).toBeCloseTo(0.15, 10)
  })

  test('that contradict each other do not spoil the rest', () => {
    const merger = new MetricsMerger()
    const [a, b] = [worker(), worker()]
    a.metrics.instruments.counter('sluice_things_total', 'Things.').add(2)
    b.metrics.instruments.gauge('sluice_things_total', 'Things.', [], 'sum', () => 3)
    a.metrics.instruments.distribution('sluice_call_seconds', 'Calls.', seconds).record(1)
    b.metrics.instruments.distribution('sluice_call_seconds', 'Calls.', [1, 2]).record(1)
    merger.take([a.report(), b.report()])
    const samples = parse(merger.text(facts))
    expect(valueOf(samples, 'sluice_things_total')).toBe(2)
    expect(valueOf(samples, 'sluice_call_seconds_count')).toBe(1)
  })

  test('name the busiest keys over all workers', () => {
    const merger = new MetricsMerger()
    const [a, b] = [worker(), worker()]
    for (const { metrics } of [a, b]) {
      const users = metrics.instruments.ranking('limits', ['route', 'users', 'limit', 'per-user'])
      for (let i = 0; i < 30; i++) users.note('ann', i / 30, false)
      for (let i = 0; i < 10; i++) users.note('bob', 1, i >= 5)
      metrics.instruments.ranking('limits', ['route', 'orders', 'limit', 'all']).note('', 0.5, false)
      metrics.instruments.ranking('others', []).note('x', 0.5, false)
    }
    b.metrics.instruments.ranking('limits', ['route', 'users', 'limit', 'per-user']).note('ann', 0.25, false)
    merger.take([a.report(), b.report()])
    const labels = { route: 'users', limit: 'per-user' }
    expect(merger.busiestKeys('limits', 3)).toEqual([
      { labels, key: 'ann', share: 0.753, refused: 0, saturation: 0.967 },
      { labels, key: 'bob', share: 0.247, refused: 0.5, saturation: 1 },
      { labels: { route: 'orders', limit: 'all' }, key: '', share: 1, refused: 0, saturation: 0.5 },
    ])
    expect(merger.busiestKeys('limits', 1)).toHaveLength(1)
    merger.retire(a.pid)
    merger.retire(b.pid)
    expect(merger.busiestKeys('limits', 3)).toEqual([])
  })
})

describe('WorkerMetrics', () => {
  test('gives a route of the same name and upstream the same counters', () => {
    const { metrics } = worker()
    expect(metrics.routeMetrics('a', 'u')).toBe(metrics.routeMetrics('a', 'u'))
    expect(metrics.routeMetrics('a', 'u')).not.toBe(metrics.routeMetrics('a', 'v'))
    expect(metrics.targetMetrics('u', 't')).toBe(metrics.targetMetrics('u', 't'))
  })

  test('has a thousand series, the rest share one', () => {
    const one = worker()
    for (let i = 0; i < 1500; i++) {
      one.metrics.routeMetrics(`route-${i}`, 'u').record(200, 1, -1, 0, 0, '')
      one.metrics.targetMetrics('u', `t-${i}`).record(200)
    }
    const samples = parse(mergeReports([one.report()], facts))
    expect(valueOf(samples, 'sluice_requests_total')).toBe(1500)
    expect(valueOf(samples, 'sluice_requests_total', { route: '_other', upstream: '_other' })).toBe(500)
    expect(valueOf(samples, 'sluice_upstream_requests_total', { target: '_other' })).toBe(500)
    expect(samples.filter(({ name }) => name === 'sluice_requests_total').length).toBe(1001)
  })

  test('makes room for new routes where old ones are gone, and loses no count', () => {
    const one = worker()
    for (let snapshot = 0; snapshot < 4; snapshot++) {
      one.metrics.beginSnapshot()
      for (let i = 0; i < 400; i++) one.metrics.routeMetrics(`${snapshot}-${i}`, 'u').record(200, 300_000, 1, 1, 1, 'x')
    }
    const samples = parse(mergeReports([one.report()], facts))
    expect(valueOf(samples, 'sluice_requests_total')).toBe(1600)
    expect(valueOf(samples, 'sluice_request_failures_total')).toBe(1600)
    expect(valueOf(samples, 'sluice_upstream_duration_seconds_count')).toBe(1600)
    expect(valueOf(samples, 'sluice_requests_total', { route: '3-399' })).toBe(1)
    expect(valueOf(samples, 'sluice_requests_total', { route: '_other' })).toBe(600)
  })

  test('bounds the reasons that it tells apart', () => {
    const one = worker()
    for (let i = 0; i < 300; i++) one.metrics.routeMetrics('a', 'u').record(500, 1, -1, 0, 0, `reason-${i}`)
    const samples = parse(mergeReports([one.report()], facts))
    expect(valueOf(samples, 'sluice_request_failures_total', { reason: '_other' })).toBe(100)
    expect(valueOf(samples, 'sluice_request_failures_total')).toBe(300)
  })

  test('counts connections on when a reload brings a new client', () => {
    const one = worker()
    let opened = 0
    one.metrics.sources = {
      ...one.metrics.sources,
      upstreamConnections: () => [{ upstream: 'u', target: 't', open: 0, idle: 0, waiting: 0, opened }],
    }
    const counted = [3, 5, 1, 2, 0, 4].map((now) => {
      opened = now
      return valueOf(parse(mergeReports([one.report()], facts)), 'sluice_upstream_connections_total')
    })
    expect(counted).toEqual([3, 5, 6, 7, 7, 11])
  })

  test('measures how late timers come', async () => {
    const metrics = new WorkerMetrics()
    try {
      let worst = 0
      // The first interval after a report only starts the measuring: it may take several.
      for (let tries = 0; worst < 0.1 && tries < 20; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        const end = performance.now() + 150
        while (performance.now() < end);
        await new Promise((resolve) => setTimeout(resolve, 50))
        const { lag } = unpackReport(metrics.report())
        expect(lag[0]).toBeLessThanOrEqual(lag[1])
        worst = lag[2]
      }
      expect(worst).toBeGreaterThan(0.1)
    } finally {
      metrics.close()
    }
  })
})
