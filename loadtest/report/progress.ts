import type { Tally } from '../load/tally.ts'
import type { Sample } from './proc.ts'

export interface Moment {
  /** Seconds that have passed, and that it takes altogether. */
  readonly second: number
  readonly seconds: number
  readonly phase: string
  /** What happened in the last second. */
  readonly tally: Tally
  readonly sample: Sample | null
}

/** One line a second: in its place on a terminal, below the last one elsewhere. */
export class Progress {
  readonly #stream: NodeJS.WriteStream
  #isLineOpen = false

  constructor(stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream
  }

  show(moment: Moment): void {
    if (!this.#stream.isTTY) {
      this.#stream.write(`  ${lineOf(moment)}\n`)
      return
    }
    this.#stream.write(`\r\u001b[K  ${lineOf(moment).slice(0, this.#stream.columns - 3)}`)
    this.#isLineOpen = true
  }

  /** A line that stays. */
  say(text: string): void {
    this.close()
    this.#stream.write(`${text}\n`)
  }

  close(): void {
    if (this.#isLineOpen) this.#stream.write('\r\u001b[K')
    this.#isLineOpen = false
  }
}

export function lineOf({ second, seconds, phase, tally, sample }: Moment): string {
  const { refused } = tally.counts
  const memory = sample === null ? '' : `  RSS ${Math.round(sample.resident / 2 ** 20)} MB`
  return [
    `${String(second).padStart(String(Math.ceil(seconds)).length)}/${Math.ceil(seconds)} s  ${phase.padEnd(8)}`,
    `  ${tally.answered.toLocaleString('en')} of ${tally.due.toLocaleString('en')}/s`,
    `  p99 ${time(tally.servedTime(99))}`,
    `  failed ${tally.failures}`,
    refused === 0 ? '' : `  refused ${refused}`,
    memory,
    `  own lag ${time(tally.lagTime(99))}`,
  ].join('')
}

function time(milliseconds: number | null): string {
  return milliseconds === null ? '-' : `${milliseconds.toFixed(1)} ms`
}
