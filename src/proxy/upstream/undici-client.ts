import type { Socket } from 'node:net'
import type { Attempt, ClientSettings, ClientStats, OutgoingRequest, ResponseSink, UpstreamClient } from './client.ts'
import { type Connector, createConnector, type OpeningFailure } from './connector.ts'
import { Http1Connection } from './http1-connection.ts'
import { Http2Connection } from './http2-connection.ts'
import { PooledAttempt, type Waiting } from './pooled-attempt.ts'
import type { ConnectionOwner, PooledConnection } from './pooled-connection.ts'
import type { Resolver } from './resolver.ts'

/** HTTP/2 streams that one connection is expected to take: so many requests wait for one that is being opened. */
const streamsExpected = 100
/** How often a request may meet a connection that ends before it took a byte, until it is given up. */
const mostDrops = 3

/**
 * The client for TLS and HTTP/2 targets, and for whoever asks for it. Reads the certificate files; throws when one
 * can't be read or used.
 *
 * Sockets are opened here, undici speaks HTTP/1.1 over them and Node itself HTTP/2: native-notes/undici.md tells why
 * undici's own pool and its HTTP/2 are left alone.
 */
export function createUndiciClient(settings: ClientSettings, resolver: Resolver): UpstreamClient {
  return new UndiciClient(settings, resolver)
}

class UndiciClient implements UpstreamClient, Waiting, ConnectionOwner {
  private readonly settings: ClientSettings
  private readonly connector: Connector
  private readonly idle: Http1Connection[] = []
  /** HTTP/2 connections that take further requests. */
  private readonly shared: Http2Connection[] = []
  private readonly waiting: PooledAttempt[] = []
  private readonly opening = new Set<Socket>()
  /** Of those that wait: how many take nothing but a connection opened for them. */
  private waitingFresh = 0
  /** Connections that finished their request and are about to say whether they stay. */
  private settling = 0
  private open = 0
  private opened = 0
  private closed = false
  /** Whether a connection is expected to carry many requests at once: what the target last agreed to. */
  private multiplexing: boolean

  constructor(settings: ClientSettings, resolver: Resolver) {
    this.settings = settings
    this.connector = createConnector(settings, resolver)
    this.multiplexing = settings.http2
  }

  start(request: OutgoingRequest, sink: ResponseSink, fresh: boolean): Attempt {
    const attempt = new PooledAttempt(request, sink, fresh, this)
    this.place(attempt)
    attempt.started()
    return attempt
  }

  stats(): ClientStats {
    let idle = this.idle.length
    for (const connection of this.shared) if (connection.running === 0) idle++
    return { open: this.open, idle, waiting: this.waiting.length, opened: this.opened }
  }

  close(): void {
    this.closed = true
    for (const connection of this.idle.splice(0)) connection.close()
    for (const connection of this.shared.splice(0)) connection.retire()
  }

  // ── What attempts and connections tell

  leave(attempt: PooledAttempt): void {
    const place = this.waiting.indexOf(attempt)
    if (place === -1) return
    this.dequeue(place)
    // A target that doesn't answer must not gather connections that nobody waits for.
    for (const socket of this.opening) {
      if (this.opening.size <= this.wanted()) break
      this.opening.delete(socket)
      socket.destroy()
    }
  }

  onFree(connection: PooledConnection): void {
    for (let i = 0; i < this.waiting.length && connection.capacity > 0; i++) {
      const attempt = this.waiting[i] as PooledAttempt
      if (attempt.fresh) continue
      this.dequeue(i--)
      connection.run(attempt)
    }
    if (!(connection instanceof Http1Connection) || connection.capacity === 0) return
    // Who still waits wants a connection of its own: this one makes room.
    const crowded = this.waiting.length > this.opening.size || this.idle.length >= this.settings.maxIdle
    if (this.closed || crowded) connection.close()
    else this.idle.push(connection)
  }

  onSettling(change: 1 | -1): void {
    this.settling += change
  }

  onRetired(connection: PooledConnection): void {
    remove(this.shared, connection)
  }

  onGone(connection: PooledConnection): void {
    this.open--
    if (connection instanceof Http1Connection) remove(this.idle, connection)
    else remove(this.shared, connection)
    this.openMore()
  }

  onUnserved(attempt: PooledAttempt): void {
    if (attempt.over) return
    if (attempt.drops < mostDrops) this.place(attempt)
    else attempt.fail('upstream_connection_closed', 'closed before the request', true, false)
  }

  // ── Connections

  private place(attempt: PooledAttempt): void {
    const connection = attempt.fresh ? null : this.free()
    if (connection !== null) return connection.run(attempt)
    this.waiting.push(attempt)
    if (attempt.fresh) this.waitingFresh++
    this.openMore()
    if (this.waiting.length - this.opening.size > this.settings.maxWaiting) {
      return attempt.fail('upstream_overloaded', 'too many requests wait for a connection', true, false)
    }
    attempt.limitWait()
  }

  private free(): PooledConnection | null {
    for (const connection of this.shared) if (connection.capacity > 0) return connection
    // The one used last: the others may grow idle and close.
    return this.idle.pop() ?? null
  }

  private dequeue(place: number): PooledAttempt {
    const [attempt] = this.waiting.splice(place, 1) as [PooledAttempt]
    if (attempt.fresh) this.waitingFresh--
    return attempt
  }

  /** Connections that should be on their way for those that wait. */
  private wanted(): number {
    if (this.multiplexing) return Math.ceil(this.waiting.length / streamsExpected)
    return this.waitingFresh + Math.max(0, this.waiting.length - this.waitingFresh - this.settling)
  }

  private openMore(): void {
    while (this.opening.size < this.wanted()) {
      if (this.open + this.opening.size >= this.settings.maxConnections) {
        // Idle ones are left only where nobody who waits may have them. `close` comes back here.
        this.idle.shift()?.close()
        return
      }
      const socket = this.connector(
        (http2) => this.onOpened(socket, http2),
        (failure) => this.onOpeningFailed(socket, failure),
      )
      this.opening.add(socket)
    }
  }

  private onOpened(socket: Socket, http2: boolean): void {
    if (!this.opening.delete(socket)) return
    this.open++
    this.opened++
    this.multiplexing = http2
    const connection = http2
      ? new Http2Connection(socket, this.settings, this)
      : new Http1Connection(socket, this.settings, this)
    while (connection.capacity > 0 && this.waiting.length > 0) connection.run(this.dequeue(0))
    if (connection instanceof Http1Connection) {
      // Those who waited for it may have got another one meanwhile.
      if (connection.capacity > 0) this.onFree(connection)
    } else if (this.closed) connection.retire()
    else this.shared.push(connection)
    this.openMore()
  }

  private onOpeningFailed(socket: Socket, { code, detail }: OpeningFailure): void {
    if (!this.opening.delete(socket)) return
    // Those who counted on one connection fail with it.
    const alone = this.multiplexing && this.opening.size === 0 && this.shared.length === 0
    for (const attempt of this.waiting.splice(0, alone ? this.waiting.length : 1))
      attempt.fail(code, detail, true, false)
    this.openMore()
  }
}

function remove(list: PooledConnection[], element: PooledConnection): void {
  const place = list.indexOf(element)
  if (place !== -1) list.splice(place, 1)
}
