import { createHash } from 'node:crypto'
import type { LimitStore, LimitStoreSettings } from '../../core/services/limits.ts'
import type { Keep, ServiceHost } from '../host.ts'
import type { RedisClient } from '../redis.ts'
import { NodeLimitStore } from './node-store.ts'
import { RedisLimitStore } from './redis-store.ts'

/** The stores of limits of a worker. */
export class LimitStoreSet {
  readonly #host: ServiceHost

  constructor(host: ServiceHost) {
    this.#host = host
  }

  /** The same settings give the same store. Throws when they need a Redis and there is none. */
  open(settings: LimitStoreSettings, redis: RedisClient | null, keep: Keep): LimitStore {
    const { store, onError, timeout, strict } = settings
    if (store !== 'node' && redis === null) throw new Error(`limits in the store "${store}" need the top-level "redis"`)
    const key = createHash('sha256')
      .update(JSON.stringify(redis?.settings ?? null))
      .digest('hex')
    if (store !== 'redis' || redis === null)
      return keep(
        `limits ${store} ${onError} ${timeout} ${strict} ${key}`,
        () => new NodeLimitStore(this.#host, settings),
      )
    const node = onError === 'node' ? this.open({ ...settings, store: 'node', onError: 'deny' }, null, keep) : null
    // The first request shall not wait for it.
    redis.connect()
    return keep(
      `limits redis ${onError} ${timeout} ${key}`,
      () => new RedisLimitStore(settings, redis, node, this.#host),
    )
  }
}
