import { createHash } from 'node:crypto'
import type { ApiKeySettings, ApiKeys } from '../core/services/api-keys.ts'
import { ApiKeyCache } from './api-key-cache.ts'
import type { ApiKeyInterest, ApiKeyNews } from './api-key-message.ts'
import type { Keep, ServiceHost } from './host.ts'
import type { RedisClient } from './redis.ts'

/**
 * API keys of a worker. The primary hears from Redis which of them have changed, so that they can be kept for long and a key
 * that is gone is gone at once. Where it does not hear, every key that is older than a second is read anew.
 */
export class ApiKeyStore {
  readonly #host: ServiceHost
  readonly #caches = new Set<ApiKeyCache>()
  #isTracking = false

  constructor(host: ServiceHost) {
    this.#host = host
    host.link.on('api_keys', (body) => this.#hear(body as ApiKeyNews))
    const help = 'API keys of Redis that workers keep in memory.'
    host.instruments.gauge('sluice_api_keys_cached', help, [], 'sum', () => this.#size())
  }

  open(settings: ApiKeySettings, redis: RedisClient, keep: Keep): ApiKeys {
    const { staleness, entries } = settings
    const key = createHash('sha256')
      .update(JSON.stringify([staleness, entries, redis.settings]))
      .digest('hex')
    return keep(`api-keys ${key}`, () => {
      const cache = new ApiKeyCache(settings, redis, this.#host, {
        onUse: () => this.#use(cache),
        onClose: () => this.#leave(cache),
      })
      return cache
    })
  }

  #size(): number {
    let size = 0
    for (const cache of this.#caches) size += cache.size
    return size
  }

  #use(cache: ApiKeyCache): void {
    if (this.#caches.size === 0) this.#say({ watch: true })
    this.#caches.add(cache)
    cache.setTracking(this.#isTracking)
  }

  #leave(cache: ApiKeyCache): void {
    if (!this.#caches.delete(cache) || this.#caches.size > 0) return
    this.#isTracking = false
    this.#say({ watch: false })
  }

  #say(interest: ApiKeyInterest): void {
    this.#host.link.send('api_keys', interest)
  }

  #hear(news: ApiKeyNews): void {
    if (news.type === 'tracking') this.#isTracking = news.on
    for (const cache of this.#caches) {
      if (news.type === 'tracking') cache.setTracking(news.on)
      else cache.forget(news.names)
    }
  }
}
