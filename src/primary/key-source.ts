import { getHeaderJoined } from '../core/headers.ts'
import type { Kept } from '../core/plugin.ts'
import { type HttpAnswer, HttpFault, type HttpService } from '../core/services/http.ts'
import type { Instruments } from '../core/services/instruments.ts'
import type { RemoteKeySet } from '../core/services/key-sets.ts'
import type { HttpServiceStore } from '../services/http-service.ts'
import type { KeySetNews, PublicKey } from '../services/key-set-message.ts'
import type { Log } from '../telemetry/logger.ts'
import { type ReadKeySet, readKeySet } from './read-key-set.ts'

/** Bounds of the times between fetches, in milliseconds. */
export interface FetchBounds {
  /** Between these lies the lifetime that an answer may claim for itself. */
  readonly leastAge: number
  readonly mostAge: number
  /** The first wait after a failure; it doubles up to the last. */
  readonly firstRetry: number
  readonly lastRetry: number
}

/** A key set in `/status`. */
export interface KeySourceStatus {
  readonly source: string
  /** `empty`: nothing was ever fetched. `stale`: the last fetch failed, the last good set is in use. */
  readonly state: 'empty' | 'fresh' | 'stale'
  readonly keys: readonly (string | null)[]
  /** Seconds since the last good fetch; `null`: there was none. */
  readonly age: number | null
  /** What was wrong with the last fetch, `null` when nothing was. */
  readonly reason: string | null
  /** Seconds to the next fetch. */
  readonly next: number
}

/** What a source says; which question of which worker it answers is not its to know. */
export type SourceNews =
  | Extract<KeySetNews, { type: 'set' }>
  | Omit<Extract<KeySetNews, { type: 'fetched' }>, 'question'>

export interface KeySourceHost {
  readonly services: HttpServiceStore
  readonly instruments: Instruments
  readonly log: Log
  /** To all workers that want this set. */
  tell(news: SourceNews): void
}

const headers = ['accept', 'application/jwk-set+json, application/json', 'accept-encoding', 'identity']

/**
 * One key set behind a URL. Fetched ahead of its end; the last good set stays in use for as long as no better one comes,
 * whatever the issuer answers meanwhile.
 */
export class KeySource {
  /** Stands in logs and metrics. Without the query, which may hold a secret. */
  readonly name: string
  readonly #id: string
  readonly #settings: RemoteKeySet
  readonly #bounds: FetchBounds
  readonly #host: KeySourceHost
  #service: (HttpService & Kept) | null = null
  #serviceKey = ''
  #timer: NodeJS.Timeout | undefined
  #nextAt = 0
  #isFetching = false
  #isClosed = false
  #version = 0
  #keys: readonly PublicKey[] = []
  /** `performance.now()` of the last good fetch, and of the last one because of a miss; -1: none. */
  #fetchedAt = -1
  #missedAt = -1
  /** Key ids that were asked for while a fetch was under way: it may have begun too early to bring them. */
  readonly #asked = new Set<string>()
  #failures = 0
  #reason: string | null = null
  /** What is wrong with single keys of the set, as it was logged last. */
  #skipped = ''

  constructor(id: string, settings: RemoteKeySet, bounds: FetchBounds, host: KeySourceHost) {
    const { origin, pathname } = new URL(settings.url)
    this.name = origin + pathname
    this.#id = id
    this.#settings = settings
    this.#bounds = bounds
    this.#host = host
  }

  /** Seconds since the last good fetch; 0 when there was none. */
  get age(): number {
    return this.#fetchedAt === -1 ? 0 : (performance.now() - this.#fetchedAt) / 1000
  }

  start(): void {
    void this.#fetch()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#service?.close?.()
  }

  status(): KeySourceStatus {
    const isEmpty = this.#version === 0
    return {
      source: this.name,
      state: isEmpty ? 'empty' : this.#failures === 0 ? 'fresh' : 'stale',
      keys: this.#keys.map(({ kid }) => kid),
      age: isEmpty ? null : Math.round(this.age),
      reason: this.#reason,
      next: Math.max(0, Math.round((this.#nextAt - performance.now()) / 1000)),
    }
  }

  /** Tells a worker that has just come what there is. */
  greet(tell: (news: SourceNews) => void): void {
    if (this.#version > 0) tell(this.#set())
    if (this.#version > 0 || this.#failures > 0) tell(this.#fetched())
  }

  /** Somebody asks for a key that is not in that version of the set: fetches anew, at most once per cooldown. */
  miss(kid: string, version: number, tell: (news: SourceNews) => void): void {
    // What the worker lacks may be on its way already.
    if (version < this.#version && this.#has(kid)) return tell(this.#fetched())
    if (this.#isFetching) {
      this.#asked.add(kid)
      return
    }
    if (this.#quiet() > 0) return tell(this.#fetched())
    this.#missedAt = performance.now()
    void this.#fetch()
  }

  async #fetch(): Promise<void> {
    clearTimeout(this.#timer)
    this.#isFetching = true
    const outcome = await this.#get()
    this.#isFetching = false
    if (this.#isClosed) return
    if (typeof outcome === 'string') this.#fail(outcome)
    else this.#succeed(outcome.set, outcome.lifetime)

    const isLacking = [...this.#asked].some((kid) => !this.#has(kid))
    this.#asked.clear()
    if (isLacking && this.#failures === 0 && this.#quiet() === 0) {
      this.#missedAt = performance.now()
      return this.#fetch()
    }
    this.#host.tell(this.#fetched())
  }

  /** A set, or what is wrong. */
  async #get(): Promise<{ readonly set: ReadKeySet; readonly lifetime: number } | string> {
    let service: HttpService
    try {
      service = this.#open()
    } catch (error) {
      return `the files for TLS can't be read: ${(error as NodeJS.ErrnoException).code}`
    }
    const answer = await service.call({ method: 'GET', headers })
    if (answer instanceof HttpFault) {
      // Why it is left alone is better to know than that it is.
      if (answer.kind === 'breaker_open' && this.#reason !== null) return this.#reason
      return `${answer.kind}: ${answer.detail}`
    }
    if (answer.status !== 200) return `status ${answer.status}`
    const set = readKeySet(answer.body)
    return typeof set === 'string' ? set : { set, lifetime: this.#lifetime(answer.headers) }
  }

  /** Looks at the files for TLS with every fetch: they may have been renewed. */
  #open(): HttpService {
    return this.#host.services.open(this.#settings, (key, make) => {
      if (this.#service === null || this.#serviceKey !== key) {
        const made = make()
        this.#service?.close?.()
        this.#service = made as unknown as HttpService & Kept
        this.#serviceKey = key
      }
      return this.#service as unknown as ReturnType<typeof make>
    })
  }

  #succeed({ keys, skipped }: ReadKeySet, lifetime: number): void {
    const { log } = this.#host
    const source = this.name
    this.#count('good')
    this.#fetchedAt = performance.now()
    if (this.#reason !== null) log.info({ source }, 'a key set can be fetched again')
    this.#reason = null
    this.#failures = 0
    const wrong = skipped.join('; ')
    if (wrong !== '' && wrong !== this.#skipped) log.warn({ source, reason: wrong }, 'keys of a key set are left out')
    this.#skipped = wrong
    if (!isSame(keys, this.#keys)) {
      this.#version += 1
      this.#keys = keys
      log.info({ source, version: this.#version, keys: keys.map(({ kid }) => kid) }, 'a key set is in use')
      this.#host.tell(this.#set())
    }
    // Ahead of the end, and not all gateways of a site at once.
    this.#schedule(lifetime * (0.75 + Math.random() * 0.15))
  }

  #fail(reason: string): void {
    this.#count('bad')
    this.#failures += 1
    if (this.#reason === null) {
      const words = this.#version === 0 ? 'a key set can not be fetched' : 'a key set can not be fetched anew'
      this.#host.log.warn({ source: this.name, reason }, words)
    }
    this.#reason = reason
    const { firstRetry, lastRetry } = this.#bounds
    const pause = Math.min(firstRetry * 2 ** Math.min(this.#failures - 1, 20), lastRetry, this.#settings.refresh)
    this.#schedule(pause * (0.75 + Math.random() * 0.5))
  }

  #schedule(pause: number): void {
    this.#nextAt = performance.now() + pause
    this.#timer = setTimeout(() => void this.#fetch(), pause).unref()
  }

  /** Milliseconds for which an answer is good (RFC 9111 §4.2.1, §5.2.2), within bounds. */
  #lifetime(fields: HttpAnswer['headers']): number {
    const control = getHeaderJoined(fields, 'cache-control')
    const seconds = /(?:^|[\s,])max-age="?(\d+)/i.exec(control ?? '')?.[1]
    if (seconds === undefined) return this.#settings.refresh
    const { leastAge, mostAge } = this.#bounds
    const age = Number(getHeaderJoined(fields, 'age') ?? 0)
    const rest = (Number(seconds) - (age >= 0 ? age : 0)) * 1000
    return Math.min(Math.max(rest, leastAge), mostAge)
  }

  /** Milliseconds until a miss may lead to a fetch again. */
  #quiet(): number {
    return this.#missedAt === -1 ? 0 : Math.max(0, this.#missedAt + this.#settings.cooldown - performance.now())
  }

  #has(kid: string): boolean {
    return this.#keys.some((key) => key.kid === kid)
  }

  #set(): SourceNews {
    return { type: 'set', id: this.#id, version: this.#version, keys: this.#keys }
  }

  #fetched(): SourceNews {
    return { type: 'fetched', id: this.#id, quiet: this.#quiet() }
  }

  #count(outcome: 'good' | 'bad'): void {
    const { instruments } = this.#host
    const labels = ['source', this.name, 'outcome', outcome]
    instruments
      .counter('sluice_key_set_fetches_total', 'Fetches of key sets of issuers, by what came of them.', labels)
      .add(1)
  }
}

function isSame(left: readonly PublicKey[], right: readonly PublicKey[]): boolean {
  const text = (keys: readonly PublicKey[]): string =>
    JSON.stringify(
      keys
        .map(({ kid, algorithms, spki }) => JSON.stringify([kid, algorithms, Buffer.from(spki).toString('base64')]))
        .sort(),
    )
  return text(left) === text(right)
}
