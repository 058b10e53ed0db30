import type { Counter, Distribution, InstrumentLabels, Instruments, Ranking } from '../core/services/instruments.ts'
import { type RankedKey, Sketch } from './sketch.ts'

/** One instrument of one process with all its series; in a form that adds up over processes. */
export type InstrumentReport = CounterReport | GaugeReport | DistributionReport

export interface CounterReport {
  readonly type: 'counter'
  readonly name: string
  readonly help: string
  readonly series: readonly ValueSeries[]
}

export interface GaugeReport {
  readonly type: 'gauge'
  readonly name: string
  readonly help: string
  /** How processes add up. */
  readonly over: 'sum' | 'max'
  readonly series: readonly ValueSeries[]
}

export interface DistributionReport {
  readonly type: 'histogram'
  readonly name: string
  readonly help: string
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[]
  readonly series: readonly DistributionSeries[]
}

export interface ValueSeries {
  readonly labels: InstrumentLabels
  readonly value: number
}

export interface DistributionSeries {
  readonly labels: InstrumentLabels
  /** One more than there are bounds: the last is what is above all of them. */
  readonly counts: readonly number[]
  readonly sum: number
}

/** The busiest keys of one process. */
export interface RankingReport {
  readonly name: string
  readonly labels: InstrumentLabels
  /** The counts of all keys, also of those that are not here. */
  readonly total: number
  readonly keys: readonly RankedKey[]
}

/** Series of a name that are kept apart. */
const mostSeries = 1000

/** Keys that a ranking keeps an eye on. */
const ranked = 64

class Count implements Counter {
  value = 0

  add(count: number): void {
    this.value += count
  }
}

class Buckets implements Distribution {
  readonly counts: Float64Array
  sum = 0
  readonly #bounds: readonly number[]

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  record(value: number): void {
    const bounds = this.#bounds
    let slot = 0
    while (slot < bounds.length && value > (bounds[slot] as number)) slot++
    this.counts[slot] = (this.counts[slot] as number) + 1
    this.sum += value
  }
}

interface Series<T> {
  readonly labels: InstrumentLabels
  readonly thing: T
}

/** An instrument with its series, by their labels. */
interface Family<T> {
  readonly name: string
  readonly help: string
  readonly series: Map<string, Series<T>>
}

interface GaugeFamily extends Family<() => number> {
  readonly over: 'sum' | 'max'
}

interface DistributionFamily extends Family<Buckets> {
  readonly bounds: readonly number[]
}

/** The instruments of one process. */
export class InstrumentSet implements Instruments {
  readonly #counters = new Map<string, Family<Count>>()
  readonly #gauges = new Map<string, GaugeFamily>()
  readonly #distributions = new Map<string, DistributionFamily>()
  readonly #rankings = new Map<string, Family<Sketch>>()

  counter(name: string, help: string, labels: InstrumentLabels = []): Counter {
    this.#claim(name, this.#counters)
    const family = entry(this.#counters, name, () => ({ name, help, series: new Map() }))
    return seriesOf(family, labels, () => new Count()).thing
  }

  /** The last `read` of the same name and labels counts; more than a thousand series are not shown. */
  gauge(name: string, help: string, labels: InstrumentLabels, over: 'sum' | 'max', read: () => number): void {
    this.#claim(name, this.#gauges)
    const { series } = entry(this.#gauges, name, () => ({ name, help, over, series: new Map() }))
    const key = keyOf(labels)
    if (series.has(key) || series.size < mostSeries) series.set(key, { labels, thing: read })
  }

  distribution(name: string, help: string, bounds: readonly number[], labels: InstrumentLabels = []): Distribution {
    this.#claim(name, this.#distributions)
    const family = entry(this.#distributions, name, () => ({ name, help, bounds, series: new Map() }))
    // Buckets that differ don't add up: the first to ask decides.
    return seriesOf(family, labels, () => new Buckets(family.bounds)).thing
  }

  ranking(name: string, labels: InstrumentLabels): Ranking {
    const family = entry(this.#rankings, name, () => ({ name, help: '', series: new Map() }))
    return seriesOf(family, labels, () => new Sketch(ranked)).thing
  }

  /** Everything as it stands now, but the rankings. */
  report(): InstrumentReport[] {
    const reports: InstrumentReport[] = []
    for (const { name, help, series } of this.#counters.values()) {
      const values = [...series.values()].map(({ labels, thing }) => ({ labels, value: thing.value }))
      reports.push({ type: 'counter', name, help, series: values })
    }
    for (const { name, help, over, series } of this.#gauges.values()) {
      const values = [...series.values()].map(({ labels, thing }) => ({ labels, value: thing() }))
      reports.push({ type: 'gauge', name, help, over, series: values })
    }
    for (const { name, help, bounds, series } of this.#distributions.values()) {
      const values = [...series.values()].map(({ labels, thing }) => ({
        labels,
        counts: [...thing.counts],
        sum: thing.sum,
      }))
      reports.push({ type: 'histogram', name, help, bounds, series: values })
    }
    return reports
  }

  /** The keys that came most often lately. */
  rankings(): RankingReport[] {
    return [...this.#rankings.values()].flatMap(({ name, series }) =>
      [...series.values()].map(({ labels, thing }) => ({ name, labels, total: thing.total, keys: thing.top() })),
    )
  }

  /** Throws when the name is that of an instrument of another kind. */
  #claim(name: string, own: ReadonlyMap<string, unknown>): void {
    if (own.has(name)) return
    if (this.#counters.has(name) || this.#gauges.has(name) || this.#distributions.has(name)) {
      throw new Error(`${name} is already the name of an instrument of another kind`)
    }
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) throw new Error(`${JSON.stringify(name)} can't be the name of a metric`)
  }
}

function seriesOf<T>(family: Family<T>, labels: InstrumentLabels, make: () => T): Series<T> {
  const { series } = family
  const known = series.get(keyOf(labels))
  if (known !== undefined) return known
  const kept = series.size < mostSeries ? labels : labels.map((part, i) => (i % 2 === 0 ? part : '_other'))
  return entry(series, keyOf(kept), () => ({ labels: kept, thing: make() }))
}

/** Names a series among those of its instrument. */
export function keyOf(labels: InstrumentLabels): string {
  return JSON.stringify(labels)
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
