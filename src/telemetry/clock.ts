/** How long the distance between the two clocks is taken for constant, in milliseconds. */
const trusted = 1000

const pad = Array.from({ length: 1000 }, (_, i) => `${String(i).padStart(3, '0')}Z`)

/**
 * Times of day for `performance.now()` times, as text (ISO 8601, UTC). Log lines come by the thousand a second: those of
 * one second share all but the milliseconds, and none reads the clock (bench/micro/access-log.bench.ts).
 */
export class DayClock {
  #offset = 0
  #measuredAt = -Infinity
  /** The second of the last text, and its text up to the dot. */
  #second = -1
  #prefix = ''

  text(at: number): string {
    if (at - this.#measuredAt > trusted) this.#measure()
    const time = Math.floor(at + this.#offset)
    const second = Math.floor(time / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#prefix = new Date(second * 1000).toISOString().slice(0, 20)
    }
    return this.#prefix + pad[time - second * 1000]
  }

  /** The system's clock may be set; `performance.now()` goes on evenly. */
  #measure(): void {
    this.#measuredAt = performance.now()
    this.#offset = Date.now() - this.#measuredAt
  }
}
