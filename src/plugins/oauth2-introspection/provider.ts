import type { PluginLog } from '../../core/plugin.ts'
import type { HttpAnswer, HttpFault, HttpService } from '../../core/services/http.ts'
import type { Counter, Instruments } from '../../core/services/instruments.ts'
import { TokenFault } from '../../core/services/tokens.ts'
import { AnswerCache, type Answered } from '../answer-cache.ts'
import { formEncoded, type PreparedForm, prepareForm } from '../client-credentials.ts'
import { endOf, type Introspected } from './answer.ts'
import type { Config } from './schema.ts'

/** Most bytes that remembered tokens may take, about. */
const cacheBytes = 64 * 1024 ** 2

type Outcome = 'remembered' | 'active' | 'inactive' | 'unavailable' | 'stale'

/** What of the worker an introspection needs: it may come from another snapshot with each request. */
export interface Means {
  readonly service: HttpService
  readonly log: PluginLog
  readonly read: (answer: HttpAnswer | HttpFault, digest: string) => Answered<Introspected>
}

/** A provider, and what it said of tokens. Lives on over reloads. */
export class Provider {
  readonly #cache: AnswerCache<Introspected>
  readonly #form: PreparedForm
  readonly #counters: Readonly<Record<Outcome, Counter>>
  readonly #name: string
  #isFailing = false

  constructor(config: Config, instruments: Instruments) {
    const { entries, stale_ttl } = config.cache
    this.#cache = new AnswerCache({ entries, bytes: cacheBytes, grace: stale_ttl })
    this.#form = prepareForm(config, [['token_type_hint', config.token_type_hint]])
    this.#name = new URL(config.url).host
    const counter = (outcome: Outcome): Counter =>
      instruments.counter('sluice_introspections_total', 'Tokens looked up at a provider, by what came of it.', [
        'service',
        this.#name,
        'outcome',
        outcome,
      ])
    this.#counters = {
      remembered: counter('remembered'),
      active: counter('active'),
      inactive: counter('inactive'),
      unavailable: counter('unavailable'),
      stale: counter('stale'),
    }
  }

  /** What is known of a token whose SHA-256 that is. */
  find(digest: string): Introspected | undefined {
    const known = this.#cache.find(digest, Date.now())
    if (known !== undefined) this.#counters.remembered.add(1)
    return known
  }

  ask(token: string, digest: string, means: Means): Promise<Introspected> {
    return this.#cache.ask(digest, () => this.#call(token, digest, means))
  }

  close(): void {
    this.#cache.close()
  }

  async #call(token: string, digest: string, { service, log, read }: Means): Promise<Answered<Introspected>> {
    const { headers, start } = this.#form
    const body = `${start}&token=${formEncoded(token)}`
    const answered = read(await service.call({ method: 'POST', headers, body }), digest)
    const { value } = answered
    const isUnavailable = value instanceof TokenFault && value.kind !== 'invalid'
    this.#tell(isUnavailable ? value.reason : null, log)
    if (!isUnavailable) {
      this.#counters[value instanceof TokenFault ? 'inactive' : 'active'].add(1)
      return answered
    }
    const old = this.#cache.findOld(digest, Date.now())
    if (old === undefined || old instanceof TokenFault || Date.now() >= endOf(old.claims)) {
      this.#counters.unavailable.add(1)
      return answered
    }
    this.#counters.stale.add(1)
    return { ...answered, value: old }
  }

  /** Once when it begins and once when it ends: each request says so for itself in the access log. */
  #tell(reason: string | null, log: PluginLog): void {
    if (this.#isFailing === (reason !== null)) return
    this.#isFailing = reason !== null
    if (reason === null) log.info('tokens can be introspected again', { service: this.#name })
    else log.warn('tokens can not be introspected', { service: this.#name, reason })
  }
}
