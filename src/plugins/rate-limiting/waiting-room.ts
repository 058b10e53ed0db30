/** Milliseconds between two looks at who is due: nobody waits much longer than told, and few timers run. */
const tick = 4

/**
 * Where requests wait for their turn. One timer for all of them; none while nobody waits. How many may wait is for the limits
 * to say.
 */
export class WaitingRoom {
  /** By the tick on which they are due. */
  readonly #due = new Map<number, (() => void)[]>()
  #timer: NodeJS.Timeout | null = null

  /** Resolves after `milliseconds`, or up to two ticks later. */
  wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const turn = Math.ceil((performance.now() + milliseconds) / tick)
      const others = this.#due.get(turn)
      if (others === undefined) this.#due.set(turn, [resolve])
      else others.push(resolve)
      this.#timer ??= setInterval(() => this.#look(), tick).unref()
    })
  }

  #look(): void {
    const now = performance.now() / tick
    for (const [turn, waiting] of this.#due) {
      if (turn > now) continue
      this.#due.delete(turn)
      for (const resolve of waiting) resolve()
    }
    if (this.#due.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}
