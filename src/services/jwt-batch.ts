import type { KeyObject } from 'node:crypto'
import { isSignedWith } from './jwt-signature.ts'

/** All verifications of one tick: parallel lists, one row per token and key, so that a message is cheap to copy. */
export interface Batch {
  readonly tokens: string[]
  readonly algorithms: string[]
  /** Index of the row's key in `keys`. */
  readonly keyIndexes: number[]
  readonly keys: KeyObject[]
}

/** One byte per row: 1 when the token was signed with the key. */
export function verifyBatch({ tokens, algorithms, keyIndexes, keys }: Batch): Uint8Array {
  const results = new Uint8Array(tokens.length)
  for (let row = 0; row < tokens.length; row++) {
    const key = keys[keyIndexes[row] as number] as KeyObject
    if (isSignedWith(key, algorithms[row] as string, tokens[row] as string)) results[row] = 1
  }
  return results
}
