import type { PrimaryLink, Topic } from '../core/messages.ts'

/** A worker, as far as services talk to it. */
export interface LinkedWorker {
  readonly id: number
  tell(topic: Topic, body: unknown): void
}

/** The primary's end of the channels for services. */
export class Link implements PrimaryLink {
  readonly #workers = new Map<number, LinkedWorker>()
  readonly #listeners = new Map<Topic, (body: unknown, worker: number) => void>()
  readonly #joins: ((worker: number) => void)[] = []
  readonly #leaves: ((worker: number) => void)[] = []

  get workers(): Iterable<number> {
    return this.#workers.keys()
  }

  send(worker: number, topic: Topic, body: unknown): void {
    this.#workers.get(worker)?.tell(topic, body)
  }

  broadcast(topic: Topic, body: unknown): void {
    for (const worker of this.#workers.values()) worker.tell(topic, body)
  }

  on(topic: Topic, listener: (body: unknown, worker: number) => void): void {
    this.#listeners.set(topic, listener)
  }

  onJoin(listener: (worker: number) => void): void {
    this.#joins.push(listener)
  }

  onLeave(listener: (worker: number) => void): void {
    this.#leaves.push(listener)
  }

  join(worker: LinkedWorker): void {
    this.#workers.set(worker.id, worker)
    for (const listener of this.#joins) listener(worker.id)
  }

  leave(id: number): void {
    if (this.#workers.delete(id)) for (const listener of this.#leaves) listener(id)
  }

  hear(id: number, topic: Topic, body: unknown): void {
    if (this.#workers.has(id)) this.#listeners.get(topic)?.(body, id)
  }
}
