import type { RevocationKind } from '../core/services/revocations.ts'

/**
 * From the primary: a part of the list for a worker that has just come, or what has changed. Messages of one channel keep
 * their order, so a worker has the whole list before the snapshot that the primary sends after it.
 */
export interface RevocationChange {
  readonly id: number
  readonly added: readonly RevokedItem[]
  readonly removed: readonly (readonly [kind: RevocationKind, value: string])[]
}

/** `expires`: milliseconds since the epoch, 0 for never. `before`: meant for what was issued before that, 0 for all. */
export type RevokedItem = readonly [kind: RevocationKind, value: string, expires: number, before: number]

/** From a worker: the change of that number is in force. */
export interface RevocationReceipt {
  readonly id: number
  readonly pid: number
}
