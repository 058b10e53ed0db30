import type { WorkerLink } from '../../src/core/messages.ts'
import { Link as PrimaryEnd } from '../../src/primary/link.ts'
import { Link as WorkerEnd } from '../../src/worker/link.ts'

/** A primary and workers in one process: what they say to each other is cloned and comes later, as over a fork's channel. */
export class NodeLink {
  readonly primary = new PrimaryEnd()
  #workers = 0

  join(): { readonly link: WorkerLink; leave(): void } {
    const id = ++this.#workers
    const worker = new WorkerEnd((message) => {
      if (message.type === 'service') later(message.body, (body) => this.primary.hear(id, message.topic, body))
    })
    let isThere = true
    this.primary.join({
      id,
      tell: (topic, message) =>
        later(message, (body) => {
          if (isThere) worker.hear(topic, body)
        }),
    })
    return {
      link: worker,
      leave: () => {
        isThere = false
        this.primary.leave(id)
      },
    }
  }
}

function later(body: unknown, deliver: (body: unknown) => void): void {
  const clone = structuredClone(body)
  setImmediate(() => deliver(clone))
}
