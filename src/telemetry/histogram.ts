/** An hour, in microseconds: longer durations count as that. */
const longest = 3_600_000_000

/** Room for durations up to 131 ms to begin with; what is longer makes it grow. */
const initial = 11 * 128

/**
 * Durations in microseconds, to about 1 %: the counts of an HdrHistogram with two significant digits, in its layout, so
 * that the primary can go on with hdr-histogram-js. Recording is own code, because theirs finds the slot by `log2` and
 * `pow`: five times slower (bench/micro/metrics.bench.ts), and every request records two.
 */
export class DurationHistogram {
  #counts = new Float64Array(initial)
  /** Sum of all durations in milliseconds, exact. */
  sum = 0

  record(milliseconds: number): void {
    if (!(milliseconds > 0 && milliseconds < Infinity)) milliseconds = 0
    this.sum += milliseconds
    const micros = milliseconds < longest / 1000 ? (milliseconds * 1000 + 0.5) >>> 0 : longest
    // Powers of two from 256 on, each in 128 steps; below 256 every microsecond for itself.
    const power = micros < 256 ? 0 : 24 - Math.clz32(micros)
    const slot = (power << 7) + (micros >>> power)
    if (slot >= this.#counts.length) this.#grow(power)
    this.#counts[slot] = (this.#counts[slot] as number) + 1
  }

  /** `[value, count, value, count, …]`, the values in microseconds and ascending, of the slots that hold something. */
  pairs(): number[] {
    const pairs: number[] = []
    for (let slot = 0; slot < this.#counts.length; slot++) {
      const count = this.#counts[slot] as number
      if (count !== 0) pairs.push(valueAt(slot), count)
    }
    return pairs
  }

  add(other: DurationHistogram): void {
    this.sum += other.sum
    const counts = other.#counts
    if (counts.length > this.#counts.length) this.#grow(counts.length / 128 - 2)
    for (let slot = 0; slot < counts.length; slot++)
      this.#counts[slot] = (this.#counts[slot] as number) + (counts[slot] as number)
  }

  #grow(power: number): void {
    const counts = new Float64Array((power + 2) * 128)
    counts.set(this.#counts)
    this.#counts = counts
  }
}

/** The smallest value that falls into a slot. */
function valueAt(slot: number): number {
  const power = Math.max((slot >> 7) - 1, 0)
  return (slot - (power << 7)) * 2 ** power
}
