import { Unpackr } from 'msgpackr'
import { loadRegistry } from '../config/registry.ts'
import type { Config } from '../config/schema.ts'
import type { PrimaryMessage, WorkerMessage } from '../core/messages.ts'
import { Gateway } from '../proxy/gateway.ts'
import type { Snapshot } from '../proxy/snapshot.ts'
import { TimeLimits } from '../proxy/time-limit.ts'
import { createResolver } from '../proxy/upstream/resolver.ts'
import { closeUnused } from '../proxy/upstream/upstream.ts'
import { ServiceSet } from '../services/services.ts'
import type { AccessLog } from '../telemetry/access-log.ts'
import { createLogger, type Log, pluginLog } from '../telemetry/logger.ts'
import { type UpstreamConnections, WorkerMetrics } from '../telemetry/metrics.ts'
import { AccessLogFiles } from './access-log-files.ts'
import { compileSnapshot, type Workshop } from './compile.ts'
import { drain } from './drain.ts'
import { type Holding, KeptThings } from './kept.ts'
import { Link } from './link.ts'
import { PluginFaults } from './plugin-fault.ts'

/** A configuration that this worker has compiled. */
interface Compiled {
  readonly version: number
  readonly config: Config
  readonly snapshot: Snapshot
  readonly accessLog: AccessLog | null
  readonly holding: Holding
}

/** Milliseconds between look-ups of a target's name. */
const nameRefresh = 30_000

/** Milliseconds for a last word to the primary before the process exits. */
const lastWord = 500

/** The counterpart of the primary's packer: with other options types get lost. */
const unpackr = new Unpackr({ structuredClone: true, moreTypes: true })

/** Makes this process a worker: it says that it is there, then does what the primary tells it. */
export function runWorker(): void {
  const log = createLogger({ role: 'worker' })
  process.title = 'sluice: worker'
  // A terminal and systemd send these to the whole group. The primary decides what becomes of its workers.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => {})
  process.on('uncaughtException', (error) => {
    log.fatal({ stack: error.stack }, `the worker failed: ${error.message}`)
    fail(error.message)
  })
  const worker = new Worker(log)
  process.on('message', (message) => worker.hear(message as PrimaryMessage))
  process.once('disconnect', () => worker.orphaned())
  send({ type: 'ready' })
}

function send(message: WorkerMessage, then: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, undefined, then)
  else then()
}

/** Tells the primary why, and exits. */
function fail(reason: string): void {
  send({ type: 'fatal', reason }, () => process.exit(1))
  setTimeout(() => process.exit(1), lastWord)
}

class Worker {
  readonly #log: Log
  readonly #metrics = new WorkerMetrics()
  readonly #workshop: Omit<Workshop, 'services' | 'keep'>
  readonly #link = new Link(send)
  readonly #kept: KeptThings
  readonly #services: ServiceSet
  readonly #accessLogs: AccessLogFiles
  readonly #gateway: Gateway
  #active: Compiled | null = null
  /** Compiled and not served yet. */
  #candidate: Compiled | null = null
  /** `prepare`, `activate` and `discard` happen one after the other, in the order in which they came. */
  #steps: Promise<void> = Promise.resolve()
  #draining = false

  constructor(log: Log) {
    this.#log = log
    const metrics = this.#metrics
    const ownLog = pluginLog(log)
    this.#accessLogs = new AccessLogFiles(ownLog)
    this.#kept = new KeptThings(ownLog)
    this.#services = new ServiceSet({ link: this.#link, instruments: metrics.instruments, log: ownLog })
    this.#workshop = {
      metrics,
      resolver: createResolver({ refresh: nameRefresh }),
      log: ownLog,
      timeLimits: new TimeLimits(),
      faults: new PluginFaults(ownLog, (plugin, phase, kind) => metrics.pluginFault(plugin, phase, kind)),
    }
    this.#gateway = new Gateway({
      connection(change) {
        if (change > 0) metrics.downstreamOpened += change
      },
      inFlight() {},
    })
    metrics.sources = {
      upstreamConnections: () => connectionsOf(this.#active?.snapshot ?? null),
      requestsInFlight: () => this.#gateway.inFlight,
      downstreamConnections: () => this.#gateway.connections,
      accessLogDropped: () => this.#accessLogs.dropped,
    }
  }

  hear(message: PrimaryMessage): void {
    switch (message.type) {
      case 'prepare':
        return this.#then(() => this.#prepare(message.version, message.snapshot))
      case 'activate':
        return this.#then(() => this.#activate(message.version))
      case 'discard':
        return this.#then(() => this.#discard())
      case 'drain':
        return this.#drain(message.timeout)
      case 'collect':
        return this.#report(message.id)
      case 'ping':
        return send({ type: 'pong' })
      case 'reopen_logs':
        return this.#accessLogs.reopen()
      case 'service':
        return this.#link.hear(message.topic, message.body)
    }
  }

  /** The primary is gone, and nobody will come for this worker: it ends what it has. */
  orphaned(): void {
    if (this.#draining) return
    this.#log.error('the primary is gone, draining')
    this.#drain(this.#active?.config.shutdown_timeout ?? 0)
  }

  #then(step: () => Promise<void> | void): void {
    this.#steps = this.#steps.then(step)
  }

  async #prepare(version: number, bytes: Uint8Array): Promise<void> {
    this.#discard()
    const holding = this.#kept.begin()
    try {
      const config = unpackr.unpack(bytes) as Config
      const registry = await loadRegistry(config)
      const accessLog = this.#accessLogs.open(config.access_log)
      const previous = this.#active?.snapshot ?? null
      this.#metrics.beginSnapshot()
      const workshop = { ...this.#workshop, services: this.#services.open(config, holding.keep), keep: holding.keep }
      const snapshot = compileSnapshot(config, version, registry, workshop, accessLog, previous)
      this.#candidate = { version, config, snapshot, accessLog, holding }
      send({ type: 'prepared', version })
    } catch (error) {
      holding.end()
      this.#accessLogs.keep(this.#active?.accessLog ?? null)
      send({ type: 'refused', version, reason: error instanceof Error ? error.message : String(error) })
    }
  }

  async #activate(version: number): Promise<void> {
    const next = this.#candidate
    if (this.#draining) return
    if (next?.version !== version) return fail(`told to serve version ${version}, which is not prepared`)
    try {
      await this.#gateway.swap(next.snapshot)
    } catch (error) {
      return fail((error as Error).message)
    }
    const previous = this.#active
    this.#active = next
    this.#candidate = null
    this.#metrics.snapshot = version
    if (previous !== null) {
      closeUnused(previous.snapshot.upstreams, next.snapshot.upstreams)
      previous.holding.end()
    }
    this.#accessLogs.keep(next.accessLog)
    send({ type: 'active', version })
  }

  #discard(): void {
    if (this.#candidate === null) return
    closeUnused(this.#candidate.snapshot.upstreams, this.#active?.snapshot.upstreams ?? null)
    this.#candidate.holding.end()
    this.#candidate = null
    this.#accessLogs.keep(this.#active?.accessLog ?? null)
  }

  #report(id: number): void {
    const report = { pid: process.pid, version: this.#active?.version ?? 0, metrics: this.#metrics.report() }
    send({ type: 'metrics', id, report })
  }

  #drain(timeout: number): void {
    if (this.#draining) return
    this.#draining = true
    void drain(this.#gateway, timeout, () => this.#accessLogs.close(), this.#log).then(() => {
      this.#kept.close()
      // What was counted up to now would be lost with this process.
      this.#report(0)
      send({ type: 'drained' }, () => process.exit(0))
    })
  }
}

function* connectionsOf(snapshot: Snapshot | null): Iterable<UpstreamConnections> {
  for (const { name, targets } of snapshot?.upstreams.values() ?? []) {
    for (const { address, client } of targets) yield { upstream: name, target: address, ...client.stats() }
  }
}
