import type { AccessStep, Verdict } from '../core/plugin.ts'
import type { FaultReporter, PhaseName } from './chain.ts'

/** How often waiting steps are looked at, in milliseconds: what a time limit may be overrun by. */
const period = 20

/**
 * Ends the waiting of steps that do not settle in time. One coarse timer serves all of them, and only while something
 * waits: a timer per request would cost more than most steps do.
 */
export class TimeLimits {
  readonly #lines = new Set<Line>()
  #timer: NodeJS.Timeout | null = null

  /** Watch `line` until it is empty. */
  watch(line: Line): void {
    this.#lines.add(line)
    this.#timer ??= setInterval(() => this.#sweep(), period).unref()
  }

  #sweep(): void {
    const now = performance.now()
    for (const line of this.#lines) {
      line.expire(now)
      if (line.size === 0) this.#lines.delete(line)
    }
    if (this.#lines.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}

/** The requests that wait for one step. All have the same limit, so they stand in the order of their deadlines. */
class Line {
  readonly #waiting = new Set<Waiting>()
  readonly #onTimeout: () => Verdict

  constructor(onTimeout: () => Verdict) {
    this.#onTimeout = onTimeout
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Settles as `pending` does, or with the verdict of the line when that is too late; then `pending` counts no more. */
  wait(pending: Promise<Verdict>, deadline: number): Promise<Verdict> {
    return new Promise((resolve) => {
      const waiting: Waiting = { deadline, resolve }
      this.#waiting.add(waiting)
      // A guarded step does not reject.
      void pending.then((verdict) => {
        if (this.#waiting.delete(waiting)) resolve(verdict)
      })
    })
  }

  expire(now: number): void {
    for (const waiting of this.#waiting) {
      if (waiting.deadline > now) return
      this.#waiting.delete(waiting)
      waiting.resolve(this.#onTimeout())
    }
  }
}

interface Waiting {
  readonly deadline: number
  readonly resolve: (verdict: Verdict) => void
}

export interface TimeLimit {
  readonly plugin: string
  /** Milliseconds. */
  readonly limit: number
  /** What stands in for the verdict that did not come: `undefined` lets the request go on without the plugin. */
  readonly onTimeout: Verdict
  readonly limits: TimeLimits
  readonly report: FaultReporter
}

/**
 * Bounds the time that a guarded access step may take. Only a step that waits can be given up; one that computes for
 * too long can't be interrupted, its verdict stands and the fault is reported.
 *
 * A step that was given up goes on unseen: what it decides is dropped, what it writes to the context is not.
 */
export function limitTime(step: AccessStep, { plugin, limit, onTimeout, limits, report }: TimeLimit): AccessStep {
  const line = new Line(() => {
    report(plugin, 'access', 'timeout', null)
    return onTimeout
  })
  return (ctx) => {
    const begun = performance.now()
    const verdict = step(ctx)
    if (verdict instanceof Promise) {
      const waiting = line.wait(verdict, begun + limit)
      limits.watch(line)
      return waiting
    }
    if (performance.now() - begun > limit) report(plugin, 'access', 'slow', null)
    return verdict
  }
}

/** Reports a synchronous step that takes longer than its limit (milliseconds). */
export function watchTime<C, R>(
  step: (ctx: C) => R,
  plugin: string,
  phase: PhaseName,
  limit: number,
  report: FaultReporter,
): (ctx: C) => R {
  return (ctx) => {
    const begun = performance.now()
    const result = step(ctx)
    if (performance.now() - begun > limit) report(plugin, phase, 'slow', null)
    return result
  }
}
