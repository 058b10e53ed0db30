import { addPacked, createHistogram, pack, percentile, recordTime } from './histogram.ts'

/**
 * What became of a request: the answer that was hoped for · a refusal that was allowed for · another status · an answer that
 * is not this request's, or not as it must be · the connection ended or was refused · no answer in time.
 */
export const outcomes = ['served', 'refused', 'failed', 'wrong', 'broken', 'lost'] as const
export type Outcome = (typeof outcomes)[number]

export type Counts = Record<Outcome, number>

/** A tally on its way between processes. */
export interface TallyData {
  readonly due: number
  readonly counts: Counts
  /** By kind of request and then by status, or by the word for what happened. */
  readonly answers: Record<string, Record<string, number>>
  readonly servedTimes: string
  readonly refusedTimes: string
  readonly lag: string
}

/** What became of a number of requests, and how long it took from when each was due. */
export class Tally {
  /** Requests whose time had come. */
  due = 0
  counts: Counts = noCounts()
  answers: Record<string, Record<string, number>> = {}
  readonly #served = createHistogram()
  readonly #refused = createHistogram()
  /** How late the load itself was. */
  readonly #lag = createHistogram()

  addDue(lag: number): void {
    this.due += 1
    recordTime(this.#lag, lag)
  }

  /** `time` in milliseconds; `null` where it is of no interest. */
  add(kind: string, outcome: Outcome, word: string, time: number | null): void {
    this.counts[outcome] += 1
    const words = (this.answers[kind] ??= {})
    words[word] = (words[word] ?? 0) + 1
    if (time === null) return
    if (outcome === 'served') recordTime(this.#served, time)
    else if (outcome === 'refused') recordTime(this.#refused, time)
  }

  merge(data: TallyData): void {
    this.due += data.due
    for (const outcome of outcomes) this.counts[outcome] += data.counts[outcome]
    for (const [kind, words] of Object.entries(data.answers)) {
      const own = (this.answers[kind] ??= {})
      for (const [word, count] of Object.entries(words)) own[word] = (own[word] ?? 0) + count
    }
    addPacked(this.#served, data.servedTimes)
    addPacked(this.#refused, data.refusedTimes)
    addPacked(this.#lag, data.lag)
  }

  data(): TallyData {
    const { due, counts, answers } = this
    const [servedTimes, refusedTimes, lag] = [pack(this.#served), pack(this.#refused), pack(this.#lag)]
    return { due, counts: { ...counts }, answers: structuredClone(answers), servedTimes, refusedTimes, lag }
  }

  /** Starts again from nothing. */
  clear(): void {
    this.due = 0
    this.counts = noCounts()
    this.answers = {}
    for (const histogram of [this.#served, this.#refused, this.#lag]) histogram.reset()
  }

  get answered(): number {
    const { served, refused, failed, wrong } = this.counts
    return served + refused + failed + wrong
  }

  /** Those that no client would call a success or a clean refusal. */
  get failures(): number {
    const { failed, wrong, broken, lost } = this.counts
    return failed + wrong + broken + lost
  }

  /** Milliseconds. */
  servedTime(percent: number): number | null {
    return percentile(this.#served, percent)
  }

  refusedTime(percent: number): number | null {
    return percentile(this.#refused, percent)
  }

  lagTime(percent: number): number | null {
    return percentile(this.#lag, percent)
  }

  /** Answers with this status, of all kinds of requests. */
  withStatus(status: string): number {
    return Object.values(this.answers)
      .flatMap((words) => Object.entries(words))
      .filter(([word]) => word.split(' ')[0] === status)
      .reduce((sum, [, count]) => sum + count, 0)
  }
}

export function merged(parts: readonly TallyData[]): Tally {
  const tally = new Tally()
  for (const part of parts) tally.merge(part)
  return tally
}

function noCounts(): Counts {
  return { served: 0, refused: 0, failed: 0, wrong: 0, broken: 0, lost: 0 }
}
