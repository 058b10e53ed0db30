import { LRUCache } from 'lru-cache'
import type { Counter } from '../core/services/instruments.ts'
import type { TokenFault } from '../core/services/tokens.ts'
import type { VerificationKey } from '../core/verification-key.ts'

/** A token that was verified. */
interface Good<T> {
  readonly value: T
  /** It is worth nothing any more once this key is withdrawn. */
  readonly key: VerificationKey
  readonly until: number
}

interface Bad {
  readonly fault: TokenFault
  /** Those that it was tried with: with others it may be good. */
  readonly keys: readonly VerificationKey[]
  readonly until: number
}

export interface CacheCounters {
  readonly hit: Counter
  readonly miss: Counter
  readonly negative: Counter
}

/** Bad tokens are remembered for so many milliseconds: long enough for a client that tries again and again. */
const badFor = 10_000

/** So many bad tokens at most are remembered, in a cache of their own: however many come, no good one has to go. */
const badEntries = 4096

/** Places for traces of bad tokens that came once. */
const traceCount = 16_384

/** Bytes of an entry beside what the claims of its token hold: key, entry, places in map and list. */
const entryBytes = 500

/**
 * Tokens that were checked before, good and bad, by the SHA-256 of the whole token (64 hex digits; the caller hashes).
 *
 * Why a cryptographic hash: whoever sends tokens chooses the keys of this map. With a fast hash, a checksum or a part of the token as
 * the key, an attacker could make a forged token that falls on the entry of somebody's good one, and would be let in unread. To
 * find two texts with one SHA-256 is beyond anybody. It also makes keys short, whatever the size of tokens. The map's own hash is
 * seeded per process and decides about speed only.
 *
 * Good tokens are bounded by number and bytes; the one that was not used for longest goes first. A bad one is remembered from its
 * second time on: those of a flood, each of them new, leave nothing behind that the garbage collector would have to
 * carry along while everybody waits (native-notes/jwt.md).
 */
export class TokenCache<T> {
  readonly #good: LRUCache<string, Good<T>>
  readonly #bad: LRUCache<string, Bad>
  /** 32 bits of the digest of a bad token, at a place that 14 others say. A new one overwrites what was there. */
  readonly #traces = new Uint32Array(traceCount)
  readonly #counters: CacheCounters

  /** `bytes`: what all good entries may hold together, estimated from the length of their tokens. */
  constructor(bounds: { readonly entries: number; readonly bytes: number }, counters: CacheCounters) {
    this.#good = new LRUCache({ max: bounds.entries, maxSize: bounds.bytes })
    this.#bad = new LRUCache({ max: badEntries })
    this.#counters = counters
  }

  /** Good tokens that are kept. */
  get size(): number {
    return this.#good.size
  }

  /** Estimated bytes of them. */
  get bytes(): number {
    return this.#good.calculatedSize
  }

  /** What is known of a token at `now` (milliseconds since the epoch); `undefined`: nothing that still holds. */
  find(digest: string, now: number): T | TokenFault | undefined {
    const good = this.#good.get(digest)
    if (good !== undefined) {
      if (now < good.until && good.key.live) {
        this.#counters.hit.add(1)
        return good.value
      }
      this.#good.delete(digest)
    } else {
      const bad = this.#bad.get(digest)
      if (bad !== undefined) {
        if (now < bad.until && areAlive(bad.keys)) {
          this.#counters.negative.add(1)
          return bad.fault
        }
        this.#bad.delete(digest)
      }
    }
    this.#counters.miss.add(1)
    return undefined
  }

  /** Keeps what became of a good token until `until`, while `key` lives. `length`: characters of the token. */
  keep(digest: string, value: T, key: VerificationKey, until: number, length: number): void {
    // Claims are decoded text and the objects that hold it: twice the token is more than they take.
    this.#good.set(digest, { value, key, until }, { size: entryBytes + 2 * length })
  }

  /**
   * Remembers for a short while that a token is bad, at most until `until`, and while all `keys` live; if it is not the first
   * time that it comes.
   */
  refuse(digest: string, fault: TokenFault, keys: readonly VerificationKey[], now: number, until: number): void {
    const bits = Number.parseInt(digest.slice(0, 12), 16)
    const place = Math.floor(bits / 2 ** 32) % traceCount
    const trace = bits >>> 0
    if (this.#traces[place] !== trace) {
      this.#traces[place] = trace
      return
    }
    this.#bad.set(digest, { fault, keys, until: Math.min(until, now + badFor) })
  }

  clear(): void {
    this.#good.clear()
    this.#bad.clear()
    this.#traces.fill(0)
  }
}

function areAlive(keys: readonly VerificationKey[]): boolean {
  for (const key of keys) if (!key.live) return false
  return true
}
