import { connect, isIP, type Socket } from 'node:net'
import { connect as connectSecurely } from 'node:tls'
import { type Answer, AnswerReader } from './answer.ts'
import type { Target } from './job.ts'

export interface ConnectionEvents {
  /** The request that was sent is answered. The connection may be used again unless the answer says that it closes. */
  onAnswer(connection: Connection, answer: Answer): void
  /** It is gone; `why` in a word. Not called after `close`. */
  onEnd(connection: Connection, why: string): void
}

/** A kept connection that carries one request at a time. */
export class Connection {
  /** `performance.now()` of the last use. */
  usedAt = performance.now()
  readonly #socket: Socket
  readonly #reader = new AnswerReader()
  readonly #events: ConnectionEvents
  #why = 'closed'
  #isOpen = true
  #isBusy = false

  constructor({ secure, host, port }: Target, events: ConnectionEvents) {
    this.#events = events
    const options = { host, port, noDelay: true }
    this.#socket = secure
      ? connectSecurely({ ...options, ...(isIP(host) === 0 ? { servername: host } : {}) })
      : connect(options)
    this.#socket.on('data', (bytes: Buffer) => this.#take(bytes))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#why = error.code ?? 'error'
    })
    this.#socket.on('close', () => this.#ended())
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  send(request: string): void {
    this.#isBusy = true
    this.#socket.write(request, 'latin1')
  }

  /** Ends it without a further word to anybody. */
  close(): void {
    this.#isOpen = false
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    if (!this.#isOpen) return
    if (!this.#isBusy) return this.#fail('unasked bytes')
    const answer = this.#reader.read(bytes)
    if (answer === null) return
    if (typeof answer === 'string') return this.#fail(answer)
    this.#answered(answer)
  }

  #answered(answer: Answer): void {
    this.#isBusy = false
    this.usedAt = performance.now()
    if (answer.closes) this.close()
    this.#events.onAnswer(this, answer)
  }

  #fail(why: string): void {
    this.#why = why
    this.#socket.destroy()
  }

  #ended(): void {
    if (!this.#isOpen) return
    const answer = this.#isBusy && this.#why === 'closed' ? this.#reader.end() : null
    if (answer !== null) return this.#answered(answer)
    this.#isOpen = false
    this.#events.onEnd(this, this.#why)
  }
}
