import type { Topic, WorkerLink, WorkerMessage } from '../core/messages.ts'

/** The worker's end of the channel for services. */
export class Link implements WorkerLink {
  readonly #listeners = new Map<Topic, (body: unknown) => void>()
  readonly #send: (message: WorkerMessage) => void

  constructor(send: (message: WorkerMessage) => void) {
    this.#send = send
  }

  send(topic: Topic, body: unknown): void {
    this.#send({ type: 'service', topic, body })
  }

  on(topic: Topic, listener: (body: unknown) => void): void {
    this.#listeners.set(topic, listener)
  }

  hear(topic: Topic, body: unknown): void {
    this.#listeners.get(topic)?.(body)
  }
}
