import type { RemoteKeySet } from '../core/services/key-sets.ts'

/** A usable public key on its way from the primary to a worker. */
export interface PublicKey {
  readonly kid: string | null
  readonly algorithms: readonly string[]
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
}

/** What a worker says of key sets. `id` stands for the source. */
export type KeySetRequest =
  /** It wants to know the set from now on. */
  | { readonly type: 'open'; readonly id: string; readonly source: RemoteKeySet }
  | { readonly type: 'close'; readonly id: string }
  /** Somebody wants a key that is not in that version of the set. The worker's questions are numbered from 1. */
  | {
      readonly type: 'miss'
      readonly id: string
      readonly version: number
      readonly kid: string
      readonly question: number
    }

/** What the primary says of key sets. */
export type KeySetNews =
  /** The set is this one from now on. Versions begin with 1. */
  | { readonly type: 'set'; readonly id: string; readonly version: number; readonly keys: readonly PublicKey[] }
  /**
   * A fetch has ended, or none is due: who asked `question`, or one before it, has nothing to wait for. For `quiet` milliseconds no miss
   * leads to a fetch.
   */
  | { readonly type: 'fetched'; readonly id: string; readonly quiet: number; readonly question: number }
