import { type ApiKey, audience, type Credentials, issuer } from './credentials.ts'

/** What differs between the configurations of one run. */
export interface Settings {
  /** Clients see it in X-Config. */
  readonly version: number
  /** Requests a second of the consumer `trial`. */
  readonly trialLimit: number
  /** Requests a second of all together; `null`: no limit. */
  readonly globalLimit: number | null
  /** Routes that nobody asks for. */
  readonly furtherRoutes: number
}

/** What stays the same. */
export interface Surroundings {
  readonly credentials: Credentials
  readonly originPorts: readonly number[]
  readonly redisUrl: string | null
  readonly store: 'node' | 'redis'
  /** How long a request may wait for it. */
  readonly storeTimeout: string
  readonly adminPort: number
  readonly port: number
}

/**
 * The gateway's configuration, as JSON, which is YAML too: routes with tokens, with API keys and with nothing, limits per consumer, an
 * access log. `jwks.json` stands beside it.
 */
export function gatewayConfig(settings: Settings, surroundings: Surroundings): object {
  const { version, trialLimit, globalLimit, furtherRoutes } = settings
  const { credentials, originPorts, redisUrl, store, storeTimeout, adminPort, port } = surroundings
  const { shop, trial } = credentials
  const limit = (by: string, most: number): object => ({
    name: 'rate-limiting',
    config: { store, timeout: storeTimeout, limits: [{ by, limit: most, window: '1s', algorithm: 'fixed_window' }] },
  })
  const keys = {
    name: 'key-auth',
    config: { keys: [shop, trial].map(({ id, hash }: ApiKey) => ({ id, hash, consumer: id })) },
  }
  const tokens = { name: 'jwt', config: { issuer, audience, jwks: { file: './jwks.json' } } }
  const route = (name: string, plugins: readonly object[]): object => ({
    name,
    paths: [`/api/${name}/*`],
    strip_path: true,
    upstream: 'service',
    plugins,
  })
  return {
    version: 1,
    listeners: [{ address: `127.0.0.1:${port}` }],
    admin: { address: `127.0.0.1:${adminPort}` },
    ...(redisUrl === null ? {} : { redis: redisUrl }),
    // Every line is made and written; a soak would fill a disk with them.
    access_log: { path: '/dev/null' },
    consumers: [{ id: shop.id }, { id: trial.id }],
    plugins: [
      'correlation-id',
      {
        name: 'response-transformer',
        config: { remove: { headers: ['X-Powered-By'] }, set: { headers: [`X-Config:${version}`] } },
      },
      ...(globalLimit === null ? [] : [limit('global', globalLimit)]),
    ],
    routes: [
      route('users', [tokens, limit('consumer', 1_000_000)]),
      route('orders', [keys, limit('consumer', 1_000_000)]),
      route('trial', [keys, limit('consumer', trialLimit)]),
      { name: 'open', paths: ['/open/*'], upstream: 'service' },
      ...(version % 2 === 0 ? [{ name: 'even', paths: ['/even/*'], upstream: 'service' }] : []),
      ...Array.from({ length: furtherRoutes }, (_, i) => ({
        name: `further-${i}`,
        paths: [`/further/${i}/{id}`],
        upstream: 'service',
      })),
    ],
    upstreams: [{ name: 'service', targets: originPorts.map((each) => ({ target: `127.0.0.1:${each}` })) }],
  }
}
