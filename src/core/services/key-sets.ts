import type { VerificationKey } from '../verification-key.ts'
import type { HttpSettings } from './http.ts'

/** Keys of an issuer that change while the gateway runs. */
export interface KeySet {
  /**
   * The keys that may have signed a token with this `kid` and algorithm; empty: there is none. Without a `kid`, all that fit
   * the algorithm. A promise while the set is fetched for the first time, or anew for a `kid` that is unknown; it never
   * rejects, and lasts no longer than a fetch may take.
   */
  find(kid: string | null, algorithm: string): readonly VerificationKey[] | Promise<readonly VerificationKey[]>
  /** There are no keys at all: nothing was fetched yet, nothing can be said of any token. */
  readonly empty: boolean
}

/** A JWK Set (RFC 7517 §5) behind a URL. Only this URL is ever fetched, whatever a token names (`jku`, `x5u`). */
export interface RemoteKeySet extends HttpSettings {
  /** Milliseconds after which it is fetched anew when the answer says nothing of its age (`Cache-Control: max-age`). */
  readonly refresh: number
  /** Least milliseconds between two fetches because of an unknown `kid`, over all workers of the node. */
  readonly cooldown: number
}

export interface KeySets {
  /** The set behind a URL: fetched by the primary, kept through outages, the same for all workers. */
  open(source: RemoteKeySet): KeySet
}
