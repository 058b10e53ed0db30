/** Tells how far a section is, from 0 to 1, and what it just did. */
export type Step = (share: number, text: string) => void

/** A bar on a terminal; a line a step elsewhere. Writes to standard error, so that tables can be piped. */
export class Progress {
  readonly #minutes: readonly number[]
  readonly #begun = performance.now()
  #section = -1
  #name = ''

  /** `minutes`: how long each section takes, about: what the bar is divided by. */
  constructor(minutes: readonly number[]) {
    this.#minutes = minutes
  }

  begin(name: string): void {
    this.#section++
    this.#name = name
    this.step(0, 'begins')
  }

  readonly step: Step = (share, text) => {
    if (!process.stderr.isTTY) {
      if (share > 0) process.stderr.write(`  ${this.#name}: ${text}\n`)
      return
    }
    const all = this.#minutes.reduce((sum, minutes) => sum + minutes, 0)
    const before = this.#minutes.slice(0, this.#section).reduce((sum, minutes) => sum + minutes, 0)
    const done = (before + share * (this.#minutes[this.#section] ?? 0)) / all
    const line = `${barOf(done, 24)} ${clock(performance.now() - this.#begun)} ${this.#name}: ${text}`
    process.stderr.write(`\r\u001b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`)
  }

  /** Makes room for what is printed next. */
  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
  }
}

export function barOf(share: number, width: number): string {
  const cells = Math.round(Math.min(1, Math.max(0, share)) * width)
  return `[${'#'.repeat(cells)}${'-'.repeat(width - cells)}] ${String(Math.floor(share * 100)).padStart(3)} %`
}

function clock(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
