import { Packr } from 'msgpackr'
import type { Config } from '../config/schema.ts'
import type { Log } from '../telemetry/logger.ts'
import type { Admin } from './admin.ts'
import type { Addresses } from './claim.ts'
import type { Packed, Staging, Supervisor } from './supervisor.ts'

/** What reading the configuration brought: a configuration, or every fault as a line. */
export type Loaded =
  | {
      readonly config: Config
      /** Of everything that was read: the file, and what it refers to. */
      readonly hash: string
      readonly warnings: readonly string[]
      readonly files: readonly string[]
    }
  | {
      readonly faults: readonly string[]
      /** Absolute paths: a change of one of them is a reason to reload, here as above. */
      readonly files: readonly string[]
    }

/** The configuration in force. */
export interface InForce {
  readonly version: number
  readonly hash: string
  readonly config: Config
  /** `Date.now()` when it came into force. */
  readonly since: number
}

export interface ReloadResult {
  readonly outcome: 'activated' | 'unchanged' | 'invalid' | 'refused'
  /** Version and hash of what is in force afterwards. */
  readonly version: number
  readonly hash: string
  readonly faults: readonly string[]
  readonly warnings: readonly string[]
}

export type Trigger = 'signal' | 'file' | 'admin'

export interface ReloadSettings {
  load(): Promise<Loaded>
  readonly addresses: Addresses
  readonly admin: Admin
  readonly supervisor: Pick<Supervisor, 'stage'>
  readonly log: Log
  /** Called with the files that were read, whether they are valid or not. */
  onRead(files: readonly string[]): void
  /** Called when a configuration has come into force, before the next reload begins. */
  onChange(current: InForce, previous: InForce): void
}

// Keeps what JSON would lose (undefined, Set, Map, Date, RegExp): a plugin's schema may have made any of them.
const packr = new Packr({ structuredClone: true, moreTypes: true })

/** A configuration in the form in which it travels to workers. */
export function packConfig(version: number, config: Config): Packed {
  return { version, bytes: packr.pack(config) }
}

/**
 * Puts another configuration in force, on all workers or on none.
 *
 * Reloads happen one after the other. A request that comes during one leads to exactly one further, however many
 * come: what it reads then is newer than all of them.
 */
export class Reload {
  readonly #settings: ReloadSettings
  #current: InForce
  /** Last version number given to a candidate: one that failed is never used again. */
  #last: number
  #running: Promise<unknown> = Promise.resolve()
  #next: Promise<ReloadResult> | null = null
  #closed = false
  #lastOk = true

  constructor(settings: ReloadSettings, current: InForce) {
    this.#settings = settings
    this.#current = current
    this.#last = current.version
  }

  get current(): InForce {
    return this.#current
  }

  /** Whether the last reload succeeded; true when there was none. */
  get lastOk(): boolean {
    return this.#lastOk
  }

  request(trigger: Trigger): Promise<ReloadResult> {
    if (this.#next !== null) return this.#next
    const next = this.#running.then(() => {
      this.#next = null
      return this.#run(trigger)
    })
    this.#next = next
    this.#running = next.catch(() => {})
    return next
  }

  /** No reload begins from now on. */
  close(): void {
    this.#closed = true
  }

  async #run(trigger: Trigger): Promise<ReloadResult> {
    const { log } = this.#settings
    const started = Date.now()
    const result = await this.#attempt().catch((error: Error) => this.#failed('refused', [error.message]))
    this.#lastOk = result.faults.length === 0
    const facts = { trigger, version: result.version, hash: result.hash, took_ms: Date.now() - started }
    for (const warning of result.warnings) log.warn(warning)
    for (const fault of result.faults) log.error({ trigger }, fault)
    if (result.outcome === 'activated') log.info(facts, 'configuration activated')
    else if (result.outcome === 'unchanged') log.info(facts, 'configuration unchanged')
    else log.error({ ...facts, faults: result.faults.length }, 'configuration rejected, the former one stays in force')
    return result
  }

  async #attempt(): Promise<ReloadResult> {
    const { addresses, admin } = this.#settings
    if (this.#closed) return this.#failed('refused', ['the gateway is shutting down'])
    const loaded = await this.#settings.load()
    this.#settings.onRead(loaded.files)
    if ('faults' in loaded) return this.#failed('invalid', loaded.faults)
    const { hash, warnings } = loaded
    if (hash === this.#current.hash) {
      return { outcome: 'unchanged', version: this.#current.version, hash, faults: [], warnings: [] }
    }

    const placement = await addresses.place(loaded.config)
    if ('faults' in placement) return this.#failed('refused', placement.faults)
    const { config } = placement
    const change = await admin.stage(config.admin)
    if ('fault' in change) return this.#failed('refused', [change.fault])

    const staging = await this.#stage(config)
    if (staging.outcome !== 'staged') {
      change.discard()
      return this.#failed('refused', staging.reasons)
    }
    await staging.commit()
    change.commit()
    placement.keep()
    const previous = this.#current
    this.#current = { version: this.#last, hash, config, since: Date.now() }
    this.#settings.onChange(this.#current, previous)
    return { outcome: 'activated', version: this.#last, hash, faults: [], warnings }
  }

  /** A worker may have died of something else: then a second try tells. */
  async #stage(config: Config): Promise<Staging> {
    const staging = await this.#settings.supervisor.stage(packConfig((this.#last += 1), config))
    if (staging.outcome !== 'died') return staging
    this.#settings.log.warn({ reason: staging.reasons.join('; ') }, 'a worker died during the reload, trying once more')
    return this.#settings.supervisor.stage(packConfig((this.#last += 1), config))
  }

  #failed(outcome: 'invalid' | 'refused', faults: readonly string[]): ReloadResult {
    return { outcome, version: this.#current.version, hash: this.#current.hash, faults, warnings: [] }
  }
}
