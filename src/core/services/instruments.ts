/** Label names and values, flat: `['route', 'users', 'limit', 'per-ip']`. */
export type InstrumentLabels = readonly string[]

/** Counts up. `add` is a plain addition: it may stand on the request path. */
export interface Counter {
  add(count: number): void
}

/** Durations, or sizes of batches. */
export interface Distribution {
  /** Seconds, or whatever the name says. */
  record(value: number): void
}

/** Which keys come most often: users, addresses. For `/status`, as keys come from requests. */
export interface Ranking {
  /** A key was seen. `saturation`: how much of what it may have is used, 1 for all of it. */
  note(key: string, saturation: number, refused: boolean): void
}

/**
 * Figures of services and plugins, beside those that the proxy keeps by itself. The same name and labels give the same
 * counter again, so that it goes on over a reload. Names are `sluice_<noun>_<unit>[_total]`. Label values must come from
 * the configuration, never from a request: a thousand series of a name are kept apart, the rest shares one.
 */
export interface Instruments {
  counter(name: string, help: string, labels?: InstrumentLabels): Counter
  /** Read whenever figures are collected; over the workers of a node the values add up, or the highest counts. */
  gauge(name: string, help: string, labels: InstrumentLabels, over: 'sum' | 'max', read: () => number): void
  /** `bounds`: upper bounds of its buckets, ascending. */
  distribution(name: string, help: string, bounds: readonly number[], labels?: InstrumentLabels): Distribution
  ranking(name: string, labels: InstrumentLabels): Ranking
}

const nowhere: Counter & Distribution & Ranking = { add() {}, record() {}, note() {} }

/** Counts nothing, for where nothing runs. */
export const noInstruments: Instruments = {
  counter: () => nowhere,
  gauge() {},
  distribution: () => nowhere,
  ranking: () => nowhere,
}
