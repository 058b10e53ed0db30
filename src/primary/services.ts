import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config/schema.ts'
import type { PrimaryLink } from '../core/messages.ts'
import type { Instruments } from '../core/services/instruments.ts'
import { RedisClient } from '../services/redis.ts'
import { type Log, pluginLog } from '../telemetry/logger.ts'
import { ApiKeyTracker } from './api-keys.ts'
import { KeySetFetcher } from './key-sets.ts'
import { LimitLedger } from './limits/ledger.ts'
import { RevocationList } from './revocations.ts'

/** What there is once per node, for the services of all workers. */
export class NodeServices {
  readonly revocations: RevocationList
  readonly #log: Log
  readonly #instruments: Instruments
  readonly #keySets: KeySetFetcher
  readonly #apiKeys: ApiKeyTracker
  readonly #limits: LimitLedger
  #redis: RedisClient | null = null

  constructor(link: PrimaryLink, log: Log, instruments: Instruments) {
    this.#log = log
    this.#instruments = instruments
    this.revocations = new RevocationList(link, log, instruments)
    this.#keySets = new KeySetFetcher(link, log, instruments)
    this.#apiKeys = new ApiKeyTracker(link, pluginLog(log), instruments)
    this.#limits = new LimitLedger(link, log, instruments)
  }

  /** A configuration is in force, or about to be. */
  configure(config: Config): void {
    const previous = this.#redis
    if (!isDeepStrictEqual(previous?.settings ?? null, config.redis)) this.#redis = this.#connect(config.redis)
    this.revocations.configure(config, this.#redis)
    this.#apiKeys.configure(config)
    this.#limits.configure(this.#redis)
    if (previous !== this.#redis) previous?.close()
  }

  async close(): Promise<void> {
    this.#keySets.close()
    this.#apiKeys.close()
    await this.#limits.close()
    await this.revocations.close()
    this.#redis?.close()
  }

  /** For the admin port's status. */
  status(): object {
    return {
      redis: this.#redis === null ? 'none' : this.#redis.state,
      key_sets: this.#keySets.status(),
      api_keys: this.#apiKeys.status(),
      limits: this.#limits.status(),
      revocations: this.revocations.status(),
    }
  }

  #connect(settings: Config['redis']): RedisClient | null {
    if (settings === null) return null
    const host = { role: 'primary', instruments: this.#instruments, log: pluginLog(this.#log) } as const
    return new RedisClient(settings, host)
  }
}
