import type { InstrumentLabels, Instruments } from '../../src/core/services/instruments.ts'

/** Instruments that a test can read: `read('sluice_things_total{kind="a"}')`. */
export interface RecordingInstruments extends Instruments {
  /** A counter, a gauge (as it is now), or how many values a distribution or ranking has; 0 when there is no such series. */
  read(series: string): number
}

export function recordInstruments(): RecordingInstruments {
  const counts = new Map<string, number>()
  const gauges = new Map<string, () => number>()
  const add = (series: string, count: number): void => void counts.set(series, (counts.get(series) ?? 0) + count)
  return {
    counter(name, _help, labels = []) {
      const series = seriesOf(name, labels)
      return { add: (count) => add(series, count) }
    },
    gauge(name, _help, labels, _over, read) {
      gauges.set(seriesOf(name, labels), read)
    },
    distribution(name, _help, _bounds, labels = []) {
      const series = seriesOf(name, labels)
      return { record: () => add(series, 1) }
    },
    ranking(name, labels) {
      const series = seriesOf(name, labels)
      return { note: () => add(series, 1) }
    },
    read: (series) => gauges.get(series)?.() ?? counts.get(series) ?? 0,
  }
}

function seriesOf(name: string, labels: InstrumentLabels): string {
  if (labels.length === 0) return name
  const pairs: string[] = []
  for (let i = 0; i < labels.length; i += 2) pairs.push(`${labels[i]}="${labels[i + 1]}"`)
  return `${name}{${pairs.join(',')}}`
}
