import { KeyFault, keysOfJwkSet } from '../core/verification-key.ts'
import type { PublicKey } from '../services/key-set-message.ts'

/** The usable keys of a JWK Set, and why others were left out. */
export interface ReadKeySet {
  readonly keys: readonly PublicKey[]
  readonly skipped: readonly string[]
}

/** More keys than an issuer can mean: a token without a `kid` would be tried with each. */
const mostKeys = 200

/**
 * Reads what an issuer answered. A string says why it is no set to work with: what is no JWK Set, or has not one usable key, must
 * never take the place of one that has.
 */
export function readKeySet(body: string): ReadKeySet | string {
  let set: unknown
  try {
    set = JSON.parse(body)
  } catch {
    return 'the answer is not JSON'
  }
  const read = keysOfJwkSet(set, { secrets: false })
  if (read instanceof KeyFault) return read.reason
  if (read.keys.length > mostKeys) return `the set has ${read.keys.length} keys: ${mostKeys} is the most`
  const skipped = read.faults.map(({ reason }) => reason)
  if (read.keys.length === 0) return ['the set has no usable key', ...new Set(skipped)].join(': ')
  const keys = new Map<string, PublicKey>()
  for (const { kid, algorithms, key } of read.keys) {
    const spki = key.export({ format: 'der', type: 'spki' })
    keys.set(JSON.stringify([kid, algorithms, spki.toString('base64')]), { kid, algorithms, spki })
  }
  return { keys: [...keys.values()], skipped }
}
