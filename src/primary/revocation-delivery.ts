import type { PrimaryLink } from '../core/messages.ts'
import type { RevocationChange, RevocationReceipt } from '../services/revocation-message.ts'

/** What became of a change. */
export interface Delivery {
  /** Workers that have it in force. */
  readonly workers: number
  /** Process ids of those that did not say so in time. */
  readonly silent: readonly number[]
}

interface Waiting {
  readonly workers: Set<number>
  acknowledged: number
  readonly settle: () => void
}

/** Items in one message: a longer one would hold a worker up. */
const most = 5000

/** Brings changes of the list to the workers, and knows who has them. */
export class RevocationDelivery {
  readonly #link: PrimaryLink
  readonly #pids = new Map<number, number>()
  readonly #waiting = new Map<number, Waiting>()
  #id = 0

  /** `whole`: all of the list, for a worker that has just come. */
  constructor(link: PrimaryLink, whole: () => Iterable<RevocationChange['added'][number]>) {
    this.#link = link
    link.on('revocations', (body, worker) => {
      const { id, pid } = body as RevocationReceipt
      this.#pids.set(worker, pid)
      const waiting = this.#waiting.get(id)
      if (waiting === undefined || !waiting.workers.delete(worker)) return
      waiting.acknowledged++
      if (waiting.workers.size === 0) waiting.settle()
    })
    link.onJoin((worker) => {
      for (const change of this.#parts([...whole()], [])) link.send(worker, 'revocations', change)
    })
    link.onLeave((worker) => {
      this.#pids.delete(worker)
      for (const waiting of this.#waiting.values())
        if (waiting.workers.delete(worker) && waiting.workers.size === 0) waiting.settle()
    })
  }

  /** Sends a change to all workers. Resolves when all that live have it, at the latest after `bound` milliseconds. */
  send(added: RevocationChange['added'], removed: RevocationChange['removed'], bound: number): Promise<Delivery> {
    const changes = this.#parts(added, removed)
    const workers = new Set(this.#link.workers)
    // Messages keep their order: who has the last part has them all.
    const delivery =
      workers.size === 0 ? Promise.resolve({ workers: 0, silent: [] }) : this.#wait(this.#id, workers, bound)
    for (const change of changes) this.#link.broadcast('revocations', change)
    return delivery
  }

  #wait(id: number, workers: Set<number>, bound: number): Promise<Delivery> {
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve({ workers: waiting.acknowledged, silent: [...workers].map((worker) => this.#pids.get(worker) ?? 0) })
      }
      const waiting: Waiting = { workers, acknowledged: 0, settle }
      const timer = setTimeout(settle, bound)
      this.#waiting.set(id, waiting)
    })
  }

  /** A change in pieces; at least one, so that it is answered. */
  #parts(added: RevocationChange['added'], removed: RevocationChange['removed']): RevocationChange[] {
    const parts: RevocationChange[] = []
    for (let i = 0; i === 0 || i < Math.max(added.length, removed.length); i += most)
      parts.push({ id: ++this.#id, added: added.slice(i, i + most), removed: removed.slice(i, i + most) })
    return parts
  }
}
