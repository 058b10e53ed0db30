import type { PrimaryLink } from '../core/messages.ts'
import type { Instruments } from '../core/services/instruments.ts'
import { HttpServiceStore } from '../services/http-service.ts'
import type { KeySetRequest } from '../services/key-set-message.ts'
import { type Log, pluginLog } from '../telemetry/logger.ts'
import { type FetchBounds, KeySource, type KeySourceStatus, type SourceNews } from './key-source.ts'

/** Milliseconds for which a set is kept up that no worker wants: one that restarts finds it there. */
const linger = 60_000

const defaultBounds: FetchBounds = {
  leastAge: 30_000,
  mostAge: 86_400_000,
  firstRetry: 1000,
  lastRetry: 60_000,
}

/**
 * Fetches the key sets that workers want: each once per node, however many workers there are. What comes is pushed to
 * all that want it.
 */
export class KeySetFetcher {
  readonly #link: PrimaryLink
  readonly #log: Log
  readonly #instruments: Instruments
  readonly #services: HttpServiceStore
  readonly #bounds: FetchBounds
  readonly #wanted = new Map<string, Wanted>()
  /** Names in metrics that have a gauge. */
  readonly #named = new Set<string>()

  constructor(link: PrimaryLink, log: Log, instruments: Instruments, bounds: Partial<FetchBounds> = {}) {
    this.#link = link
    this.#log = log
    this.#instruments = instruments
    this.#services = new HttpServiceStore({ instruments, log: pluginLog(log) })
    this.#bounds = { ...defaultBounds, ...bounds }
    link.on('key_sets', (body, worker) => this.#hear(body as KeySetRequest, worker))
    link.onLeave((worker) => {
      for (const [id, wanted] of this.#wanted) this.#leave(id, wanted, worker)
    })
  }

  status(): readonly KeySourceStatus[] {
    return [...this.#wanted.values()].map(({ source }) => source.status())
  }

  close(): void {
    for (const { source, dropping } of this.#wanted.values()) {
      clearTimeout(dropping)
      source.close()
    }
    this.#wanted.clear()
  }

  #hear(request: KeySetRequest, worker: number): void {
    const { id } = request
    const wanted = this.#wanted.get(id) ?? (request.type === 'open' ? this.#start(request) : undefined)
    if (wanted === undefined) return
    switch (request.type) {
      case 'open':
        clearTimeout(wanted.dropping)
        wanted.workers.set(worker, 0)
        wanted.source.greet((news) => this.#tell(wanted, worker, news))
        break
      case 'close':
        this.#leave(id, wanted, worker)
        break
      case 'miss':
        wanted.workers.set(worker, request.question)
        wanted.source.miss(request.kid, request.version, (news) => this.#tell(wanted, worker, news))
    }
  }

  #tell({ workers }: Wanted, worker: number, news: SourceNews): void {
    const question = workers.get(worker) ?? 0
    this.#link.send(worker, 'key_sets', news.type === 'fetched' ? { ...news, question } : news)
  }

  #start({ id, source: settings }: Extract<KeySetRequest, { type: 'open' }>): Wanted {
    const source = new KeySource(id, settings, this.#bounds, {
      services: this.#services,
      instruments: this.#instruments,
      log: this.#log,
      tell: (news) => {
        for (const worker of wanted.workers.keys()) this.#tell(wanted, worker, news)
      },
    })
    const wanted: Wanted = { source, workers: new Map(), dropping: undefined }
    this.#wanted.set(id, wanted)
    this.#name(source.name)
    source.start()
    return wanted
  }

  #leave(id: string, wanted: Wanted, worker: number): void {
    if (!wanted.workers.delete(worker) || wanted.workers.size > 0) return
    wanted.dropping = setTimeout(() => {
      wanted.source.close()
      this.#wanted.delete(id)
    }, linger).unref()
  }

  #name(name: string): void {
    if (this.#named.has(name)) return
    this.#named.add(name)
    this.#instruments.gauge(
      'sluice_key_set_age_seconds',
      'Time since a key set of an issuer was last fetched well.',
      ['source', name],
      'max',
      () => {
        let oldest = 0
        for (const { source } of this.#wanted.values()) if (source.name === name) oldest = Math.max(oldest, source.age)
        return oldest
      },
    )
  }
}

interface Wanted {
  readonly source: KeySource
  /** By worker: the number of its last question. */
  readonly workers: Map<number, number>
  dropping: NodeJS.Timeout | undefined
}
