import { performance } from 'node:perf_hooks'
import { LRUCache } from 'lru-cache'
import type { Kept, PluginLog } from '../core/plugin.ts'
import {
  type ApiKeySettings,
  type ApiKeys,
  ApiKeysFault,
  type KeyAnswer,
  type StoredKey,
} from '../core/services/api-keys.ts'
import type { Counter, Instruments } from '../core/services/instruments.ts'
import { keyNamespace } from './api-key-message.ts'
import type { ServiceHost } from './host.ts'
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

interface Entry {
  readonly key: StoredKey | null
  /** The fields that it was made from. */
  readonly text: string
  /** `performance.now()` when Redis was asked for it. */
  readonly readAt: number
  /** The period of tracking in which that was. */
  readonly period: number
}

/** A key that is being read, or waits for that. */
interface Reading {
  readonly name: string
  readonly promise: Promise<KeyAnswer>
  readonly resolve: (answer: KeyAnswer) => void
  /** `performance.now()`; 0: it waits. */
  sentAt: number
  period: number
}

interface Owner {
  onUse(): void
  onClose(): void
}

/** What one worker knows of the keys in Redis. Nothing begins before the first key is asked for. */
export class ApiKeyCache implements ApiKeys, Kept {
  readonly #settings: ApiKeySettings
  readonly #redis: RedisClient
  readonly #owner: Owner
  readonly #log: PluginLog
  readonly #counts: Counts
  readonly #known: LRUCache<string, Entry>
  readonly #unknown = new LRUCache<string, Entry>({ max: unknownEntries })
  /** Those that whoever asks for the same name may join. */
  readonly #readings = new Map<string, Reading>()
  #queue: Reading[] = []
  #isUsed = false
  #isClosed = false
  #isReading = false
  #isScheduled = false
  #isTracking = false
  /** Counts how often tracking has begun: what is from an earlier period may have changed unheard. */
  #period = 0
  /** Redis did not answer when it was last asked. */
  #isFailing = false
  /** `performance.now()` before which it is not asked again. */
  #retryAt = 0

  constructor(settings: ApiKeySettings, redis: RedisClient, host: ServiceHost, owner: Owner) {
    this.#settings = settings
    this.#redis = redis
    this.#owner = owner
    this.#log = host.log
    this.#known = new LRUCache({ max: settings.entries })
    this.#counts = countsOf(host.instruments)
  }

  /** Keys that it holds. */
  get size(): number {
    return this.#known.size
  }

  find(name: string): KeyAnswer | Promise<KeyAnswer> {
    if (!this.#isUsed) this.#begin()
    const entry = this.#known.get(name) ?? this.#unknown.get(name)
    if (entry === undefined) return this.#read(name, undefined)
    const age = performance.now() - entry.readAt
    const { staleness } = this.#settings
    if (entry.period !== this.#period || age >= this.#mostAge(entry)) {
      // While Redis is down nobody waits to hear that again.
      if (!this.#isFailing || age >= staleness) return this.#read(name, entry)
      void this.#read(name, entry)
    } else if (this.#isTracking && age > staleness / 2) {
      // Long before it is too old: nobody has to wait for it, and an outage finds it young.
      void this.#read(name, entry)
    }
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
      for (const name of this.#readings.keys()) this.#setApart(name)
      return
    }
    for (const name of names) {
      this.#known.delete(name)
      this.#unknown.delete(name)
      this.#setApart(name)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#failQueue(unavailable)
    if (this.#isUsed) this.#owner.onClose()
  }

  /** What is on its way may be what was there before: it is for those who have asked already, and for nobody else. */
  #setApart(name: string): void {
    const reading = this.#readings.get(name)
    if (reading !== undefined && reading.sentAt !== 0) this.#readings.delete(name)
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
    const reading: Reading = { name, promise, resolve, sentAt: 0, period: 0 }
    this.#readings.set(name, reading)
    this.#queue.push(reading)
    if (!this.#isReading && !this.#isScheduled) {
      this.#isScheduled = true
      // At the end of this turn of the event loop: what its other requests ask for goes along.
      setImmediate(() => void this.#readQueue())
    }
    return promise
  }

  #fallback(entry: Entry | undefined, now: number, fault: ApiKeysFault): KeyAnswer {
    if (entry !== undefined && now - entry.readAt < this.#settings.staleness) return entry.key
    this.#counts.faults.add(1)
    return fault
  }

  async #readQueue(): Promise<void> {
    this.#isScheduled = false
    this.#isReading = true
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, batchSize)
      const sentAt = performance.now()
      for (const reading of batch) {
        reading.sentAt = sentAt
        reading.period = this.#period
      }
      const replies = await this.#redis.runAll(
        batch.map(({ name }) => ['HMGET', this.#redis.key(keyNamespace + name), ...storedFields]),
      )
      this.#takeBatch(batch, replies)
    }
    this.#isReading = false
  }

  #takeBatch(batch: readonly Reading[], replies: readonly (RedisReply | RedisFault)[]): void {
    const now = performance.now()
    let faults = 0
    let fault = unavailable
    for (let i = 0; i < batch.length; i++) {
      const reading = batch[i] as Reading
      const reply = replies[i] as RedisReply | RedisFault
      if (reply instanceof RedisFault && !isOtherType(reply)) {
        faults++
        fault = reply.kind === 'overloaded' ? overloaded : unavailable
        this.#fail(reading, fault, now)
      } else {
        this.#settle(reading, this.#take(reading, reply))
      }
    }
    // A cluster may lack one node only.
    this.#isFailing = faults === batch.length
    if (!this.#isFailing) return
    this.#retryAt = now + pause
    this.#failQueue(fault)
  }

  #take(reading: Reading, reply: RedisReply | RedisFault): StoredKey | null {
    const { name, sentAt, period } = reading
    const text = JSON.stringify(reply)
    const known = this.#known.get(name)
    const key = known?.text === text ? known.key : this.#keyOf(name, text, reply)
    if (key === null) this.#counts.unknown.add(1)
    else this.#counts.found.add(1)
    if (this.#readings.get(name) !== reading) return key

    const entry = { key, text, readAt: sentAt, period }
    const [place, other] = key === null ? [this.#unknown, this.#known] : [this.#known, this.#unknown]
    place.set(name, entry)
    other.delete(name)
    return key
  }

  #keyOf(name: string, text: string, reply: RedisReply | RedisFault): StoredKey | null {
    const key = reply instanceof RedisFault ? 'it is no hash' : storedKeyOf(name, reply as StoredFields)
    if (typeof key !== 'string') return key
    if (this.#unknown.get(name)?.text !== text)
      this.#log.warn('an API key in Redis opens nothing', { key: name, reason: key })
    return null
  }

  #failQueue(fault: ApiKeysFault): void {
    const now = performance.now()
    for (const reading of this.#queue) this.#fail(reading, fault, now)
    this.#queue = []
  }

  #fail(reading: Reading, fault: ApiKeysFault, now: number): void {
    const entry = this.#known.get(reading.name) ?? this.#unknown.get(reading.name)
    this.#settle(reading, this.#fallback(entry, now, fault))
  }

  #settle(reading: Reading, answer: KeyAnswer): void {
    if (this.#readings.get(reading.name) === reading) this.#readings.delete(reading.name)
    reading.resolve(answer)
  }
}

const unavailable = new ApiKeysFault('unavailable', 'redis_unavailable')
const overloaded = new ApiKeysFault('overloaded', 'too_many_lookups')

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
