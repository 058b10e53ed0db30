import { createHash } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { Cluster, Redis, ReplyError } from 'ioredis'
import type { Kept, PluginLog } from '../core/plugin.ts'
import type { Counter, Distribution, Instruments } from '../core/services/instruments.ts'
import type { RedisSettings } from '../core/services/redis.ts'
import { clusterOptions, pauseBefore, singleOptions } from './redis-options.ts'
import { Outages } from './redis-outages.ts'
import { ScriptCall } from './redis-script-call.ts'
import { RedisSubscriber } from './redis-subscriber.ts'

export type RedisArgument = string | number | Buffer
export type RedisReply = string | number | Buffer | null | RedisReply[]

/**
 * `idle`: nobody has asked for anything yet. `connecting`: the first attempt. `broken`: it failed or the connection was lost;
 * further attempts follow until `close`.
 */
export type RedisState = 'idle' | 'connecting' | 'ready' | 'broken' | 'closed'

/** Why there is no reply. `detail` is for logs: it names no secret, but may name a key. */
export class RedisFault {
  /** `overloaded`: too many commands wait already. `refused`: Redis answered with an error. */
  readonly kind: 'disconnected' | 'timeout' | 'overloaded' | 'refused'
  readonly detail: string

  constructor(kind: RedisFault['kind'], detail: string) {
    this.kind = kind
    this.detail = detail
  }
}

const disconnected = new RedisFault('disconnected', 'there is no connection to Redis')
const timedOut = new RedisFault('timeout', 'Redis did not answer in time')
const overloaded = new RedisFault('overloaded', 'too many commands wait for Redis')

/** A script that Redis keeps: called by its digest, sent whole only when Redis does not know it. */
export interface RedisScript {
  /** In a cluster all keys must share a slot, `{…}` within their names sees to that. Never rejects. */
  run(keys: readonly RedisArgument[], args: readonly RedisArgument[]): Promise<RedisReply | RedisFault>
}

export interface RedisHost {
  /** Who connects: shows in metrics and in Redis's CLIENT LIST. */
  readonly role: 'primary' | 'worker'
  readonly instruments: Instruments
  readonly log: PluginLog
}

/** Upper bounds of the buckets of command durations, in seconds. */
const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/**
 * The connection of one process to Redis: a server, a cluster, or the master that sentinels name. Nothing happens before
 * its first use. It never gives up: a lost connection, or one to a Redis that hangs, is made anew after a pause that grows
 * to two seconds. What is asked meanwhile fails at once.
 *
 * Nothing is sent twice: a command whose reply was lost with the connection fails, though Redis may have answer it.
 */
export class RedisClient implements Kept {
  readonly settings: RedisSettings
  readonly #host: RedisHost
  readonly #outages: Outages
  readonly #durations: Distribution
  readonly #errors: Readonly<Record<RedisFault['kind'], Counter>>
  readonly #listeners = new Set<(state: RedisState) => void>()
  #redis: Redis | Cluster | null = null
  #subscriber: RedisSubscriber | null = null
  #state: RedisState = 'idle'
  /** Resolves when the first attempt to connect has succeeded or failed. */
  #first: Promise<void> = Promise.resolve()
  #inFlight = 0

  constructor(settings: RedisSettings, host: RedisHost) {
    this.settings = settings
    this.#host = host
    this.#outages = new Outages(settings, host.log)
    const { instruments, role } = host
    this.#durations = instruments.distribution(
      'sluice_redis_command_duration_seconds',
      'From sending a command to Redis to its reply.',
      bounds,
    )
    const errors = (kind: string): Counter =>
      instruments.counter('sluice_redis_errors_total', 'Commands to Redis without a good reply.', ['kind', kind])
    this.#errors = {
      disconnected: errors('disconnected'),
      timeout: errors('timeout'),
      overloaded: errors('overloaded'),
      refused: errors('refused'),
    }
    const read = (): number => (this.ready ? 1 : 0)
    instruments.gauge('sluice_redis_connected', 'Processes with a connection to Redis.', ['role', role], 'sum', read)
  }

  get state(): RedisState {
    return this.#state
  }

  /** Whether commands would be sent now. */
  get ready(): boolean {
    return this.#state === 'ready'
  }

  /** The name of a key or channel, with the prefix of the configuration. */
  key(name: string): string {
    return this.settings.key_prefix + name
  }

  /** Calls `listener` whenever the state changes; gives a function that ends this. */
  onState(listener: (state: RedisState) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Begins to connect, for who doesn't want the first command to wait for it. */
  connect(): void {
    if (this.#state !== 'idle') return
    const { settings } = this
    const { log, role } = this.#host
    const redis =
      settings.mode === 'cluster'
        ? new Cluster([...settings.addresses], clusterOptions(settings, `sluice-${role}`, log))
        : new Redis({ ...singleOptions(settings, `sluice-${role}`, log), retryStrategy: pauseBefore })
    this.#redis = redis
    redis.on('ready', () => this.#enter('ready'))
    redis.on('close', () => this.#enter('broken'))
    redis.on('error', (error: Error) => this.#outages.note(error))
    this.#enter('connecting')
    this.#first = new Promise((resolve) => {
      const end = this.onState((state) => {
        if (state === 'connecting') return
        end()
        resolve()
      })
    })
    // Its failure is told by 'close', the reason by 'error'.
    redis.connect().catch(() => {})
  }

  /**
   * One command. Never rejects: without a connection, or when no reply comes within `timeout` milliseconds, that is the
   * answer. Redis may have answer a command that timed out. The first commands wait until the first attempt to connect is
   * decided.
   */
  run(
    command: string,
    args: readonly RedisArgument[],
    timeout = this.settings.command_timeout,
  ): Promise<RedisReply | RedisFault> {
    return this.#guard(timeout, (redis) => redis.call(command, ...args) as Promise<RedisReply>)
  }

  /** Several commands in one round trip (in a cluster: one per command, at the same time). Replies in their order. */
  async runAll(
    commands: readonly (readonly [command: string, ...args: RedisArgument[]])[],
    timeout = this.settings.command_timeout,
  ): Promise<(RedisReply | RedisFault)[]> {
    if (this.settings.mode === 'cluster')
      return Promise.all(commands.map(([command, ...args]) => this.run(command, args, timeout)))
    const replies = await this.#guard(timeout, async (redis) => {
      const pipeline = redis.pipeline()
      for (const [command, ...args] of commands) pipeline.call(command, ...args)
      const results = (await pipeline.exec()) ?? []
      return results.map(([error, reply]) => (error === null ? (reply as RedisReply) : this.#fault(error)))
    })
    return replies instanceof RedisFault ? commands.map(() => replies) : replies
  }

  /** A Lua script. `timeout` as for `run`; `reply`: whether strings in replies are decoded, or left as bytes. */
  script(source: string, timeout = this.settings.command_timeout, reply: 'text' | 'bytes' = 'text'): RedisScript {
    const digest = createHash('sha1').update(source).digest('hex')
    const call = (redis: Redis | Cluster, command: string, script: string, rest: readonly RedisArgument[]) =>
      redis.sendCommand(new ScriptCall(command, script, rest, reply === 'text' ? 'utf8' : null)) as Promise<RedisReply>
    return {
      run: (keys, args) => {
        const rest = [keys.length, ...keys, ...args]
        return this.#guard(timeout, (redis) =>
          call(redis, 'evalsha', digest, rest).catch((error: Error) => {
            if (!error.message.startsWith('NOSCRIPT')) throw error
            return call(redis, 'eval', source, rest)
          }),
        )
      },
    }
  }

  /**
   * Hears a channel, by a connection of its own. `onListening` is called each time that this begins: at first, and whenever
   * a lost connection was made anew. What was said before may have been missed. Gives a function that ends it.
   */
  subscribe(channel: string, onMessage: (message: string) => void, onListening: () => void): () => void {
    if (this.#state === 'closed') return () => {}
    this.#subscriber ??= new RedisSubscriber(this.settings, this.#host, () => this.#nodes())
    return this.#subscriber.add(channel, { onMessage, onListening })
  }

  /** Ends all connections; what is in flight fails. */
  close(): void {
    this.#enter('closed')
    this.#subscriber?.close()
    this.#redis?.disconnect()
    this.#redis?.on('error', () => {})
  }

  /** The nodes of a cluster as it knows them by now. */
  #nodes(): readonly { host: string; port: number }[] {
    if (!(this.#redis instanceof Cluster) || !this.ready) return this.settings.addresses
    const nodes = this.#redis.nodes().flatMap(({ options: { host, port } }) => (host && port ? [{ host, port }] : []))
    return nodes.length === 0 ? this.settings.addresses : nodes
  }

  #enter(state: RedisState): void {
    if (this.#state === 'closed' || this.#state === state) return
    const before = this.#state
    this.#state = state
    if (state === 'broken') this.#outages.begin()
    if (state === 'ready' && before === 'broken') this.#outages.end()
    for (const listener of this.#listeners) listener(state)
  }

  async #guard<T>(timeout: number, send: (redis: Redis | Cluster) => Promise<T>): Promise<T | RedisFault> {
    if (this.#state === 'idle') this.connect()
    if (this.#inFlight >= this.settings.max_in_flight) return this.#count(overloaded)
    if (this.#state !== 'ready' && this.#state !== 'connecting') return this.#count(disconnected)
    this.#inFlight++
    const start = performance.now()
    const reply = await this.#timed(timeout, send)
    this.#inFlight--
    if (reply instanceof RedisFault) return this.#count(reply)
    this.#durations.record((performance.now() - start) / 1000)
    return reply
  }

  #timed<T>(timeout: number, send: (redis: Redis | Cluster) => Promise<T>): Promise<T | RedisFault> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeout, timedOut)
      const answer = (reply: T | RedisFault): void => {
        clearTimeout(timer)
        resolve(reply)
      }
      const go = (): void => {
        if (this.#redis === null || this.#state !== 'ready') return answer(disconnected)
        send(this.#redis).then(answer, (error: Error) => answer(this.#fault(error)))
      }
      if (this.#state === 'connecting') void this.#first.then(go)
      else go()
    })
  }

  #fault(error: Error): RedisFault {
    return error instanceof ReplyError ? new RedisFault('refused', this.#outages.plain(error)) : disconnected
  }

  #count(fault: RedisFault): RedisFault {
    this.#errors[fault.kind].add(1)
    return fault
  }
}
