/** What a thread of the verification pool runs. */
import type { KeyObject } from 'node:crypto'
import { constants, getPriority, setPriority } from 'node:os'
import { isSignedWith } from './jwt-signature.ts'

/** All verifications of one tick: parallel lists, one row per token and key, so that a message is cheap to copy. */
export interface Batch {
  readonly tokens: string[]
  readonly algorithms: string[]
  /** Index of the row's key in `keys`. */
  readonly keyIndexes: number[]
  readonly keys: KeyObject[]
}

// When cores are short, requests whose tokens are known go first. On Linux 0 means this thread; elsewhere it would be
// the whole process.
if (process.platform === 'linux') {
  try {
    setPriority(0, Math.max(getPriority(0), constants.priority.PRIORITY_BELOW_NORMAL))
  } catch {
    // A sandbox may forbid it: then it runs like all others.
  }
}

/** One byte per row: 1 when the token was signed with the key. */
export default function verifyBatch({ tokens, algorithms, keyIndexes, keys }: Batch): Uint8Array {
  const results = new Uint8Array(tokens.length)
  for (let row = 0; row < tokens.length; row++) {
    const key = keys[keyIndexes[row] as number] as KeyObject
    if (isSignedWith(key, algorithms[row] as string, tokens[row] as string)) results[row] = 1
  }
  return results
}
