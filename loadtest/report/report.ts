import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sliceLength } from '../load/job.ts'
import { merged, type Tally } from '../load/tally.ts'
import type { Call, Ran } from '../run.ts'
import type { Scenario } from '../scenario.ts'
import { costOf } from '../verdict/cost.ts'
import { ownLagOf, recoveriesOf } from '../verdict/measure.ts'
import type { Verdict } from '../verdict/objective.ts'
import type { RunRecord } from '../verdict/record.ts'
import type { Machine } from './machine.ts'
import { passes } from './table.ts'

const perSecond = 1000 / sliceLength

/** What is kept of a run: all that it takes to understand it later, or elsewhere. */
export function reportOf(scenario: Scenario, ran: Ran, verdicts: readonly Verdict[], context: ReportContext): object {
  const { options, store } = context.call
  const { record } = ran
  return {
    scenario: scenario.name,
    proves: scenario.proves,
    began: context.began.toISOString(),
    smoke: options.smoke,
    passed: passes(verdicts),
    machine: context.machine,
    load: {
      seconds: ran.seconds,
      rate: ran.rate,
      capacity: record.capacity,
      connections: options.connections,
      processes: options.processes,
      own_lag_p99_ms: ownLagOf(record),
    },
    gateway:
      options.foreign === null
        ? { workers: options.workers, store, configuration: ran.configurationHash }
        : { url: options.foreign.url },
    cost: costOf(record),
    objectives: verdicts.map(({ objective, seen, unit, result, ownLag }) => ({
      objective: objective.name,
      at_least: objective.atLeast,
      at_most: objective.atMost,
      seen: seen === null || Number.isFinite(seen) ? seen : String(seen),
      unit,
      result,
      own_lag_ms: ownLag,
    })),
    phases: record.phases.map(({ tally, ...phase }) => ({ ...phase, ...figuresOf(tally), answers: tally.answers })),
    disturbances: recoveriesOf(record),
    reloads: record.reloads,
    writes: record.writes,
    seconds: secondsOf(record),
    complaints: ran.complaints,
  }
}

export interface ReportContext {
  readonly call: Call
  readonly machine: Machine
  readonly began: Date
}

/** Writes it; its path. */
export function keepReport(folder: string, scenario: string, began: Date, report: object): string {
  mkdirSync(folder, { recursive: true })
  const time = began
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(/[-:]/g, '')
  const path = join(folder, `${scenario}-${time}.json`)
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`)
  return path
}

function secondsOf({ slices, samples, phases }: RunRecord): object[] {
  return Array.from({ length: Math.ceil(slices.length / perSecond) }, (_, second) => {
    const tally = merged(slices.slice(second * perSecond, (second + 1) * perSecond).map((slice) => slice.data()))
    const sample = samples.find(({ at }) => at >= second + 1)
    return {
      second: second + 1,
      phase: phases.find(({ end }) => second < end)?.name ?? 'end',
      ...figuresOf(tally),
      rss_mb: sample === undefined ? null : Math.round(sample.resident / 2 ** 20),
      open_files: sample?.openFiles ?? null,
    }
  })
}

function figuresOf(tally: Tally): object {
  return {
    due: tally.due,
    ...tally.counts,
    p50_ms: tally.servedTime(50),
    p99_ms: tally.servedTime(99),
    p999_ms: tally.servedTime(99.9),
    own_lag_p99_ms: tally.lagTime(99),
  }
}
