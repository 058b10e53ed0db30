import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Pool } from 'undici'
import {
  type HttpAnswer,
  type HttpCall,
  HttpFault,
  type HttpService,
  type HttpSettings,
} from '../core/services/http.ts'
import type { Counter, Distribution } from '../core/services/instruments.ts'
import { Breaker, type BreakerState } from './breaker.ts'
import type { Keep, ServiceHost } from './host.ts'
import { PooledCall } from './pooled-call.ts'

/** Upper bounds of the buckets for the duration of calls, in seconds. */
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Services outside that plugins call: identity providers, authorization services. */
export class HttpServiceStore {
  readonly #host: Pick<ServiceHost, 'instruments' | 'log'>
  /** Those that are open, by the name in metrics: several settings may mean one host. */
  readonly #open = new Map<string, Set<PooledService>>()

  constructor(host: Pick<ServiceHost, 'instruments' | 'log'>) {
    this.#host = host
  }

  /** Reads the certificate files; throws when one can't be read. New contents of a file make a new service. */
  open(settings: HttpSettings, keep: Keep): HttpService {
    const files = readFiles(settings.tls)
    const key = createHash('sha256')
      .update(JSON.stringify([settings, files]))
      .digest('hex')
    return keep(`http ${key}`, () => this.#make(settings, files))
  }

  #make(settings: HttpSettings, files: TlsFiles): PooledService {
    const name = new URL(settings.url).host
    let open = this.#open.get(name)
    if (open === undefined) {
      this.#open.set(name, (open = new Set()))
      this.#watch(name, open)
    }
    const siblings = open
    const service = new PooledService(settings, files, name, this.#host, () => siblings.delete(service))
    siblings.add(service)
    return service
  }

  #watch(name: string, open: ReadonlySet<PooledService>): void {
    this.#host.instruments.gauge(
      'sluice_service_breaker_open',
      'Whether a service outside is left alone because it fails: 1 while its breaker is not closed.',
      ['service', name],
      'max',
      () => ([...open].some((service) => service.breakerState !== 'closed') ? 1 : 0),
    )
  }
}

interface TlsFiles {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}

function readFiles({ ca, cert, key }: HttpSettings['tls']): TlsFiles {
  const text = (file: string | null): string | null => (file === null ? null : readFileSync(file, 'utf8'))
  return { ca: text(ca), cert: text(cert), key: text(key) }
}

const unsendable = /[^\t\u0020-\u007e\u0080-\u00ff]/

/** undici refuses other characters, too; but a pool whose client refused a request never uses that client again. */
function areBytes(headers: readonly string[]): boolean {
  for (let i = 0; i < headers.length; i++) if (unsendable.test(headers[i] as string)) return false
  return true
}

/** One service behind a pool of connections. Connects when it is first called. */
export class PooledService implements HttpService {
  readonly #settings: HttpSettings
  readonly #host: Pick<ServiceHost, 'instruments' | 'log'>
  readonly #name: string
  readonly #path: string
  readonly #pool: Pool
  readonly #breaker: Breaker
  readonly #duration: Distribution
  readonly #outcomes = new Map<string, Counter>()
  readonly #onClose: () => void
  readonly #waiting: PooledCall[] = []
  #running = 0
  #closed = false

  constructor(
    settings: HttpSettings,
    files: TlsFiles,
    name: string,
    host: Pick<ServiceHost, 'instruments' | 'log'>,
    onClose: () => void,
  ) {
    const { origin, pathname, search } = new URL(settings.url)
    const { verify, server_name } = settings.tls
    this.#settings = settings
    this.#host = host
    this.#name = name
    this.#path = pathname + search
    this.#onClose = onClose
    this.#breaker = new Breaker(settings.breaker.max_failures, settings.breaker.cooldown)
    this.#duration = host.instruments.distribution(
      'sluice_service_call_duration_seconds',
      'Duration of calls to services outside.',
      bounds,
      ['service', name],
    )
    this.#pool = new Pool(origin, {
      connections: settings.max_connections,
      connectTimeout: settings.timeout,
      // Each call has one time limit of its own, for all of it.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: {
        rejectUnauthorized: verify,
        ...(server_name === null ? undefined : { servername: server_name }),
        ...(files.ca === null ? undefined : { ca: files.ca }),
        ...(files.cert === null ? undefined : { cert: files.cert }),
        ...(files.key === null ? undefined : { key: files.key }),
      },
    })
  }

  get breakerState(): BreakerState {
    return this.#closed ? 'closed' : this.#breaker.state(performance.now())
  }

  call(request: HttpCall): Promise<HttpAnswer | HttpFault> {
    const { max_connections: most } = this.#settings
    if (this.#closed) return this.#refuse('broken', 'the service is closed')
    if (!areBytes(request.headers)) return this.#refuse('broken', 'a header field can not be sent')
    if (this.#running >= most && this.#waiting.length >= most)
      return this.#refuse('overloaded', `${most} calls wait already`)
    const startedAt = performance.now()
    if (!this.#breaker.admits(startedAt)) return this.#refuse('breaker_open', 'it failed too often')
    return new Promise((resolve) => {
      const call = new PooledCall(request, this.#path, this.#settings, {
        settled: (result) => {
          this.#leave(call)
          this.#record(result, startedAt)
          resolve(result)
        },
        ended: () => this.#ended(),
      })
      if (this.#running >= most) this.#waiting.push(call)
      else this.#run(call)
    })
  }

  /** Ends its connections; calls that are under way fail. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const call of this.#waiting.splice(0)) call.fail('broken', 'the service was closed')
    void this.#pool.destroy()
    this.#onClose()
  }

  #run(call: PooledCall): void {
    this.#running += 1
    call.run(this.#pool)
  }

  /** A connection is free again. */
  #ended(): void {
    this.#running -= 1
    const next = this.#closed ? undefined : this.#waiting.shift()
    if (next !== undefined) this.#run(next)
  }

  #leave(call: PooledCall): void {
    const place = this.#waiting.indexOf(call)
    if (place !== -1) this.#waiting.splice(place, 1)
  }

  #refuse(kind: HttpFault['kind'], detail: string): Promise<HttpFault> {
    this.#count(kind)
    return Promise.resolve(new HttpFault(kind, detail))
  }

  #record(result: HttpAnswer | HttpFault, startedAt: number): void {
    const now = performance.now()
    this.#duration.record((now - startedAt) / 1000)
    const isFault = result instanceof HttpFault
    this.#count(isFault ? result.kind : result.status >= 500 ? 'server_error' : 'answer')
    const { log } = this.#host
    if (isFault || result.status >= 500) {
      const reason = isFault ? `${result.kind}: ${result.detail}` : `status ${result.status}`
      if (this.#breaker.failed(now)) log.warn('a service is left alone: it fails', { service: this.#name, reason })
    } else if (this.#breaker.succeeded()) log.info('a service answers again', { service: this.#name })
  }

  #count(outcome: string): void {
    let counter = this.#outcomes.get(outcome)
    if (counter === undefined) {
      counter = this.#host.instruments.counter(
        'sluice_service_calls_total',
        'Calls to services outside (identity providers, authorization services), by how they ended.',
        ['service', this.#name, 'outcome', outcome],
      )
      this.#outcomes.set(outcome, counter)
    }
    counter.add(1)
  }
}
