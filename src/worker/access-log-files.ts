import type { AccessLogConfig } from '../config/schema.ts'
import type { PluginLog } from '../core/plugin.ts'
import { AccessLog } from '../telemetry/access-log.ts'
import { LogFile } from '../telemetry/log-file.ts'

/** Milliseconds for which a file stays open that no new request is logged in: those in flight may still be. */
const grace = 300_000

interface Entry {
  readonly file: LogFile
  closing: NodeJS.Timeout | null
}

/** The files of access logs, from one snapshot to the next: what several snapshots log into is open once. */
export class AccessLogFiles {
  readonly #log: PluginLog
  readonly #entries = new Map<string, Entry>()
  /** Of files that are closed. */
  #dropped = 0

  constructor(log: PluginLog) {
    this.#log = log
  }

  /** Lines that were lost. */
  get dropped(): number {
    let dropped = this.#dropped
    for (const { file } of this.#entries.values()) dropped += file.dropped
    return dropped
  }

  /** The access log of a configuration, `null` when there is none. Throws when its file can't be opened. */
  open(config: AccessLogConfig | null): AccessLog | null {
    if (config === null) return null
    const { path, request_headers: requestHeaders, response_headers: responseHeaders, query } = config
    let entry = this.#entries.get(path)
    if (entry === undefined) {
      entry = { file: LogFile.open(path, this.#log), closing: null }
      this.#entries.set(path, entry)
    }
    if (entry.closing !== null) clearTimeout(entry.closing)
    entry.closing = null
    return new AccessLog({ path, requestHeaders, responseHeaders, query }, entry.file)
  }

  /** Only `used` is logged into from now on; the other files are closed in a while. */
  keep(used: AccessLog | null): void {
    for (const [path, entry] of this.#entries) {
      if (entry.file === used?.file || entry.closing !== null) continue
      entry.closing = setTimeout(() => {
        this.#entries.delete(path)
        this.#dropped += entry.file.dropped
        void entry.file.close()
      }, grace).unref()
    }
  }

  reopen(): void {
    for (const { file } of this.#entries.values()) file.reopen()
  }

  /** Writes out what waits. */
  async close(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ file }) => file.close()))
  }
}
