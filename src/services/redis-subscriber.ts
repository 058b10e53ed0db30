import { Redis } from 'ioredis'
import type { PluginLog } from '../core/plugin.ts'
import type { RedisAddress, RedisSettings } from '../core/services/redis.ts'
import { pauseBefore, singleOptions } from './redis-options.ts'
import { Outages } from './redis-outages.ts'

export interface Subscription {
  readonly onMessage: (message: string) => void
  /** What was said up to now may have been missed. */
  readonly onListening: () => void
}

/** Milliseconds between two signs of life that are asked for: nobody else would notice that a silent peer is gone. */
const heartbeat = 1000

/**
 * The connection that hears channels. In a cluster it leads to any of the nodes, since each passes on what is said at the
 * others; after a loss to the next one.
 */
export class RedisSubscriber {
  readonly #settings: RedisSettings
  readonly #host: { readonly role: string; readonly log: PluginLog }
  readonly #nodes: () => readonly RedisAddress[]
  readonly #outages: Outages
  readonly #channels = new Map<string, Set<Subscription>>()
  #redis: Redis | null = null
  #isReady = false
  #isLost = false
  /** Attempts since it was last connected. */
  #attempt = 0
  /** Next of the nodes; at random, so that gateways spread. */
  #turn = Math.floor(Math.random() * 1000)
  #timer: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined

  /** `nodes`: those of a cluster, as far as known. */
  constructor(
    settings: RedisSettings,
    host: { readonly role: string; readonly log: PluginLog },
    nodes: () => readonly RedisAddress[],
  ) {
    this.#settings = settings
    this.#host = host
    this.#nodes = nodes
    this.#outages = new Outages(settings, host.log, 'messages')
  }

  /** Gives a function that ends the subscription. */
  add(channel: string, subscription: Subscription): () => void {
    let subscriptions = this.#channels.get(channel)
    if (subscriptions === undefined) {
      subscriptions = new Set()
      this.#channels.set(channel, subscriptions)
    }
    subscriptions.add(subscription)
    if (this.#redis === null) this.#connect()
    else if (this.#isReady) this.#listen(this.#redis, channel, [subscription])
    return () => {
      subscriptions.delete(subscription)
      if (subscriptions.size > 0 || this.#channels.get(channel) !== subscriptions) return
      this.#channels.delete(channel)
      if (this.#isReady) this.#redis?.unsubscribe(channel).catch(() => {})
    }
  }

  close(): void {
    this.#channels.clear()
    clearTimeout(this.#timer)
    clearInterval(this.#heartbeat)
    this.#redis?.disconnect()
  }

  #connect(): void {
    const { role, log } = this.#host
    const redis = new Redis({
      ...singleOptions(this.#settings, `sluice-${role}-subscriber`, log),
      ...(this.#settings.mode === 'cluster' ? this.#nextNode() : {}),
      // One attempt per object: the next one may lead elsewhere.
      retryStrategy: null,
      sentinelRetryStrategy: () => null,
    })
    this.#redis = redis
    redis.on('ready', () => this.#begin(redis))
    redis.on('end', () => this.#lose())
    redis.on('error', (error: Error) => this.#outages.note(error))
    redis.on('message', (channel: string, message: string) => {
      for (const { onMessage } of this.#channels.get(channel) ?? []) onMessage(message)
    })
    // Its failure is told by 'end', the reason by 'error'.
    redis.connect().catch(() => {})
  }

  #nextNode(): RedisAddress | undefined {
    const nodes = this.#nodes()
    return nodes[this.#turn++ % nodes.length]
  }

  #begin(redis: Redis): void {
    this.#isReady = true
    this.#attempt = 0
    if (this.#isLost) this.#outages.end()
    this.#isLost = false
    // A lost connection shows by the missing reply.
    this.#heartbeat = setInterval(() => void redis.ping().catch(() => {}), heartbeat).unref()
    for (const [channel, subscriptions] of this.#channels) this.#listen(redis, channel, [...subscriptions])
  }

  #listen(redis: Redis, channel: string, subscriptions: readonly Subscription[]): void {
    redis.subscribe(channel).then(
      () => {
        for (const { onListening } of subscriptions) onListening()
      },
      (error: Error) => {
        this.#outages.note(error)
        redis.disconnect()
      },
    )
  }

  #lose(): void {
    this.#isReady = false
    clearInterval(this.#heartbeat)
    if (this.#channels.size === 0) {
      this.#redis = null
      return
    }
    if (!this.#isLost) this.#outages.begin()
    this.#isLost = true
    this.#attempt++
    this.#timer = setTimeout(() => this.#connect(), pauseBefore(this.#attempt)).unref()
  }
}
