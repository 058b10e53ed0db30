import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { fileURLToPath } from 'node:url'
import { formatFault } from '../config/fault.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { WorkerReport } from '../core/messages.ts'
import { createLogger, type Log } from '../telemetry/logger.ts'
import { Admin, type AdminSource } from './admin.ts'
import { banner } from './banner.ts'
import { Addresses } from './claim.ts'
import { countCores } from './cores.ts'
import { Figures } from './figures.ts'
import { Link } from './link.ts'
import { type InForce, type Loaded, packConfig, Reload, type ReloadResult } from './reload.ts'
import type { RevocationList } from './revocations.ts'
import { NodeServices } from './services.ts'
import { Supervisor } from './supervisor.ts'
import { packageVersion } from './version.ts'
import { type Watch, watchFiles } from './watch.ts'

export interface PrimarySettings {
  readonly configFile: string
  /** Goes before the configuration's `workers`. */
  readonly workers?: number | undefined
  /** Talk to a person: a banner and short lines instead of JSON. */
  readonly terminal: boolean
}

/** What a worker runs: the command itself, in its other role. */
const script = fileURLToPath(new URL('../main.js', import.meta.url))

/** Milliseconds that /metrics and /status wait for a worker's figures. */
const patience = 1000

/**
 * Runs the gateway until it is told to stop. Resolves with the exit code: 0 after a drain, 1 when it could not start,
 * could not keep its workers alive, or was told twice to stop.
 */
export async function startPrimary(settings: PrimarySettings): Promise<number> {
  const { configFile, terminal } = settings
  const log = createLogger({ role: 'primary', terminal })
  process.title = 'sluice: primary'
  process.on('uncaughtException', (error) => {
    // Workers notice that the channel is gone, and drain.
    log.fatal({ stack: error.stack }, `the primary failed: ${error.message}`)
    process.exit(1)
  })

  const loaded = await read(configFile)
  if ('faults' in loaded) return refuse(log, [...loaded.faults, 'the configuration is not valid, nothing was started'])
  for (const warning of loaded.warnings) log.warn(warning)

  const addresses = new Addresses()
  const placement = await addresses.place(loaded.config)
  if ('faults' in placement) return refuse(log, placement.faults)
  placement.keep()

  const { hash, files } = loaded
  const inForce = { version: 1, hash, config: placement.config, since: Date.now() }
  const primary = new Primary(settings, log, addresses, inForce)
  return primary.run(files)
}

async function read(configFile: string): Promise<Loaded> {
  const loaded = await loadConfig(configFile)
  if ('faults' in loaded) return { faults: loaded.faults.map(formatFault), files: loaded.files }
  return { ...loaded, warnings: loaded.warnings.map(formatFault) }
}

/** The last line is the reason of the end. */
function refuse(log: Log, lines: readonly string[]): 1 {
  for (const line of lines.slice(0, -1)) log.error(line)
  log.fatal(lines.at(-1) ?? '')
  return 1
}

/** The primary of a gateway whose first configuration is valid and whose addresses are free. */
class Primary implements AdminSource {
  readonly #settings: PrimarySettings
  readonly #log: Log
  readonly #startedAt = Date.now()
  readonly #admin = new Admin(this)
  readonly #figures = new Figures()
  readonly #services: NodeServices
  readonly #supervisor: Supervisor
  readonly #reload: Reload
  readonly #ended: Promise<number>
  /** Aborted when there is no time for a drain. */
  readonly #hurry = new AbortController()
  #end: (code: number) => void = () => {}
  #watch: Watch | null = null
  #phase: 'starting' | 'serving' | 'draining' = 'starting'

  constructor(settings: PrimarySettings, log: Log, addresses: Addresses, first: InForce) {
    this.#settings = settings
    this.#log = log
    this.#ended = new Promise((resolve) => (this.#end = resolve))
    const onHopeless = (reason: string): void => {
      log.fatal(reason)
      this.#end(1)
    }
    const link = new Link()
    this.#services = new NodeServices(link, log, this.#figures.instruments)
    this.#services.configure(first.config)
    // The front end answers 431 beyond 4 kB of header fields unless this is set when it is loaded.
    const env = { ...process.env, SLUICE_WORKER: '1', UWS_HTTP_MAX_HEADERS_SIZE: '16384' }
    const onReport = (report: WorkerReport): void => this.#figures.take(report)
    const onGone = (pid: number): void => this.#figures.retire(pid)
    this.#supervisor = new Supervisor(
      { script, env, log, link, onHopeless, onReport, onGone },
      packConfig(first.version, first.config),
    )
    this.#reload = new Reload(
      {
        load: () => read(settings.configFile),
        addresses,
        admin: this.#admin,
        supervisor: this.#supervisor,
        log,
        onRead: (files) => this.#watch?.follow(files),
        onChange: (current, previous) => {
          this.#services.configure(current.config)
          this.#resize(current.config)
          this.#announce(current.config, previous.config)
        },
      },
      first,
    )
  }

  async run(files: readonly string[]): Promise<number> {
    const { config } = this.#reload.current
    const change = await this.#admin.stage(config.admin)
    if ('fault' in change) return refuse(this.#log, [change.fault])
    change.commit()

    const signals = this.#listenToSignals()
    await this.#services.revocations.known(patience)
    if (this.#phase === 'starting') this.#resize(config)
    void this.#supervisor.serving().then(() => this.#serve(files))
    const code = await this.#ended

    this.#watch?.close()
    this.#admin.close()
    await this.#services.close()
    for (const [signal, listener] of Object.entries(signals)) process.off(signal, listener)
    return code
  }

  #serve(files: readonly string[]): void {
    if (this.#phase !== 'starting') return
    this.#phase = 'serving'
    this.#watch = watchFiles(files, () => void this.#reload.request('file'))
    const { config, version, hash } = this.#reload.current
    const workers = this.#supervisor.status().length
    if (this.#settings.terminal) {
      process.stdout.write(banner({ config, workers, admin: this.#admin.address }))
      return
    }
    this.#announce(config, null)
    this.#log.info({ version, hash, workers, routes: config.routes.length }, 'ready')
  }

  /** Says where the gateway can be reached, less what `previous` had already. */
  #announce({ listeners, admin }: Config, previous: Config | null): void {
    for (const { address, tls } of listeners) {
      if (previous?.listeners.some((known) => known.address === address) === true) continue
      this.#log.info({ address, tls: tls !== null }, 'listening')
    }
    if (admin !== null && admin.address !== previous?.admin?.address)
      this.#log.info({ address: admin.address }, 'admin listening')
  }

  #resize({ workers, shutdown_timeout }: Config): void {
    const wanted = this.#settings.workers ?? workers
    this.#supervisor.resize(wanted === 'auto' ? countCores() : wanted, shutdown_timeout)
  }

  #listenToSignals(): Record<string, () => void> {
    const listeners = {
      SIGTERM: () => void this.#stop('SIGTERM'),
      SIGINT: () => void this.#stop('SIGINT'),
      SIGHUP: () => {
        // A terminal that was closed sends it, too, and nobody could end the gateway any more.
        if (this.#settings.terminal && !isatty(1)) void this.#stop('SIGHUP')
        else void this.#reload.request('signal')
      },
      SIGUSR2: () => this.#supervisor.reopenLogs(),
    }
    for (const [signal, listener] of Object.entries(listeners)) process.on(signal, listener)
    return listeners
  }

  async #stop(signal: string): Promise<void> {
    if (this.#phase === 'draining') {
      this.#log.warn({ signal }, 'told to stop again, ending at once')
      this.#hurry.abort()
      this.#supervisor.kill()
      return this.#end(1)
    }
    this.#phase = 'draining'
    const { shutdown_delay, shutdown_timeout } = this.#reload.current.config
    this.#log.info({ signal, delay_ms: shutdown_delay, timeout_ms: shutdown_timeout }, 'draining')
    this.#reload.close()
    this.#watch?.close()
    // Whoever balances load over gateways gets time to see that this one is not ready any more.
    await sleep(shutdown_delay, undefined, { signal: this.#hurry.signal }).catch(() => {})
    await this.#supervisor.drain(shutdown_timeout)
    if (this.#hurry.signal.aborted) return
    this.#log.info('stopped')
    this.#end(0)
  }

  get revocations(): RevocationList {
    return this.#services.revocations
  }

  state(): 'ready' | 'starting' | 'degraded' | 'draining' {
    if (this.#phase !== 'serving') return this.#phase
    return this.#supervisor.ready ? 'ready' : 'degraded'
  }

  reload(): Promise<ReloadResult> {
    return this.#reload.request('admin')
  }

  async metrics(): Promise<string> {
    const workersMissing = await this.#supervisor.collect(patience)
    const workers = this.#supervisor.status()
    const { version, hash, since } = this.#reload.current
    return this.#figures.metrics({
      version: packageVersion,
      workersWanted: workers.length,
      workersAlive: workers.filter(({ state }) => state !== 'dead').length,
      workersMissing,
      workerRestarts: this.#supervisor.restarts,
      configVersion: version,
      configHash: hash,
      configAge: seconds(since),
      lastReloadOk: this.#reload.lastOk,
    })
  }

  async status(): Promise<object> {
    await this.#supervisor.collect(patience)
    const { version, hash, since, config } = this.#reload.current
    return {
      version: packageVersion,
      pid: process.pid,
      state: this.state(),
      uptime: seconds(this.#startedAt),
      configuration: { version, hash, age: seconds(since), last_reload_ok: this.#reload.lastOk },
      workers: this.#supervisor.status(),
      upstreams: this.#figures.upstreams(config),
      ...this.#services.status(),
      busiest_keys: this.#figures.busiestKeys(),
    }
  }
}

function seconds(since: number): number {
  return Math.round((Date.now() - since) / 1000)
}
