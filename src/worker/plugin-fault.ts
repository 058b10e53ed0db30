import { inspect } from 'node:util'
import type { PluginLog } from '../core/plugin.ts'
import type { FaultKind, PhaseName } from '../proxy/chain.ts'

/** Milliseconds between two lines about the same fault of the same plugin. */
const quiet = 10_000

const messages: Readonly<Record<FaultKind, string>> = {
  error: 'a plugin failed',
  timeout: 'a plugin exceeded its time limit',
  slow: 'a plugin held up the worker for longer than its time limit',
  bad_verdict: 'a plugin returned neither a rejection nor a local reply',
}

interface Tally {
  loggedAt: number
  /** Since the last line. */
  unlogged: number
}

/**
 * Faults of plugin steps: every one is counted, one in ten seconds of each sort is logged. A plugin that fails on every
 * request must not bury the log under its failures.
 */
export class PluginFaults {
  readonly #log: PluginLog
  readonly #count: (plugin: string, phase: PhaseName, kind: FaultKind) => void
  readonly #now: () => number
  readonly #tallies = new Map<string, Tally>()

  constructor(
    log: PluginLog,
    count: (plugin: string, phase: PhaseName, kind: FaultKind) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#log = log
    this.#count = count
    this.#now = now
  }

  report(route: string, plugin: string, phase: PhaseName, kind: FaultKind, error: unknown): void {
    this.#count(plugin, phase, kind)
    const key = `${plugin} ${phase} ${kind}`
    const now = this.#now()
    const tally = this.#tallies.get(key)
    if (tally !== undefined && now - tally.loggedAt < quiet) {
      tally.unlogged++
      return
    }
    this.#tallies.set(key, { loggedAt: now, unlogged: 0 })
    this.#log.error(messages[kind], {
      plugin,
      phase,
      route,
      ...(error === null ? {} : { error: error instanceof Error ? (error.stack ?? error.message) : inspect(error) }),
      ...(tally !== undefined && tally.unlogged > 0 ? { repeated: tally.unlogged } : {}),
    })
  }
}
