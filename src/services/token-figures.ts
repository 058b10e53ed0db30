import type { Counter, Instruments } from '../core/services/instruments.ts'
import type { CacheCounters } from './token-cache.ts'

const verificationsName = 'sluice_token_verifications_total'
const verificationsHelp = 'Signatures of tokens that were checked, by how it ended.'
const lookupsHelp = 'Tokens looked up among those checked before.'

/** What all verifiers of a process count together. */
export class TokenFigures {
  readonly lookups: CacheCounters
  readonly #instruments: Instruments
  readonly #verifications = new Map<
    string,
    { readonly good: Counter; readonly bad: Counter; readonly failed: Counter }
  >()

  constructor(instruments: Instruments) {
    const lookups = (result: string): Counter =>
      instruments.counter('sluice_token_cache_lookups_total', lookupsHelp, ['result', result])
    this.lookups = { hit: lookups('hit'), miss: lookups('miss'), negative: lookups('negative') }
    this.#instruments = instruments
  }

  /** A signature was checked with an algorithm that the rules allow; `failed`: it could not be checked. */
  verified(algorithm: string, outcome: 'good' | 'bad' | 'failed'): void {
    let counters = this.#verifications.get(algorithm)
    if (counters === undefined) {
      const counter = (outcome: string): Counter =>
        this.#instruments.counter(verificationsName, verificationsHelp, ['algorithm', algorithm, 'outcome', outcome])
      counters = { good: counter('good'), bad: counter('bad'), failed: counter('failed') }
      this.#verifications.set(algorithm, counters)
    }
    counters[outcome].add(1)
  }
}
