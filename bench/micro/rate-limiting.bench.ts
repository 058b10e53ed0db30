import { type Consumer, RequestContext } from '../../src/core/context.ts'
import type { Steps } from '../../src/core/plugin.ts'
import type { Admission, Limit, LimitStore } from '../../src/core/services/limits.ts'
import { servicesAtRest } from '../../src/core/services/services.ts'
import { rateLimiting } from '../../src/plugins/rate-limiting/plugin.ts'
import { InstrumentSet } from '../../src/telemetry/metrics.ts'
import { depsOf } from '../../test/support/plugin.ts'

/** Decides nothing: what is measured is the plugin. */
class ReadyStore implements LimitStore {
  readonly #admitted: boolean

  constructor(admitted: boolean) {
    this.#admitted = admitted
  }

  admit(limits: readonly Limit[], keys: readonly string[]): Admission {
    const left = (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) & 1023
    const resetAt = 1_800_000_000_000 + left * 60
    return {
      admitted: this.#admitted,
      refusedBy: this.#admitted ? -1 : 0,
      remaining: limits.length === 1 ? [left] : limits.map(() => left),
      resetAt: limits.length === 1 ? [resetAt] : limits.map(() => resetAt),
      retryAfter: left * 60,
      delay: 0,
      wouldRefuse: 0,
      decidedBy: 'store',
      limits,
      keys,
      previous: null,
    }
  }

  release(): void {}
}

let seed = 1

const consumers = Array.from(
  { length: 1000 },
  (_, i): Consumer => ({
    id: `01234567-89ab-cdef-0123-4567890${i}`,
    name: null,
    tier: 'free',
    tenant: `tenant-${i % 50}`,
    groups: [],
    roles: [],
    scopes: [],
    credential: null,
    anonymous: false,
  }),
)
const fields = ['content-type', 'application/json', 'content-length', '110', 'server', 'x', 'etag', '"1"']

let next = 0

function request(): RequestContext {
  const ctx = new RequestContext()
  const i = next++ % 1000
  ctx.method = 'GET'
  ctx.clientIp = i % 2 === 0 ? `192.0.2.${i & 255}` : `2001:db8:${i}::1`
  ctx.consumer = consumers[i] as Consumer
  ctx.responseHeaders = fields.slice()
  return ctx
}

function stepsOf(config: object, admitted = true): Steps {
  const limits = { open: () => new ReadyStore(admitted) }
  const services = { ...servicesAtRest, limits, instruments: new InstrumentSet() }
  const complete = { limits: [{ by: 'consumer', limit: 1000, window: '60s' }], ...config }
  return rateLimiting.create(rateLimiting.schema.parse(complete), { ...depsOf(), services })
}

/** A request from the check to its answer. */
function running({ access, response }: Steps): () => void {
  return () => {
    const ctx = request()
    void access?.(ctx)
    response?.(ctx)
  }
}

/** What the store and the request itself cost. */
function bare(): void {
  const ctx = request()
  ctx.admission = plain.admit(noLimits, noKeys)
}

const plain = new ReadyStore(true)
const noKeys = ['a']
const noLimits: readonly Limit[] = [
  {
    name: 'a',
    algorithm: 'fixed_window',
    limit: 1,
    window: 1000,
    burst: 0,
    nodelay: false,
    calendar: null,
    observe: false,
  },
]

const three = [
  { by: 'global', limit: 50_000, window: '1s' },
  { by: 'tenant', limit: 5000, window: '1s' },
  { by: ['consumer', 'route+method'], limit: 100, window: '1s' },
]

export const suite = {
  name: 'rate-limiting',
  cases: {
    'a request and a store that decides nothing': bare,
    'by consumer': running(stepsOf({})),
    'by consumer, no headers': running(stepsOf({ headers: 'off' })),
    'by consumer, counted in redis': running(stepsOf({ store: 'redis' })),
    'by address': running(stepsOf({ limits: [{ by: 'ip', limit: 1000, window: '60s' }] })),
    'global, tenant and a compound key': running(stepsOf({ limits: three })),
    'the same with all headers': running(stepsOf({ limits: three, headers: ['x-ratelimit', 'per-limit', 'ietf'] })),
    'a refusal': running(stepsOf({}, false)),
  },
}
