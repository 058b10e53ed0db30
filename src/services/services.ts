import type { RedisSettings } from '../core/services/redis.ts'
import { type Services, servicesAtRest } from '../core/services/services.ts'
import type { Keep, ServiceHost } from './host.ts'
import { HttpServiceStore } from './http-service.ts'
import { KeySetStore } from './key-set.ts'

/** What of a configuration decides how services are opened. */
export interface ServiceSettings {
  readonly redis: RedisSettings | null
}

/** All services of a worker. They live as long as it does; a snapshot opens what it needs of them. */
export class ServiceSet {
  readonly #host: ServiceHost
  readonly #http: HttpServiceStore
  readonly #keySets: KeySetStore

  constructor(host: ServiceHost) {
    this.#host = host
    this.#http = new HttpServiceStore(host)
    this.#keySets = new KeySetStore(host)
  }

  /** For one snapshot: what it opens lives as long as `keep` says. */
  open(_settings: ServiceSettings, keep: Keep): Services {
    return {
      ...servicesAtRest,
      http: { open: (settings) => this.#http.open(settings, keep) },
      keySets: { open: (source) => this.#keySets.open(source, keep) },
      instruments: this.#host.instruments,
    }
  }
}
