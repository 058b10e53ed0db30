import { TokenFault, type TokenRules, type TokenVerifier } from '../../src/core/services/tokens.ts'
import { JwtVerifier } from '../../src/services/jwt-verifier.ts'
import { TokenFigures } from '../../src/services/token-figures.ts'
import { VerificationPool } from '../../src/services/verification-pool.ts'
import { type RecordingInstruments, recordInstruments } from './instruments.ts'
import { rules, type Signer, TestKeys } from './signer.ts'

/** Verifiers of a test file. They share one pool: to start its thread takes longer than most tests. */
export class TestVerifiers {
  /** What the verifiers count. */
  instruments: RecordingInstruments = recordInstruments()
  /** What the pool counts. */
  readonly poolInstruments: RecordingInstruments = recordInstruments()
  readonly errors: string[] = []
  readonly log = { info() {}, warn() {}, error: (message: string): void => void this.errors.push(message) }
  readonly pool = new VerificationPool(this.poolInstruments, this.log)

  open<T>(ruleSet: TokenRules<T>, pool = this.pool): JwtVerifier<T> {
    return new JwtVerifier(ruleSet, { pool, figures: new TokenFigures(this.instruments), log: this.log, onClose() {} })
  }

  /** Counts from zero again. */
  reset(): void {
    this.instruments = recordInstruments()
    this.errors.length = 0
  }

  lookups(result: 'hit' | 'miss' | 'negative'): number {
    return this.instruments.read(`sluice_token_cache_lookups_total{result="${result}"}`)
  }

  /** What becomes of a token at a verifier that never saw one, with one key: `good`, or the reason why not. */
  judge(token: string, key: Signer, more: Parameters<typeof rules>[2] = {}): Promise<string> {
    return reasonOf(this.open(rules(new TestKeys(key), [key.algorithm], more)), token)
  }
}

/** What becomes of a token: `good`, or the reason why not. */
export async function reasonOf(verifier: TokenVerifier<unknown>, token: string): Promise<string> {
  const result = await verifier.verify(token)
  return result instanceof TokenFault ? result.reason : 'good'
}
