import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { trialLimitOf } from '../kinds.ts'
import type { Load } from '../load/load.ts'
import { gatewayConfig, type Settings, type Surroundings } from './configuration.ts'
import type { Credentials } from './credentials.ts'
import { Gateway } from './gateway.ts'
import { Origins } from './origins.ts'
import { createFolder, freePort } from './process.ts'
import { Redis } from './redis.ts'

export interface OwnOptions {
  readonly workers: number
  readonly origins: number
  readonly store: 'node' | 'redis'
  readonly storeTimeout: string
  readonly credentials: Credentials
}

/** A reload that was asked for. */
export interface Reloaded {
  /** Milliseconds until the admin port said that it is done. */
  readonly took: number
  readonly outcome: string
  /** Whether the outcome is what the file deserved. */
  readonly asExpected: boolean
}

/** A built gateway, processes behind it, and a Redis where there is one. */
export class OwnGateway {
  readonly gateway: Gateway
  readonly origins: Origins
  readonly redis: Redis | null
  readonly port: number
  readonly reloads: Reloaded[] = []
  /** The highest limit of the consumer `trial` since the load began. */
  mostOfTrial = 0
  readonly #surroundings: Surroundings
  #settings: Settings
  #rate = 0
  #load: Load | null = null

  private constructor(
    gateway: Gateway,
    origins: Origins,
    redis: Redis | null,
    made: readonly [Surroundings, Settings],
  ) {
    this.gateway = gateway
    this.origins = origins
    this.redis = redis
    ;[this.#surroundings, this.#settings] = made
    this.port = this.#surroundings.port
  }

  static async start({ workers, origins: count, store, storeTimeout, credentials }: OwnOptions): Promise<OwnGateway> {
    const folder = createFolder()
    writeFileSync(join(folder, 'jwks.json'), JSON.stringify(credentials.jwks))
    const ports: number[] = []
    while (ports.length < count + 2) {
      const port = await freePort()
      if (!ports.includes(port)) ports.push(port)
    }
    const [port, adminPort, ...originPorts] = ports as [number, number, ...number[]]
    const redis = store === 'redis' ? await Redis.start(folder) : null
    const origins = await Origins.start(folder, originPorts)
    const surroundings = {
      credentials,
      originPorts,
      redisUrl: redis?.url ?? null,
      store,
      storeTimeout,
      adminPort,
      port,
    }
    // Without limits until the load is known.
    const settings = { version: 1, trialLimit: 1_000_000, globalLimit: null, furtherRoutes: 10 }
    const gateway = await Gateway.start(folder, gatewayConfig(settings, surroundings), workers, adminPort)
    return new OwnGateway(gateway, origins, redis, [surroundings, settings])
  }

  get version(): number {
    return this.#settings.version
  }

  get pids(): number[] {
    return [...this.origins.pids, ...(this.redis === null ? [] : [this.redis.pid])]
  }

  /** Puts limits in force that fit the load. */
  async limit(rate: number, globalLimit: number | null): Promise<void> {
    this.#rate = rate
    this.mostOfTrial = trialLimitOf(rate)
    const most = globalLimit === null ? null : Math.round(rate * globalLimit)
    await this.#apply({ trialLimit: this.mostOfTrial, globalLimit: most })
  }

  follow(load: Load): void {
    this.#load = load
  }

  async killWorker(): Promise<void> {
    const [pid] = await this.gateway.workerPids()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  }

  /** Other routes and other limits; every fifth time a file with a fault, which must change nothing. */
  async reloadAnew(): Promise<void> {
    const count = this.reloads.length
    if (count % 5 === 4) return this.#applyFaulty()
    const usual = trialLimitOf(this.#rate)
    // Before it can be in force.
    this.mostOfTrial = usual * 2
    await this.#apply({ trialLimit: count % 2 === 0 ? usual * 2 : usual, furtherRoutes: (count * 37) % 200 })
  }

  /** Nothing but routes that nobody asks for comes along. */
  async reloadAlike(): Promise<void> {
    await this.#apply({ furtherRoutes: this.#settings.furtherRoutes + 50 })
  }

  async stop(): Promise<number | string> {
    const how = await this.gateway.stop()
    await Promise.all([this.origins.stop(), this.redis?.stop()])
    return how
  }

  async #apply(change: Partial<Settings>): Promise<void> {
    const { version } = this.#settings
    const next = { ...this.#settings, ...change, version: version + 1 }
    await this.#load?.allow({ oldest: version, newest: next.version })
    const { outcome, faults, took } = await this.gateway.reload(gatewayConfig(next, this.#surroundings))
    const asExpected = outcome === 'activated' || outcome === 'unchanged'
    if (this.#load !== null) this.reloads.push({ took, outcome, asExpected })
    else if (!asExpected) throw new Error(`the gateway refused its configuration: ${faults.join('; ')}`)
    this.#settings = asExpected ? next : this.#settings
    await this.#load?.allow({ oldest: this.version, newest: this.version })
  }

  async #applyFaulty(): Promise<void> {
    const config = {
      ...gatewayConfig(this.#settings, this.#surroundings),
      routes: [{ name: 'fault', upstream: 'nowhere' }],
    }
    const { outcome, took } = await this.gateway.reload(config)
    this.reloads.push({ took, outcome, asExpected: outcome === 'invalid' })
  }
}
