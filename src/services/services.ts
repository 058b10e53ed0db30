import { createHash } from 'node:crypto'
import type { RedisSettings } from '../core/services/redis.ts'
import { refuseRedis, type Services } from '../core/services/services.ts'
import { ApiKeyStore } from './api-keys.ts'
import type { Keep, ServiceHost } from './host.ts'
import { HttpServiceStore } from './http-service.ts'
import { KeySetStore } from './key-set.ts'
import { LimitStoreSet } from './limits/stores.ts'
import { RedisClient } from './redis.ts'
import { RevokedCredentials } from './revocations.ts'
import { TokenVerifierStore } from './token-verifier-store.ts'

/** What of a configuration decides how services are opened. */
export interface ServiceSettings {
  readonly redis: RedisSettings | null
}

/** All services of a worker. They live as long as it does; a snapshot opens what it needs of them. */
export class ServiceSet {
  readonly #host: ServiceHost
  readonly #http: HttpServiceStore
  readonly #keySets: KeySetStore
  readonly #tokens: TokenVerifierStore
  readonly #revocations: RevokedCredentials
  readonly #apiKeys: ApiKeyStore
  readonly #limits: LimitStoreSet

  constructor(host: ServiceHost) {
    this.#host = host
    this.#http = new HttpServiceStore(host)
    this.#keySets = new KeySetStore(host)
    this.#tokens = new TokenVerifierStore(host)
    this.#revocations = new RevokedCredentials(host)
    this.#apiKeys = new ApiKeyStore(host)
    this.#limits = new LimitStoreSet(host)
  }

  /** For one snapshot: what it opens lives as long as `keep` says. */
  open({ redis }: ServiceSettings, keep: Keep): Services {
    return {
      http: { open: (settings) => this.#http.open(settings, keep) },
      keySets: { open: (source) => this.#keySets.open(source, keep) },
      tokens: this.#tokens.open(keep),
      revocations: this.#revocations,
      apiKeys: { open: (settings) => this.#apiKeys.open(settings, this.#redis(redis, keep), keep) },
      limits: {
        open: (settings) => this.#limits.open(settings, redis === null ? null : this.#redis(redis, keep), keep),
      },
      instruments: this.#host.instruments,
    }
  }

  /** The connection of this worker, which all its services share. It connects when the first of them uses it. */
  #redis(settings: RedisSettings | null, keep: Keep): RedisClient {
    if (settings === null) return refuseRedis()
    const key = createHash('sha256').update(JSON.stringify(settings)).digest('hex')
    const { instruments, log } = this.#host
    return keep(`redis ${key}`, () => new RedisClient(settings, { role: 'worker', instruments, log }))
  }
}
