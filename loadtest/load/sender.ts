import type { Answer } from './answer.ts'
import { Connection } from './connection.ts'
import type { Target } from './job.ts'

/** A request that is to be sent. */
export interface Order {
  /** Head and body, made when it is sent. */
  text(): string
  /** `performance.now()` after which nobody waits for the answer any more. */
  readonly deadline: number
  answered(answer: Answer): void
  /** The connection ended, or could not be opened. */
  broken(why: string): void
  /** No answer came in time. */
  lost(): void
}

/** Connections that are unused for longer are replaced: the gateway is about to close them. Milliseconds. */
const longestIdle = 5000

/**
 * Sends requests over kept connections, in turns, one at a time on each. When all are busy it opens more, and when there are
 * as many as may be, requests wait: that is for the gateway to answer for, as their time runs from when they were due.
 */
export class Sender {
  readonly #target: Target
  readonly #kept: number
  readonly #most: number
  readonly #busy = new Map<Connection, Order>()
  #idle: Connection[] = []
  #waiting: Order[] = []
  #open = 0

  /** `kept` connections are opened at once, `most` when they are needed. */
  constructor(target: Target, kept: number, most: number) {
    this.#target = target
    this.#kept = kept
    this.#most = Math.max(kept, most)
    this.#refill()
  }

  /** Requests that have no answer yet. */
  get pending(): number {
    return this.#busy.size + this.#waiting.length
  }

  submit(order: Order): void {
    const connection = this.#idle.shift() ?? (this.#open < this.#most ? this.#connect() : undefined)
    if (connection === undefined) this.#waiting.push(order)
    else this.#send(connection, order)
  }

  /** To be called now and then: gives up what is late, and renews connections. */
  sweep(): void {
    const now = performance.now()
    for (const [connection, order] of this.#busy) {
      if (order.deadline > now) continue
      this.#forget(connection)
      connection.close()
      order.lost()
    }
    const late = this.#waiting.filter(({ deadline }) => deadline <= now)
    if (late.length > 0) this.#waiting = this.#waiting.filter(({ deadline }) => deadline > now)
    for (const order of late) order.lost()
    const stale = this.#idle.filter(({ usedAt }) => now - usedAt > longestIdle)
    for (const connection of stale) {
      this.#forget(connection)
      connection.close()
    }
    this.#refill()
  }

  close(): void {
    for (const connection of [...this.#idle, ...this.#busy.keys()]) connection.close()
  }

  #refill(): void {
    while (this.#open < this.#kept) this.#idle.push(this.#connect())
  }

  #connect(): Connection {
    this.#open += 1
    return new Connection(this.#target, {
      onAnswer: (connection, answer) => {
        const order = this.#busy.get(connection) as Order
        this.#busy.delete(connection)
        if (connection.isOpen) this.#reuse(connection)
        else this.#open -= 1
        order.answered(answer)
      },
      onEnd: (connection, why) => {
        const order = this.#busy.get(connection)
        this.#forget(connection)
        order?.broken(why)
        this.#replace()
      },
    })
  }

  #send(connection: Connection, order: Order): void {
    this.#busy.set(connection, order)
    connection.send(order.text())
  }

  #reuse(connection: Connection): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#idle.push(connection)
    else this.#send(connection, next)
  }

  /** Somebody may have waited for the connection that is gone. */
  #replace(): void {
    const next = this.#open < this.#most ? this.#waiting.shift() : undefined
    if (next !== undefined) this.#send(this.#connect(), next)
  }

  #forget(connection: Connection): void {
    this.#open -= 1
    if (!this.#busy.delete(connection)) this.#idle = this.#idle.filter((one) => one !== connection)
  }
}
