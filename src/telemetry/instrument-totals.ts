import type { InstrumentLabels } from '../core/services/instruments.ts'
import type { Exposition } from './exposition.ts'
import { type InstrumentReport, keyOf, type RankingReport } from './instruments.ts'
import type { RankedKey } from './sketch.ts'

interface Family {
  /** Without series: what all reports of it have in common. */
  readonly of: InstrumentReport
  readonly series: Map<string, { labels: InstrumentLabels; value: number; counts: number[]; sum: number }>
}

/** The instruments of several processes as one. */
export class InstrumentTotals {
  readonly #families = new Map<string, Family>()

  /** Adds what a process has counted; with `isAlive`, also its gauges. */
  add(reports: readonly InstrumentReport[], isAlive: boolean): void {
    for (const report of reports) {
      if (report.type === 'gauge' && !isAlive) continue
      let family = this.#families.get(report.name)
      if (family === undefined) {
        family = { of: { ...report, series: [] }, series: new Map() }
        this.#families.set(report.name, family)
      }
      if (addsUp(family.of, report)) addSeries(family, report)
    }
  }

  /** The same as the report of a process that is gone. */
  report(): InstrumentReport[] {
    return [...this.#families.values()]
      .filter(({ of }) => of.type !== 'gauge')
      .map(({ of, series }): InstrumentReport => ({ ...of, series: [...series.values()] }))
  }

  expose(out: Exposition): void {
    for (const { of, series } of this.#families.values()) {
      out.metric(of.name, of.type, of.help)
      for (const { labels, value, counts, sum } of series.values()) {
        if (of.type === 'histogram') exposeBuckets(out, of.name, labels, of.bounds, counts, sum)
        else out.sample(of.name, labels, value)
      }
    }
  }
}

/** Not so when a plugin of an operator changed its mind between two versions: the first that was heard of counts. */
function addsUp(one: InstrumentReport, other: InstrumentReport): boolean {
  if (one.type !== 'histogram' || other.type !== 'histogram') return one.type === other.type
  return one.bounds.length === other.bounds.length && one.bounds.every((bound, i) => bound === other.bounds[i])
}

function addSeries({ of, series }: Family, report: InstrumentReport): void {
  for (const one of report.series) {
    const key = keyOf(one.labels)
    let sum = series.get(key)
    if (sum === undefined) {
      const slots = of.type === 'histogram' ? of.bounds.length + 1 : 0
      // The highest of several may lie below zero.
      const value = of.type === 'gauge' && of.over === 'max' ? -Infinity : 0
      sum = { labels: one.labels, value, counts: Array.from({ length: slots }, () => 0), sum: 0 }
      series.set(key, sum)
    }
    if ('counts' in one && of.type === 'histogram') {
      one.counts.forEach((count, slot) => {
        sum.counts[slot] = (sum.counts[slot] ?? 0) + count
      })
      sum.sum += one.sum
    } else if ('value' in one) {
      sum.value = of.type === 'gauge' && of.over === 'max' ? Math.max(sum.value, one.value) : sum.value + one.value
    }
  }
}

function exposeBuckets(
  out: Exposition,
  name: string,
  labels: InstrumentLabels,
  bounds: readonly number[],
  counts: readonly number[],
  sum: number,
): void {
  let count = 0
  bounds.forEach((bound, slot) => {
    count += counts[slot] as number
    out.sample(`${name}_bucket`, [...labels, 'le', String(bound)], count)
  })
  count += counts[bounds.length] as number
  out.sample(`${name}_bucket`, [...labels, 'le', '+Inf'], count)
  out.sample(`${name}_sum`, labels, sum)
  out.sample(`${name}_count`, labels, count)
}

/** A key that comes often, over all processes. */
export interface BusyKey {
  /** Of its ranking: `{ route: 'users', limit: 'per-ip' }`. */
  readonly labels: Readonly<Record<string, string>>
  readonly key: string
  /** Its share of what its ranking saw lately, and the share of that which was refused; 0 to 1. */
  readonly share: number
  readonly refused: number
  /** The highest of what the processes saw last. */
  readonly saturation: number
}

/** The busiest keys of a ranking, most frequent first. */
export function busiestKeys(reports: readonly RankingReport[], name: string, most: number): BusyKey[] {
  const series = new Map<string, { labels: InstrumentLabels; total: number; keys: Map<string, RankedKey> }>()
  for (const report of reports) {
    if (report.name !== name) continue
    const id = keyOf(report.labels)
    const merged = series.get(id) ?? { labels: report.labels, total: 0, keys: new Map<string, RankedKey>() }
    series.set(id, merged)
    merged.total += report.total
    for (const one of report.keys) {
      const known = merged.keys.get(one.key) ?? { key: one.key, count: 0, refused: 0, saturation: 0 }
      merged.keys.set(one.key, {
        key: one.key,
        count: known.count + one.count,
        refused: known.refused + one.refused,
        saturation: Math.max(known.saturation, one.saturation),
      })
    }
  }
  const all = [...series.values()].flatMap(({ labels, total, keys }) =>
    [...keys.values()].map((one) => ({ labels, total, ...one })),
  )
  return all
    .sort((a, b) => b.count - a.count)
    .slice(0, most)
    .map(({ labels, total, key, count, refused, saturation }) => ({
      labels: recordOf(labels),
      key,
      share: rounded(count / total),
      refused: rounded(refused / count),
      saturation: rounded(saturation),
    }))
}

function recordOf(labels: InstrumentLabels): Record<string, string> {
  const record: Record<string, string> = {}
  for (let i = 0; i < labels.length; i += 2) record[labels[i] as string] = labels[i + 1] as string
  return record
}

function rounded(share: number): number {
  return Math.round(share * 1000) / 1000
}
