import type { TokenRules, TokenVerifiers } from '../core/services/tokens.ts'
import type { Keep, ServiceHost } from './host.ts'
import { JwtVerifier } from './jwt-verifier.ts'
import { TokenFigures } from './token-figures.ts'
import { VerificationPool } from './verification-pool.ts'

/** The verifiers of a worker. They share one pool of threads, which starts with the first token that needs it and
 * ends with the last verifier. */
export class TokenVerifierStore {
  readonly #host: ServiceHost
  readonly #figures: TokenFigures
  readonly #pool: VerificationPool
  readonly #verifiers = new Set<{ readonly cached: number }>()

  constructor(host: ServiceHost) {
    this.#host = host
    this.#figures = new TokenFigures(host.instruments)
    this.#pool = new VerificationPool(host.instruments, host.log)
    const gauge = (name: string, help: string, read: () => number): void =>
      host.instruments.gauge(name, help, [], 'sum', read)
    gauge('sluice_token_cache_entries', 'Verified tokens that are remembered.', () => this.#countCached())
    gauge('sluice_token_verifications_waiting', 'Signatures that wait for a thread.', () => this.#pool.waiting)
  }

  /** For one snapshot: rules of the same fingerprint go on with the verifier that knows their tokens. */
  open(keep: Keep): TokenVerifiers {
    return { open: (rules) => keep(`tokens:${rules.fingerprint}`, () => this.#makeVerifier(rules)) }
  }

  #makeVerifier<T>(rules: TokenRules<T>): JwtVerifier<T> {
    const verifier = new JwtVerifier(rules, {
      pool: this.#pool,
      figures: this.#figures,
      log: this.#host.log,
      onClose: () => {
        this.#verifiers.delete(verifier)
        if (this.#verifiers.size === 0) this.#pool.close()
      },
    })
    this.#verifiers.add(verifier)
    return verifier
  }

  #countCached(): number {
    let entries = 0
    for (const verifier of this.#verifiers) entries += verifier.cached
    return entries
  }
}
