import { connect, type OnReadOpts, type Socket } from 'node:net'
import type { RejectionCode } from '../../core/errors.ts'
import type { Resolver } from './resolver.ts'

/** Who gets the socket. One of the two comes once, never inside `start`; none after `cancel`. */
export interface Dialer {
  dialed(socket: Socket): void
  /** `detail`: an errno or a word, never an address. */
  dialFailed(code: RejectionCode, detail: string): void
}

/** The opening of one connection: finds the addresses of a name and tries one after the other. */
export class Dial {
  private readonly port: number
  private readonly onread: OnReadOpts
  private readonly dialer: Dialer
  private socket: Socket | null = null
  private timer: NodeJS.Timeout | null = null
  /** When all must be done, as of `performance.now()`. */
  private deadline = Infinity
  private cancelled = false

  constructor(port: number, onread: OnReadOpts, dialer: Dialer) {
    this.port = port
    this.onread = onread
    this.dialer = dialer
  }

  /** Begins, with `timeout` milliseconds for it all; 0: however long it takes. */
  start(host: string, resolver: Resolver, timeout: number): void {
    if (timeout > 0) this.deadline = performance.now() + timeout
    const addresses = resolver.resolve(host)
    if (!(addresses instanceof Promise)) return this.try(addresses, 0)
    this.limit(this.deadline, () => this.fail('upstream_connect_timeout', 'name look-up'))
    addresses.then(
      (found) => this.try(found, 0),
      (err: NodeJS.ErrnoException) => this.fail('upstream_name_not_resolved', wordOf(err)),
    )
  }

  cancel(): void {
    this.cancelled = true
    this.clearLimit()
    this.socket?.destroy()
  }

  /** Each address has an even share of the time that is left, so that a dead one does not cost the others theirs. */
  private try(addresses: readonly string[], index: number): void {
    if (this.cancelled) return
    const left = addresses.length - index
    const now = performance.now()
    this.limit(now + (this.deadline - now) / left, () => {
      if (left === 1) return this.fail('upstream_connect_timeout', 'connect')
      socket.destroy()
      this.try(addresses, index + 1)
    })
    const socket = connect({ host: addresses[index] as string, port: this.port, noDelay: true, onread: this.onread })
    this.socket = socket
    const onError = (err: NodeJS.ErrnoException): void => {
      if (left > 1) this.try(addresses, index + 1)
      else this.fail('upstream_connection_refused', wordOf(err))
    }
    socket.once('error', onError)
    socket.once('connect', () => {
      socket.off('error', onError)
      this.clearLimit()
      this.dialer.dialed(socket)
    })
  }

  private fail(code: RejectionCode, detail: string): void {
    if (this.cancelled) return
    this.cancel()
    this.dialer.dialFailed(code, detail)
  }

  /** Calls `expire` at `at`, in the place of what was to be called before. */
  private limit(at: number, expire: () => void): void {
    this.clearLimit()
    if (at !== Infinity) this.timer = setTimeout(expire, Math.max(1, at - performance.now()))
  }

  private clearLimit(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }
}

/** An errno such as `ECONNREFUSED`: it holds no address. */
export function wordOf(err: NodeJS.ErrnoException): string {
  return err.code ?? 'unknown error'
}
