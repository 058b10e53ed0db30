import type { Attempt, ClientSettings, ClientStats, OutgoingRequest, ResponseSink, UpstreamClient } from './client.ts'
import { HeadCache } from './head-cache.ts'
import type { Resolver } from './resolver.ts'
import { SocketAttempt, type WaitingRoom } from './socket-attempt.ts'
import { Connection, type ConnectionPool } from './socket-connection.ts'
import { type Swept, sweep } from './sweep.ts'
import { WaitingQueue } from './waiting-queue.ts'

/** HTTP/1.1 to one `http:` target over keep-alive connections of our own. Nothing is connected yet. */
export function createSocketClient(settings: ClientSettings, resolver: Resolver): UpstreamClient {
  return new SocketClient(settings, resolver)
}

/** Milliseconds before the upstream's own limit at which an idle connection is given up, so that they don't cross. */
const idleMargin = 1000

/** See `createSocketClient`. */
export class SocketClient implements UpstreamClient, ConnectionPool, WaitingRoom, Swept {
  readonly settings: ClientSettings
  readonly resolver: Resolver
  readonly cache = new HeadCache()

  /** A stack: the connection used last is taken first, its memory and its congestion window are warm. */
  private idle: Connection[] = []
  private readonly waiting = new WaitingQueue<SocketAttempt>()
  private openCount = 0
  private openedCount = 0
  private closed = false

  constructor(settings: ClientSettings, resolver: Resolver) {
    this.settings = settings
    this.resolver = resolver
  }

  start(request: OutgoingRequest, sink: ResponseSink, fresh: boolean): Attempt {
    const attempt = new SocketAttempt(request, sink, fresh, this)
    this.carry(attempt)
    return attempt
  }

  /** Begins an attempt that has no connection. */
  carry(attempt: SocketAttempt): void {
    const connection = attempt.fresh ? undefined : this.idle.pop()
    if (connection !== undefined) connection.begin(attempt)
    else this.startWithoutIdle(attempt)
  }

  stats(): ClientStats {
    return { open: this.openCount, idle: this.idle.length, waiting: this.waiting.length, opened: this.openedCount }
  }

  /** Requests may still be started afterwards, by whoever runs on an older snapshot; their connections close at once. */
  close(): void {
    this.closed = true
    const idle = this.idle
    this.idle = []
    for (const connection of idle) connection.destroy()
  }

  released(connection: Connection): void {
    const waiter = this.waiting.first
    if (waiter !== null && !waiter.fresh) {
      this.waiting.remove(waiter)
      connection.begin(waiter)
    } else if (waiter !== null || this.closed || this.idle.length >= this.settings.maxIdle) {
      // Who waits for a fresh connection gets the place.
      connection.destroy()
    } else {
      connection.idle = true
      connection.expiresAt = sweep.now + idleTime(connection.idleHint, this.settings.idleTimeout)
      this.idle.push(connection)
    }
  }

  gone(connection: Connection): void {
    this.openCount--
    if (connection.idle) {
      const index = this.idle.indexOf(connection)
      if (index !== -1) this.idle.splice(index, 1)
    }
    const waiter = this.waiting.shift()
    if (waiter !== null) this.connect(waiter)
  }

  leave(attempt: SocketAttempt): void {
    this.waiting.remove(attempt)
  }

  sweep(now: number): boolean {
    for (const connection of this.idle.slice()) if (connection.expiresAt <= now) connection.destroy()

    let attempt = this.waiting.first
    while (attempt !== null) {
      const { next } = attempt
      if (attempt.deadline <= now) {
        this.waiting.remove(attempt)
        attempt.failSoon('upstream_connect_timeout', 'no connection became free')
      }
      attempt = next
    }
    return this.openCount !== 0 || this.waiting.length !== 0
  }

  private startWithoutIdle(attempt: SocketAttempt): void {
    const { maxConnections, maxWaiting } = this.settings
    // A fresh connection takes the place of the idle one that was used longest ago.
    if (this.openCount >= maxConnections) this.idle[0]?.destroy()
    if (this.openCount < maxConnections) return this.connect(attempt)
    if (this.waiting.length >= maxWaiting)
      return attempt.failSoon('upstream_overloaded', 'too many requests are waiting')
    const { connectTimeout } = attempt.request
    attempt.deadline = connectTimeout > 0 ? performance.now() + connectTimeout : Infinity
    this.waiting.push(attempt)
  }

  private connect(attempt: SocketAttempt): void {
    this.openCount++
    this.openedCount++
    sweep.add(this)
    const { deadline } = attempt
    const { connectTimeout } = attempt.request
    const timeout = connectTimeout > 0 && deadline !== 0 ? Math.max(1, deadline - performance.now()) : connectTimeout
    new Connection(this).open(attempt, timeout)
  }
}

/** Milliseconds that a connection may be idle. */
export function idleTime(hint: number, limit: number): number {
  return hint === -1 ? limit : Math.min(limit, hint - Math.min(idleMargin, hint / 2))
}
