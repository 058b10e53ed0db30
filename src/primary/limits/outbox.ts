import type { PrimaryLink } from '../../core/messages.ts'
import type { Ruling } from '../../services/limits/lease.ts'

/** A ruling that is being written. */
interface Draft {
  number: number
  readonly grants: number[]
  readonly answers: number[]
  readonly recalls: (string | number)[]
}

/** What workers will be told of their counters: one message each. */
export class Outbox {
  readonly #link: PrimaryLink
  readonly #drafts = new Map<number, Draft>()

  constructor(link: PrimaryLink) {
    this.#link = link
  }

  /** Where to write the grants of a petition. */
  grantsOf(worker: number, petition: number): number[] {
    const draft = this.#draft(worker)
    draft.number = petition
    return draft.grants
  }

  /** What becomes of a request; as many findings must follow. */
  answer(
    worker: number,
    id: number,
    verdict: number,
    delay: number,
    wouldRefuse: number,
    retryAfter: number,
    findings: number,
  ): void {
    this.#draft(worker).answers.push(id, verdict, delay, wouldRefuse, retryAfter, findings)
  }

  finding(worker: number, left: number, wholeAt: number, closedUntil: number): void {
    this.#draft(worker).answers.push(left, wholeAt, closedUntil)
  }

  recall(worker: number, book: number, key: string): void {
    this.#draft(worker).recalls.push(book, key)
  }

  /** The worker is gone. */
  forget(worker: number): void {
    this.#drafts.delete(worker)
  }

  flush(): void {
    for (const [worker, draft] of this.#drafts) this.#link.send(worker, 'limits', draft satisfies Ruling)
    this.#drafts.clear()
  }

  #draft(worker: number): Draft {
    let draft = this.#drafts.get(worker)
    if (draft === undefined) {
      draft = { number: 0, grants: [], answers: [], recalls: [] }
      this.#drafts.set(worker, draft)
    }
    return draft
  }
}
