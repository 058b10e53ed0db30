import { performance } from 'node:perf_hooks'
import type { Exchange } from './exchange.ts'
import { expired } from './handle.ts'
import { InFlight } from './in-flight.ts'
import { Listener, type ListenerHost } from './listener.ts'
import type { ListenerSettings, Snapshot } from './snapshot.ts'

/** Milliseconds that a drained worker waits for requests that were on their way while it closed. */
const quietTime = 500

/** Counts what the request path can't know of itself. */
export interface GatewayTelemetry {
  /** Downstream connections opened (1) and closed (-1). */
  connection(change: number): void
  inFlight(change: number): void
}

/** The data plane of one worker: its listeners, the snapshot that new requests get, and what is in flight. */
export class Gateway implements ListenerHost {
  draining = false
  #snapshot: Snapshot | null = null
  #listeners: Listener[] = []
  /** Listeners that accept no more but still have connections. */
  #retired: Listener[] = []
  #connections = 0
  #lastRequest = 0
  readonly #telemetry: GatewayTelemetry
  readonly #exchanges = new InFlight(expired)

  constructor(telemetry: GatewayTelemetry) {
    this.#telemetry = telemetry
  }

  get snapshot(): Snapshot {
    if (this.#snapshot === null) throw new Error('the gateway serves no snapshot yet')
    return this.#snapshot
  }

  get inFlight(): number {
    return this.#exchanges.size
  }

  get connections(): number {
    return this.#connections
  }

  accept(exchange: Exchange): void {
    this.#exchanges.add(exchange)
    this.#telemetry.inFlight(1)
    if (this.draining) this.#lastRequest = exchange.startedAt
  }

  release(exchange: Exchange): void {
    if (exchange.slot === -1) return
    this.#exchanges.remove(exchange)
    this.#telemetry.inFlight(-1)
  }

  connection(change: number): boolean {
    this.#connections += change
    this.#telemetry.connection(change)
    const most = this.#snapshot?.limits.connections ?? 0
    return change < 0 || most === 0 || this.#connections <= most
  }

  /**
   * Serves `snapshot` from now on. New addresses are opened first: when one fails, this rejects and nothing has
   * changed. Then requests are routed by it, then addresses that are gone stop accepting. Requests in flight keep the
   * snapshot that they began with, open connections stay open.
   */
  async swap(snapshot: Snapshot): Promise<void> {
    const kept: Listener[] = []
    const opened: Listener[] = []
    try {
      for (const settings of snapshot.listeners) {
        const same = this.#listeners.find((listener) => serves(listener, settings))
        if (same !== undefined) kept.push(same)
        else opened.push(await this.#open(settings, snapshot))
      }
    } catch (error) {
      for (const listener of opened) listener.close()
      throw error
    }

    this.#snapshot = snapshot
    for (const listener of kept)
      listener.settings = snapshot.listeners.find((settings) => serves(listener, settings)) as ListenerSettings
    for (const listener of this.#listeners) if (!kept.includes(listener)) this.#retire(listener)
    this.#listeners = [...kept, ...opened]
  }

  async #open(settings: ListenerSettings, snapshot: Snapshot): Promise<Listener> {
    // The first request may come before `swap` is through.
    this.#snapshot ??= snapshot
    const listener = new Listener(settings, this)
    await listener.listen()
    return listener
  }

  #retire(listener: Listener): void {
    listener.stopAccepting()
    this.#retired = this.#retired.filter(({ connections }) => connections > 0)
    this.#retired.push(listener)
  }

  /**
   * Accepts no more and finishes what is in flight; answers tell clients to close. Ends when nothing is left, or when
   * what is left has sent nothing for a moment, at the latest after `timeout` milliseconds.
   */
  async drain(timeout: number): Promise<void> {
    this.draining = true
    this.#lastRequest = performance.now()
    for (const listener of this.#listeners) listener.stopAccepting()
    const end = performance.now() + timeout
    while (performance.now() < end && !this.#isQuiet()) await sleep(20)
    for (const listener of [...this.#listeners, ...this.#retired]) listener.close()
    this.#exchanges.stop()
  }

  /** A connection without a request may belong to a client that is just sending one: it gets a moment. */
  #isQuiet(): boolean {
    if (this.#exchanges.size > 0) return false
    return this.#connections === 0 || performance.now() - this.#lastRequest > quietTime
  }
}

function serves(listener: Listener, settings: ListenerSettings): boolean {
  const { settings: open } = listener
  return open.host === settings.host && open.port === settings.port && open.fingerprint === settings.fingerprint
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
