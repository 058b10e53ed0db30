import { LRUCache } from 'lru-cache'

/** What a service outside said. */
export interface Answered<T> {
  readonly value: T
  /** Milliseconds for which it may be used again; 0: for nobody but those who wait for it. */
  readonly ttl: number
  /** A refusal: kept apart, so that many of them push no good answer out. */
  readonly isRefusal: boolean
  /** About how much memory it takes. */
  readonly bytes: number
  /** It is meant for this one request: whoever waits beside it asks for itself. */
  readonly isPrivate?: boolean
}

interface Entry<T> {
  readonly value: T
  /** `Date.now()` after which it is old. */
  readonly until: number
}

export interface CacheBounds {
  /** Most good answers; of refusals a tenth is kept. */
  readonly entries: number
  /** Most bytes of both together, about. */
  readonly bytes: number
  /** Milliseconds for which an old answer is kept in case no new one can be had. */
  readonly grace?: number
}

/** Bytes of a key and of what holds an entry, about. */
const overhead = 300

/**
 * Answers of a service outside, kept for a while. Who asks the same at the same time waits for one call.
 *
 * Keys must be cryptographic hashes of what was asked: an attacker who picks what is hashed must not find two with one key.
 */
export class AnswerCache<T extends object> {
  readonly #good: LRUCache<string, Entry<T>>
  readonly #refusals: LRUCache<string, Entry<T>>
  readonly #pending = new Map<string, Promise<Answered<T>>>()
  readonly #grace: number

  constructor({ entries, bytes, grace = 0 }: CacheBounds) {
    const refused = Math.max(1, Math.floor(entries / 10))
    this.#good = new LRUCache({ max: entries, maxSize: Math.ceil(bytes * 0.9) })
    this.#refusals = new LRUCache({ max: refused, maxSize: Math.ceil(bytes * 0.1) })
    this.#grace = grace
  }

  /** How many answers are kept. */
  get size(): number {
    return this.#good.size + this.#refusals.size
  }

  /** The answer to that, when there is one that is not too old. */
  find(key: string, now: number): T | undefined {
    const entry = this.#good.get(key) ?? this.#refusals.get(key)
    return entry !== undefined && now < entry.until ? entry.value : undefined
  }

  /** The last good answer, though it is old. */
  findOld(key: string, now: number): T | undefined {
    const entry = this.#good.get(key)
    return entry !== undefined && now < entry.until + this.#grace ? entry.value : undefined
  }

  /** Makes the call, or joins the one for the same key that is under way. */
  ask(key: string, call: () => Promise<Answered<T>>): Promise<T> {
    const pending = this.#pending.get(key)
    if (pending !== undefined)
      return pending.then((answered) => (answered.isPrivate === true ? call().then(valueOf) : answered.value))
    const own = call()
      .then((answered) => {
        if (answered.ttl > 0) this.#keep(key, answered)
        return answered
      })
      .finally(() => this.#pending.delete(key))
    this.#pending.set(key, own)
    return own.then(valueOf)
  }

  close(): void {
    this.#good.clear()
    this.#refusals.clear()
  }

  #keep(key: string, { value, ttl, isRefusal, bytes }: Answered<T>): void {
    const entry = { value, until: Date.now() + ttl }
    const size = { size: Math.ceil(bytes) + overhead }
    if (isRefusal) {
      this.#good.delete(key)
      this.#refusals.set(key, entry, size)
    } else {
      this.#refusals.delete(key)
      this.#good.set(key, entry, size)
    }
  }
}

function valueOf<T>({ value }: Answered<T>): T {
  return value
}
