import { verdicts } from '../../services/limits/lease.ts'
import type { Book } from './book.ts'
import type { BusyEntries } from './busy.ts'
import type { Entry } from './entry.ts'
import type { Outbox } from './outbox.ts'
import type { Moment } from './source.ts'

/** A request that a worker has asked about. */
interface Ask {
  readonly worker: number
  readonly id: number
  readonly entries: readonly Entry[]
  readonly costs: readonly number[]
  /** How often it has waited for units to come back. */
  rounds: number
}

/** Milliseconds that a worker has to give back what it was lent: longer than a busy one needs. */
const patience = 100

/** How often a request waits for units before it is refused: of each of its limits some may lie with others and with itself. */
const mostRounds = 8

/** No worker has this number. */
const nobody = -1

/**
 * Decides on the requests that workers can't decide on by themselves: each is admitted by all of its limits or by none. One that
 * would fit if units that are lent to others came back, or came from Redis, waits for that.
 */
export class Decider {
  /** What each worker calls books by. */
  readonly #workers: ReadonlyMap<number, readonly Book[]>
  readonly #outbox: Outbox
  readonly #busy: BusyEntries
  readonly #now: () => Moment
  readonly #waiting = new Map<Entry, Ask[]>()
  /** Entries of which something was recalled, and when that is given up. */
  readonly #recalls: { readonly entry: Entry; readonly due: number }[] = []
  #timer: NodeJS.Timeout | null = null

  constructor(workers: ReadonlyMap<number, readonly Book[]>, outbox: Outbox, busy: BusyEntries, now: () => Moment) {
    this.#workers = workers
    this.#outbox = outbox
    this.#busy = busy
    this.#now = now
  }

  /** Its worker lays aside what the request needs when it asks. */
  ask(worker: number, id: number, entries: readonly Entry[], costs: readonly number[], now: Moment): void {
    this.#decide({ worker, id, entries, costs, rounds: 0 }, now)
  }

  /** Decides on those that wait for an entry, once all that can come back to it is back. */
  resume(entry: Entry, now: Moment): void {
    const asks = this.#waiting.get(entry)
    if (asks === undefined || entry.recalls > 0) return
    this.#waiting.delete(entry)
    for (const ask of asks) {
      for (const one of ask.entries) one.awaited--
      if (!this.#workers.has(ask.worker)) continue
      for (const one of ask.entries) {
        ;(one.book as Book).adopt(ask.worker)
        one.touch(now)
      }
      this.#decide(ask, now)
    }
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #decide(ask: Ask, now: Moment): void {
    const { entries, costs } = ask
    // While it waits, others may use what its worker has laid aside.
    const except = ask.rounds === 0 ? ask.worker : nobody
    let isLost = ask.rounds === mostRounds
    let short: Entry | null = null
    for (let i = 0; i < entries.length && !isLost; i++) {
      const entry = entries[i] as Entry
      if (entry.fits(costs[i] as number)) continue
      if (this.#canCome(entry, costs[i] as number, except, now)) short ??= entry
      else isLost = !entry.book.terms.observe
    }
    if (isLost || short === null) this.#conclude(ask, now)
    else this.#wait(ask, short, except, now)
  }

  /** Units that are elsewhere now could make these fit. */
  #canCome(entry: Entry, units: number, except: number, now: Moment): boolean {
    if (entry.source.canGrow(units, now)) return true
    return entry.wouldFit(units) && (entry.recalls > 0 || entry.isRecallable(except))
  }

  #wait(ask: Ask, short: Entry, except: number, now: Moment): void {
    const { entries, costs } = ask
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry
      const cost = costs[i] as number
      if (entry.fits(cost)) continue
      if (entry.source.canGrow(cost, now)) entry.source.grow(cost, now)
      else this.#recall(entry, except, now)
    }
    for (const entry of entries) entry.awaited++
    ask.rounds++
    const waiting = this.#waiting.get(short)
    if (waiting === undefined) this.#waiting.set(short, [ask])
    else waiting.push(ask)
  }

  #recall(entry: Entry, except: number, now: Moment): void {
    for (const [worker, books] of this.#workers) {
      if (worker === except || !entry.recall(worker)) continue
      this.#outbox.recall(worker, books.indexOf(entry.book as Book), entry.key)
      this.#recalls.push({ entry, due: now.steady + patience })
      this.#timer ??= setTimeout(() => this.#endRecalls(), patience)
    }
  }

  #endRecalls(): void {
    this.#timer = null
    const now = this.#now()
    let recall = this.#recalls[0]
    while (recall !== undefined && recall.due <= now.steady + 1) {
      this.#recalls.shift()
      recall.entry.endRecalls()
      this.resume(recall.entry, now)
      recall = this.#recalls[0]
    }
    if (recall !== undefined) this.#timer = setTimeout(() => this.#endRecalls(), recall.due - now.steady)
    this.#outbox.flush()
  }

  #conclude(ask: Ask, now: Moment): void {
    const { entries, costs, worker } = ask
    let verdict: number = verdicts.admitted
    let retryAfter = 0
    let wouldRefuse = 0
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry
      const cost = costs[i] as number
      if (entry.fits(cost)) continue
      if (entry.book.terms.observe) wouldRefuse |= 1 << i
      else if (entry.source.isBlind(now)) {
        return this.#outbox.answer(worker, ask.id, verdicts.unavailable, 0, 0, 0, 0)
      } else {
        const wait = Math.max(1, entry.wait(cost, now))
        if (wait <= retryAfter) continue
        retryAfter = wait
        verdict = i
      }
    }
    let delay = 0
    for (let i = 0; i < entries.length && verdict === verdicts.admitted; i++) {
      const entry = entries[i] as Entry
      if ((wouldRefuse & (1 << i)) !== 0) continue
      if (!entry.book.terms.observe) delay = Math.max(delay, entry.delay(now))
      entry.take(costs[i] as number, worker, now)
    }
    this.#outbox.answer(worker, ask.id, verdict, delay, wouldRefuse, retryAfter, entries.length)
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry
      this.#outbox.finding(worker, entry.left, entry.wholeAt(now), entry.closedUntil(costs[i] as number, now))
      this.#busy.note(entry)
    }
  }
}
