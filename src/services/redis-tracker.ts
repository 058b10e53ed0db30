import { Redis } from 'ioredis'
import type { PluginLog } from '../core/plugin.ts'
import type { RedisSettings } from '../core/services/redis.ts'
import { pauseBefore, singleOptions } from './redis-options.ts'
import { Outages } from './redis-outages.ts'

/** Milliseconds between two signs of life that are asked for: nobody else would notice that a silent Redis is gone. */
const heartbeat = 500
/** Milliseconds before the next attempt where Redis refuses to tell of changes. */
const refusedPause = 30_000

export interface TrackerListener {
  /** Every change from now on is told. Those before may have been missed. */
  onBegin(): void
  /** Changes are not told any more. */
  onEnd(): void
  /** These keys, with all that stands before their names, have changed or gone; `null`: all of them. */
  onChange(keys: readonly string[] | null): void
}

/**
 * Hears from Redis of every change to keys that begin alike, whoever makes it and by whatever command: server-assisted
 * client-side caching in broadcasting mode, which Redis has from version 6.
 *
 * Under RESP2 what has changed is told to a connection that listens to a certain channel. It may be the one that has asked
 * for it: so there is no second one whose loss could go unnoticed.
 */
export class RedisTracker {
  readonly #settings: RedisSettings
  readonly #prefix: string
  readonly #log: PluginLog
  readonly #listener: TrackerListener
  readonly #outages: Outages
  #redis: Redis | null = null
  #isTracking = false
  #isClosed = false
  #hasRefused = false
  #hasLost = false
  /** Attempts since it last worked. */
  #attempt = 0
  #timer: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined

  /** Connects at once, to a single server or the master that sentinels name. */
  constructor(settings: RedisSettings, prefix: string, log: PluginLog, listener: TrackerListener) {
    this.#settings = settings
    this.#prefix = prefix
    this.#log = log
    this.#listener = listener
    this.#outages = new Outages(settings, log)
    this.#connect()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    clearInterval(this.#heartbeat)
    this.#redis?.disconnect()
  }

  #connect(): void {
    const redis = new Redis({
      ...singleOptions(this.#settings, 'sluice-primary-tracker', this.#log),
      // One attempt per object: each begins with nothing.
      retryStrategy: null,
      sentinelRetryStrategy: () => null,
    })
    this.#redis = redis
    redis.on('ready', () => void this.#track(redis))
    redis.on('end', () => this.#lose())
    redis.on('error', (error: Error) => this.#outages.note(error))
    redis.on('messageBuffer', (_channel: Buffer, keys: unknown) => this.#hear(keys))
    // Its failure is told by 'end', the reason by 'error'.
    redis.connect().catch(() => {})
  }

  async #track(redis: Redis): Promise<void> {
    try {
      const id = (await redis.call('CLIENT', 'ID')) as number
      await redis.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', this.#prefix)
      await redis.subscribe('__redis__:invalidate')
    } catch (error) {
      // A connection that was lost says so by 'end'.
      if (redis.status === 'ready') this.#refuse(error as Error)
      redis.disconnect()
      return
    }
    if (this.#isClosed) return
    if (this.#hasLost) this.#outages.end()
    this.#hasLost = false
    this.#hasRefused = false
    this.#attempt = 0
    this.#isTracking = true
    this.#heartbeat = setInterval(() => void redis.ping().catch(() => {}), heartbeat).unref()
    this.#listener.onBegin()
  }

  #hear(keys: unknown): void {
    if (this.#isTracking) this.#listener.onChange(Array.isArray(keys) ? keys.map(String) : null)
  }

  #refuse(error: Error): void {
    if (!this.#hasRefused) {
      const reason = this.#outages.plain(error)
      this.#log.warn('Redis does not tell of changes: what it holds is read anew every second', { reason })
    }
    this.#hasRefused = true
  }

  #lose(): void {
    clearInterval(this.#heartbeat)
    const wasTracking = this.#isTracking
    this.#isTracking = false
    if (this.#isClosed) return
    if (wasTracking) this.#listener.onEnd()
    if (!this.#hasLost && !this.#hasRefused) {
      this.#outages.begin()
      this.#hasLost = true
    }
    this.#attempt++
    const wait = this.#hasRefused ? refusedPause : pauseBefore(this.#attempt)
    this.#timer = setTimeout(() => this.#connect(), wait).unref()
  }
}
