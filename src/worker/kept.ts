import type { Kept, PluginLog } from '../core/plugin.ts'
import type { Keep } from '../services/host.ts'

/** Milliseconds that a thing lives on after the last snapshot that has it: requests in flight may still use it. */
const grace = 30_000

interface Entry {
  readonly thing: Kept
  /** Snapshots that have it. */
  owners: number
  closing: NodeJS.Timeout | undefined
}

/** What one snapshot keeps. */
export interface Holding {
  readonly keep: Keep
  /** The snapshot is gone: what no other one has is closed after a while. */
  end(): void
}

/** Things that outlive the snapshot that made them: caches, connections, pools. Two of the same key are one. */
export class KeptThings {
  readonly #entries = new Map<string, Entry>()
  readonly #log: PluginLog

  constructor(log: PluginLog) {
    this.#log = log
  }

  /** For a new snapshot. */
  begin(): Holding {
    const held = new Set<string>()
    return {
      keep: <T extends Kept>(key: string, make: () => T): T => {
        let entry = this.#entries.get(key)
        if (entry === undefined) {
          entry = { thing: make(), owners: 0, closing: undefined }
          this.#entries.set(key, entry)
        }
        if (!held.has(key)) {
          held.add(key)
          entry.owners++
          clearTimeout(entry.closing)
        }
        return entry.thing as T
      },
      end: () => {
        for (const key of held) this.#leave(key)
        held.clear()
      },
    }
  }

  /** Closes everything at once: the process ends. */
  close(): void {
    for (const [key, entry] of this.#entries) this.#close(key, entry)
  }

  #leave(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    entry.owners--
    if (entry.owners === 0) entry.closing = setTimeout(() => this.#close(key, entry), grace).unref()
  }

  #close(key: string, entry: Entry): void {
    clearTimeout(entry.closing)
    this.#entries.delete(key)
    try {
      entry.thing.close?.()
    } catch (error) {
      this.#log.error('a service could not be closed', { key, reason: (error as Error).message })
    }
  }
}
