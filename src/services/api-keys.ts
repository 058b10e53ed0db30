import { performance } from 'node:perf_hooks'
import { LRUCache } from 'lru-cache'
import type { Kept, PluginLog } from '../core/plugin.ts'
import {
  type ApiKeySettings,
  type ApiKeys as ApiKeysOfPlugins,
  ApiKeysFault,
  type KeyAnswer,
  type StoredKey,
} from '../core/services/api-keys.ts'
import type { Counter, Instruments } from '../core/services/instruments.ts'
import { type ApiKeyInterest, type ApiKeyNews, keyNamespace } from './api-key-message.ts'
import type { Keep, ServiceHost } from './host.ts'
import { type RedisClient, RedisFault, type RedisReply } from './redis.ts'
import { type StoredFields, storedFields, storedKeyOf } from './stored-key.ts'

/** Milliseconds for which a key is believed while the primary is not told of changes. */
const untrackedAge = 1000
/** Milliseconds for which it is believed that there is no key of a name. */
const unknownAge = 10_000
/** Names without a key that are remembered: they come from clients, so they have a place of their own. */
const unknownEntries = 10_000
/** Keys that are read at once; the next are read when these have come. */
const batchSize = 256
/** Names that may wait to be read. */
const longestQueue = 4096
/** Milliseconds for which Redis is left alone when it did not answer. */
const pause = 250

/**
 * API keys of a worker. The primary hears from Redis which of them have changed, so that they can be kept for long and a key
 * that is gone is gone at once. Where it does not hear, every key that is older than a second is read anew.
 */
export class ApiKeys {
  readonly #host: ServiceHost
  readonly #caches = new Set<ApiKeyCache>()
  #isTracking = false

  constructor(host: ServiceHost) {
    this.#host = host
    host.link.on('api_keys', (body) => this.#hear(body as ApiKeyNews))
  }

  open(settings: ApiKeySettings, redis: RedisClient, keep: Keep): ApiKeysOfPlugins {
    const key = `api-keys:${JSON.stringify([settings.staleness, settings.entries, redis.settings])}`
    return keep(key, () => {
      const cache = new ApiKeyCache(settings, redis, this.#host, {
        onUse: () => this.#use(cache),
        onClose: () => this.#leave(cache),
      })
      return cache
    })
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

interface Entry {
  readonly key: StoredKey | null
  /** The fields that it was made from. */
  readonly text: string
  /** `performance.now()` when Redis was asked for it. */
  readonly readAt: number
  /** The period of tracking in which that was. */
  readonly period: number
}

interface Reading {
  readonly promise: Promise<KeyAnswer>
  readonly resolve: (answer: KeyAnswer) => void
  sentAt: number
  period: number
  /** It has changed since it was sent: what comes back may be what was there before. */
  isOutdated: boolean
}

interface Owner {
  onUse(): void
  onClose(): void
}

/** What one worker knows of the keys in Redis. */
export class ApiKeyCache implements ApiKeysOfPlugins, Kept {
  readonly #settings: ApiKeySettings
  readonly #redis: RedisClient
  readonly #owner: Owner
  readonly #log: PluginLog
  readonly #counts: Counts
  readonly #known: LRUCache<string, Entry>
  readonly #unknown = new LRUCache<string, Entry>({ max: unknownEntries })
  /** Being read, or waiting for that. */
  readonly #readings = new Map<string, Reading>()
  #queue: string[] = []
  #isUsed = false
  #isClosed = false
  #isReading = false
  #isScheduled = false
  #isTracking = false
  /** Counts how often tracking has begun: what is from an earlier period may have changed unheard. */
  #period = 0
  /** `performance.now()` before which Redis is not asked. */
  #retryAt = 0

  constructor(settings: ApiKeySettings, redis: RedisClient, host: ServiceHost, owner: Owner) {
    this.#settings = settings
    this.#redis = redis
    this.#owner = owner
    this.#log = host.log
    this.#known = new LRUCache({ max: settings.entries })
    this.#counts = countsOf(host.instruments)
    const help = 'API keys of Redis that workers keep in memory.'
    host.instruments.gauge('sluice_api_keys_cached', help, [], 'sum', () => this.#known.size)
  }

  find(name: string): KeyAnswer | Promise<KeyAnswer> {
    if (!this.#isUsed) this.#begin()
    const entry = this.#known.get(name) ?? this.#unknown.get(name)
    if (entry === undefined) return this.#read(name, undefined)
    const age = performance.now() - entry.readAt
    if (entry.period !== this.#period || age >= this.#mostAge(entry)) return this.#read(name, entry)
    // Long before it is too old, so that nobody has to wait for it, and an outage finds it as young as can be.
    if (age > this.#settings.staleness / 2 && this.#isTracking) void this.#read(name, entry)
    this.#counts.cached.add(1)
    return entry.key
  }

  /** Whether changes are told. When that begins, those before may have been missed. */
  setTracking(on: boolean): void {
    if (on) this.#period++
    this.#isTracking = on
  }

  /** These have changed; `null`: all may have. */
  forget(names: readonly string[] | null): void {
    if (names === null) {
      this.#known.clear()
      this.#unknown.clear()
      for (const reading of this.#readings.values()) reading.isOutdated = true
      return
    }
    for (const name of names) {
      this.#known.delete(name)
      this.#unknown.delete(name)
      const reading = this.#readings.get(name)
      if (reading !== undefined) reading.isOutdated = true
    }
  }

  close(): void {
    this.#isClosed = true
    this.#failAll(closed)
    if (this.#isUsed) this.#owner.onClose()
  }

  #begin(): void {
    this.#isUsed = true
    this.#owner.onUse()
  }

  #mostAge({ key }: Entry): number {
    const most = this.#isTracking ? this.#settings.staleness : Math.min(untrackedAge, this.#settings.staleness)
    return key === null ? Math.min(most, unknownAge) : most
  }

  /** Asks Redis, together with others. `entry`: what is known, for when Redis does not answer. */
  #read(name: string, entry: Entry | undefined): KeyAnswer | Promise<KeyAnswer> {
    const now = performance.now()
    if (now < this.#retryAt || this.#isClosed) return this.#fallback(entry, now, unavailable)
    const pending = this.#readings.get(name)
    if (pending !== undefined) return pending.promise
    if (this.#queue.length >= longestQueue) return this.#fallback(entry, now, overloaded)
    let resolve: (answer: KeyAnswer) => void = () => {}
    const promise = new Promise<KeyAnswer>((settle) => (resolve = settle))
    this.#readings.set(name, { promise, resolve, sentAt: 0, period: 0, isOutdated: false })
    this.#enqueue(name)
    return promise
  }

  #fallback(entry: Entry | undefined, now: number, fault: ApiKeysFault): KeyAnswer {
    if (entry !== undefined && now - entry.readAt < this.#settings.staleness) return entry.key
    this.#counts.faults.add(1)
    return fault
  }

  #enqueue(name: string): void {
    this.#queue.push(name)
    if (this.#isReading || this.#isScheduled) return
    this.#isScheduled = true
    // At the end of this turn of the event loop: what its other requests ask for goes along.
    setImmediate(() => void this.#readQueue())
  }

  async #readQueue(): Promise<void> {
    this.#isScheduled = false
    this.#isReading = true
    while (this.#queue.length > 0) {
      const names = this.#queue.splice(0, batchSize)
      const sentAt = performance.now()
      for (const name of names) this.#send(name, sentAt)
      const replies = await this.#redis.runAll(
        names.map((name) => ['HMGET', this.#redis.key(keyNamespace + name), ...storedFields]),
      )
      for (let i = 0; i < names.length; i++) this.#take(names[i] as string, replies[i] as RedisReply | RedisFault)
    }
    this.#isReading = false
  }

  #send(name: string, sentAt: number): void {
    const reading = this.#readings.get(name)
    if (reading === undefined) return
    reading.sentAt = sentAt
    reading.period = this.#period
    reading.isOutdated = false
  }

  #take(name: string, reply: RedisReply | RedisFault): void {
    const reading = this.#readings.get(name)
    if (reading === undefined) return
    if (reply instanceof RedisFault && !isOtherType(reply)) return this.#stopReading(reply)
    if (reading.isOutdated) return this.#enqueue(name)
    this.#readings.delete(name)
    reading.resolve(this.#remember(name, reply, reading))
  }

  #remember(name: string, reply: RedisReply | RedisFault, { sentAt, period }: Reading): StoredKey | null {
    const text = JSON.stringify(reply)
    const before = this.#known.get(name)
    let key = before?.text === text ? before.key : null
    if (key === null) {
      const made = reply instanceof RedisFault ? 'it is no hash' : storedKeyOf(name, reply as StoredFields)
      if (typeof made !== 'string') key = made
      else if (this.#unknown.get(name)?.text !== text)
        this.#log.warn('an API key in Redis opens nothing', { key: name, reason: made })
    }
    const entry = { key, text, readAt: sentAt, period }
    if (key === null) {
      this.#known.delete(name)
      this.#unknown.set(name, entry)
      this.#counts.unknown.add(1)
    } else {
      this.#unknown.delete(name)
      this.#known.set(name, entry)
      this.#counts.found.add(1)
    }
    return key
  }

  /** Redis does not answer: nobody waits any longer, and it is left alone for a moment. */
  #stopReading({ kind }: RedisFault): void {
    this.#retryAt = performance.now() + pause
    this.#failAll(kind === 'overloaded' ? overloaded : unavailable)
  }

  #failAll(fault: ApiKeysFault): void {
    const now = performance.now()
    this.#queue = []
    for (const [name, reading] of this.#readings) {
      this.#readings.delete(name)
      // What has changed meanwhile is forgotten by now.
      reading.resolve(this.#fallback(this.#known.get(name) ?? this.#unknown.get(name), now, fault))
    }
  }
}

const unavailable = new ApiKeysFault('unavailable', 'redis_unavailable')
const overloaded = new ApiKeysFault('overloaded', 'too_many_lookups')
const closed = new ApiKeysFault('unavailable', 'closed')

/** Something else than a hash stands under the name of the key. */
function isOtherType({ kind, detail }: RedisFault): boolean {
  return kind === 'refused' && detail.startsWith('WRONGTYPE')
}

interface Counts {
  readonly cached: Counter
  readonly found: Counter
  readonly unknown: Counter
  readonly faults: Counter
}

function countsOf(instruments: Instruments): Counts {
  const counter = (result: string): Counter =>
    instruments.counter('sluice_api_key_lookups_total', 'Look-ups of API keys in Redis.', ['result', result])
  return {
    cached: counter('cached'),
    found: counter('found'),
    unknown: counter('unknown'),
    faults: counter('unavailable'),
  }
}
