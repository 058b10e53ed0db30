import type { KeyHash } from '../api-key.ts'

/** What is kept of an API key; the key itself is known to its owner only. */
export interface StoredKey {
  readonly id: string
  /** Id of the consumer whose key it is. */
  readonly consumer: string
  /** What it says itself goes before what the configuration says of its consumer; `null`: nothing. */
  readonly tier: string | null
  readonly tenant: string | null
  readonly scopes: readonly string[] | null
  /** Milliseconds since the epoch; 0: never. */
  readonly expiresAt: number
  readonly status: 'active' | 'disabled'
  readonly hash: KeyHash
}

/** API keys in Redis, cached. */
export interface ApiKeys {
  /**
   * The key that is stored under that name (its id, or the index of its digest), `null` when there is none, a fault when the
   * store can't say and nothing fresh enough is cached. At once when it is cached: then the same object, as long as the key
   * has not changed. Never rejects.
   */
  find(name: string): KeyAnswer | Promise<KeyAnswer>
}

export type KeyAnswer = StoredKey | null | ApiKeysFault

/** Why nothing can be said of a key. `detail` is a snake_case word for the log. */
export class ApiKeysFault {
  /** `overloaded`: too many are being looked up. */
  readonly kind: 'unavailable' | 'overloaded'
  readonly detail: string

  constructor(kind: ApiKeysFault['kind'], detail: string) {
    this.kind = kind
    this.detail = detail
  }
}

export interface ApiKeySettings {
  /** Milliseconds for which a key is believed without news from Redis. */
  readonly staleness: number
  /** Keys that each worker keeps in memory. */
  readonly entries: number
}

export interface ApiKeyStores {
  /** The same settings give the same cache. */
  open(settings: ApiKeySettings): ApiKeys
}
