/** Milliseconds between two sweeps, and so the precision of what depends on them. */
const interval = 100

/** Something with times that may run out. */
export interface Swept {
  /** `now` as of `performance.now()`. False: there is nothing to look after, until it is added again. */
  sweep(now: number): boolean
}

/**
 * One coarse timer for all idle connections and waiting requests of a worker, where a timer each would cost two calls
 * per request. Does not keep the process alive, and stops when there is nothing to look after.
 */
class Sweep {
  /** Time of the last sweep: a clock that costs nothing to read. */
  now = 0
  private readonly looked = new Set<Swept>()
  private timer: NodeJS.Timeout | null = null

  add(swept: Swept): void {
    this.looked.add(swept)
    if (this.timer !== null) return
    this.now = performance.now()
    this.timer = setInterval(() => this.run(), interval)
    this.timer.unref()
  }

  private run(): void {
    this.now = performance.now()
    for (const swept of this.looked) if (!swept.sweep(this.now)) this.looked.delete(swept)
    if (this.looked.size !== 0 || this.timer === null) return
    clearInterval(this.timer)
    this.timer = null
  }
}

export const sweep = new Sweep()
