import type { KeySet } from '../../core/services/key-sets.ts'
import type { VerificationKey } from '../../core/verification-key.ts'

type Keys = readonly VerificationKey[]

const none: Keys = Object.freeze([])

/**
 * Keys that stand in the configuration: a change of them is another configuration. One without a `kid` fits tokens of any; the
 * signature decides. What a token asks for is found without making anything: a flood of made-up key ids leaves no garbage.
 */
export class StaticKeys implements KeySet {
  readonly empty = false
  /** By algorithm, then by `kid`; under `null` for tokens that name none, under `undefined` for those that name another. */
  readonly #found = new Map<string, Map<string | null | undefined, Keys>>()

  constructor(keys: Keys) {
    const kids = new Set(keys.map(({ kid }) => kid))
    for (const algorithm of new Set(keys.flatMap(({ algorithms }) => algorithms))) {
      const fitting = keys.filter(({ algorithms }) => algorithms.includes(algorithm))
      const unnamed = fitting.filter(({ kid }) => kid === null)
      const byKid = new Map<string | null | undefined, Keys>([
        [null, fitting],
        [undefined, unnamed],
      ])
      for (const kid of kids) {
        if (kid !== null) byKid.set(kid, fitting.filter((key) => key.kid === kid).concat(unnamed))
      }
      this.#found.set(algorithm, byKid)
    }
  }

  find(kid: string | null, algorithm: string): Keys {
    const byKid = this.#found.get(algorithm)
    return byKid?.get(kid) ?? byKid?.get(undefined) ?? none
  }
}
