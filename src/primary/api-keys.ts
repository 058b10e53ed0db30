import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config/schema.ts'
import type { PrimaryLink } from '../core/messages.ts'
import type { PluginLog } from '../core/plugin.ts'
import type { Instruments } from '../core/services/instruments.ts'
import { type ApiKeyInterest, type ApiKeyNews, keyNamespace } from '../services/api-key-message.ts'
import { RedisTracker } from '../services/redis-tracker.ts'

type RedisSettings = NonNullable<Config['redis']>

/**
 * Hears from Redis which API keys have changed, and tells the workers, so that a key that is killed is dead in all of them.
 * Nothing is asked of Redis while no worker uses keys that it holds.
 *
 * The nodes of a cluster each tell of their own keys only, and come and go: there nothing is heard, and workers read keys anew
 * when they are older than a second.
 */
export class ApiKeyTracker {
  readonly #link: PrimaryLink
  readonly #log: PluginLog
  /** Workers that use keys of Redis. */
  readonly #watchers = new Set<number>()
  #settings: RedisSettings | null = null
  #tracker: RedisTracker | null = null
  #isTracking = false

  constructor(link: PrimaryLink, log: PluginLog, instruments: Instruments) {
    this.#link = link
    this.#log = log
    link.on('api_keys', (body, worker) => this.#hear(body as ApiKeyInterest, worker))
    link.onLeave((worker) => this.#lose(worker))
    const help = 'Whether Redis tells of every change to API keys.'
    instruments.gauge('sluice_api_keys_tracked', help, [], 'sum', () => (this.#isTracking ? 1 : 0))
  }

  /** Where Redis is from now on. */
  configure({ redis }: Pick<Config, 'redis'>): void {
    if (isDeepStrictEqual(redis, this.#settings)) return
    this.#end()
    this.#settings = redis
    if (this.#watchers.size > 0) this.#begin()
  }

  close(): void {
    this.#watchers.clear()
    this.#end()
  }

  /** For `/status`. */
  status(): object {
    return { tracking: this.#isTracking }
  }

  #hear({ watch }: ApiKeyInterest, worker: number): void {
    if (!watch) return this.#lose(worker)
    this.#watchers.add(worker)
    if (this.#tracker === null) this.#begin()
    else this.#link.send(worker, 'api_keys', this.#trackingNews())
  }

  #lose(worker: number): void {
    if (this.#watchers.delete(worker) && this.#watchers.size === 0) this.#end()
  }

  #begin(): void {
    const settings = this.#settings
    if (settings === null || settings.mode === 'cluster') return
    const prefix = settings.key_prefix + keyNamespace
    this.#tracker = new RedisTracker(settings, prefix, this.#log, {
      onBegin: () => this.#setTracking(true),
      onEnd: () => this.#setTracking(false),
      onChange: (keys) => {
        const names = keys === null ? null : keys.map((key) => key.slice(prefix.length))
        this.#tell({ type: 'changed', names })
      },
    })
  }

  #end(): void {
    this.#tracker?.close()
    this.#tracker = null
    if (this.#isTracking) this.#setTracking(false)
  }

  #setTracking(on: boolean): void {
    this.#isTracking = on
    this.#tell(this.#trackingNews())
  }

  #trackingNews(): ApiKeyNews {
    return { type: 'tracking', on: this.#isTracking }
  }

  #tell(news: ApiKeyNews): void {
    for (const worker of this.#watchers) this.#link.send(worker, 'api_keys', news)
  }
}
