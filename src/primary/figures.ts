import type { Config } from '../config/schema.ts'
import type { WorkerReport } from '../core/messages.ts'
import { InstrumentSet } from '../telemetry/instruments.ts'
import { type GatewayFacts, MetricsMerger } from '../telemetry/metrics.ts'
import { unpackReport } from '../telemetry/report.ts'
import { Totals } from '../telemetry/totals.ts'

export interface UpstreamStatus {
  readonly name: string
  readonly targets: readonly TargetStatus[]
}

/** Over all workers that report. */
export interface TargetStatus {
  readonly target: string
  readonly weight: number
  readonly connections: { readonly open: number; readonly idle: number; readonly waiting: number }
  /** Attempts since the start by class of the answer's status; `none`: there was no answer. */
  readonly attempts: Readonly<Record<string, number>>
}

const classNames = ['none', '1xx', '2xx', '3xx', '4xx', '5xx']

/** What workers report, added up. */
export class Figures {
  readonly #merger = new MetricsMerger()
  /** What is counted in this process. */
  readonly instruments = new InstrumentSet()
  readonly #latest = new Map<number, WorkerReport>()

  take(report: WorkerReport): void {
    this.#merger.take([report])
    this.#latest.set(report.pid, report)
  }

  /** A worker is gone: what it has counted stays. */
  retire(pid: number): void {
    this.#merger.retire(pid)
    this.#latest.delete(pid)
  }

  /** Prometheus text. */
  metrics(facts: GatewayFacts): string {
    return this.#merger.text(facts, this.instruments.report())
  }

  /** Whose limits in Redis are used up most, over all workers. */
  busiestKeys(): object[] {
    return this.#merger.busiestKeys('limits', 20)
  }

  upstreams({ upstreams }: Config): UpstreamStatus[] {
    const totals = new Totals()
    for (const { metrics } of this.#latest.values()) totals.add(unpackReport(metrics), true)
    return upstreams.map(({ name, targets }) => ({
      name,
      targets: targets.map(({ target, weight }) => {
        const key = JSON.stringify([name, target])
        const { open = 0, idle = 0, waiting = 0 } = totals.connections.get(key) ?? {}
        const classes = totals.targets.get(key)?.classes ?? []
        const attempts = Object.fromEntries(classNames.map((className, i) => [className, classes[i] ?? 0]))
        return { target, weight, connections: { open, idle, waiting }, attempts }
      }),
    }))
  }
}
