import { z } from 'zod'
import type { KnownConsumer } from '../core/plugin.ts'
import type { RedisSettings } from '../core/services/redis.ts'
import { type AccessLogSettings, accessLog } from './access-log.ts'
import { admin } from './admin.ts'
import { cidr } from './cidr.ts'
import { consumer } from './consumers.ts'
import { limits } from './limits.ts'
import { listener } from './listener.ts'
import { pluginEntries } from './plugin-entry.ts'
import { redis } from './redis.ts'
import { route } from './route.ts'
import { type SecurityConfig, security } from './security.ts'
import { type Timeouts, timeouts } from './timeouts.ts'
import { duration } from './units.ts'
import { upstream } from './upstream.ts'

/** The configuration file. Types, defaults, messages, the JSON Schema and the reference all come from here. */
export const schema = z.strictObject({
  version: z.literal(1).default(1).describe('Version of this format.'),
  listeners: z
    .array(listener)
    .min(1)
    .prefault([{ address: '0.0.0.0:8080' }])
    .describe('Where clients connect.'),
  admin: admin.prefault({}).describe('Where health, metrics and status are served; `off` for nowhere.'),
  workers: z
    .union([z.int().min(1).max(1024), z.literal('auto')], { error: 'must be a number from 1 to 1024, or auto' })
    .default('auto')
    .describe('Worker processes; `auto`: one per core.'),
  shutdown_timeout: duration()
    .prefault('30s')
    .describe('How long requests in flight may take to end when the gateway stops.'),
  shutdown_delay: duration({ min: [0, '0'] })
    .prefault('0s')
    .describe('How long it goes on accepting before that, while readiness already answers 503.'),
  trusted_proxies: z
    .array(cidr)
    .prefault([])
    .describe('Proxies in front whose `X-Forwarded-*` and `Forwarded` fields are believed.'),
  redis: redis.optional().describe('Store that several gateways share: a URL, or a mapping.'),
  timeouts: timeouts.prefault({}).describe('How long each phase of a request may take.'),
  limits: limits.prefault({}).describe('How much a client may send.'),
  access_log: accessLog.prefault({}).describe('One JSON line per request; `off`, the path of a file, or an object.'),
  server_header: z
    .union([z.literal(['pass', 'off', false]), z.string().min(1)], { error: 'must be pass, off, or the value to send' })
    .transform((value) => (value === false ? 'off' : value))
    .prefault('pass')
    .describe("What becomes of the upstream's `Server` field: `pass`, `off`, or a value of your own."),
  security: security.prefault({}).describe('What holds for the whole gateway.'),
  consumers: z.array(consumer).prefault([]).describe('Who may call, as far as it is known beforehand.'),
  plugins: pluginEntries.describe('Plugins on every route.'),
  routes: z.array(route).prefault([]).describe('Which requests go where.'),
  upstreams: z.array(upstream).prefault([]).describe('Groups of servers that routes send requests to.'),
})

/** The file as the schema leaves it: defaults filled in, units converted, nothing resolved between its parts. */
export type Settings = z.output<typeof schema>

/** The validated configuration, as workers get it: every default filled in, every reference resolved. Plain data. */
export interface Config {
  readonly version: 1
  /** Absolute path of the folder of the file. */
  readonly dir: string
  readonly listeners: readonly Listener[]
  readonly admin: Admin | null
  readonly workers: number | 'auto'
  /** All times are milliseconds, all sizes bytes. */
  readonly shutdown_timeout: number
  readonly shutdown_delay: number
  /** CIDR blocks. */
  readonly trusted_proxies: readonly string[]
  readonly redis: RedisSettings | null
  readonly timeouts: Timeouts
  readonly limits: Limits
  readonly access_log: AccessLogSettings | null
  /** `pass`, `off`, or a value. */
  readonly server_header: string
  readonly security: SecurityConfig
  readonly consumers: readonly KnownConsumer[]
  readonly plugins: readonly PluginEntry[]
  readonly routes: readonly Route[]
  readonly upstreams: readonly Upstream[]
}

export type Limits = Readonly<Settings['limits']>
export type { AccessLogSettings as AccessLogConfig, Timeouts }

export interface Admin {
  readonly address: string
  readonly host: string
  readonly port: number
  readonly token: string | null
}

type Parsed<K extends 'listeners' | 'upstreams' | 'routes'> = Settings[K][number]

export interface Listener extends Pick<Parsed<'listeners'>, 'path_policy' | 'proxy_protocol'> {
  readonly address: string
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly tls: { readonly certificates: readonly Certificate[]; readonly min_version: '1.2' | '1.3' } | null
  /** Goes before `limits.body_size` where it is not `null`; 0: no limit. */
  readonly body_size: number | null
}

export interface Certificate {
  /** Absolute paths of PEM files. */
  readonly cert: string
  readonly key: string
  /** Server names; empty: the default one. */
  readonly hosts: readonly string[]
}

export interface PluginEntry {
  /** Unique on a route. For an operator's module the name that it is given, or its own. */
  readonly name: string
  /** Absolute path of the operator's module, or `null` for a built-in plugin. */
  readonly use: string | null
  /** As the plugin's schema parsed it; `null` for an entry that only takes a plugin away. */
  readonly config: unknown
  readonly enabled: boolean
  readonly timeout: number | null
  readonly on_timeout: 'fail' | 'skip'
  readonly before: string | null
  readonly after: string | null
}

/** A demand on a header field (lower-case name), a query parameter or a cookie. */
export interface FieldPredicate {
  readonly name: string
  /** Any of these; empty and no pattern: it must be there. */
  readonly values: readonly string[]
  /** Source of a regular expression. */
  readonly pattern: string | null
}

export interface Route
  extends Readonly<
    Pick<
      Parsed<'routes'>,
      'hosts' | 'paths' | 'methods' | 'content_types' | 'client_ips' | 'strip_path' | 'preserve_host'
    >
  > {
  readonly name: string
  readonly headers: readonly FieldPredicate[]
  readonly query: readonly FieldPredicate[]
  readonly cookies: readonly FieldPredicate[]
  /** Name of an upstream; `null` where a plugin always answers. */
  readonly upstream: string | null
  readonly timeouts: Timeouts
  /** `null`: as `limits.body_size`; 0: no limit. */
  readonly body_size: number | null
  /** `null`: not logged. */
  readonly access_log: { readonly sample: number } | null
  readonly plugins: readonly PluginEntry[]
  readonly auth: {
    readonly match: 'all' | 'any'
    /** Id of the consumer that callers without credentials are; `null`: they are refused. */
    readonly anonymous: string | null
  }
  /** Open to anybody in spite of `security.require_auth`. */
  readonly public: boolean
}

export interface Upstream
  extends Readonly<
    Pick<
      Parsed<'upstreams'>,
      'http2' | 'pipelining' | 'max_connections' | 'max_waiting' | 'keepalive' | 'max_head_size'
    >
  > {
  readonly name: string
  readonly targets: readonly Target[]
  readonly protocol: 'http' | 'https'
  /** Put before the path of every request; `''` mostly. */
  readonly path: string
  readonly client: 'socket' | 'undici'
  readonly tls: UpstreamTls
  readonly plugins: readonly PluginEntry[]
}

export interface Target {
  /** `host:port`, for logs. */
  readonly target: string
  readonly host: string
  readonly port: number
  readonly weight: number
}

export interface UpstreamTls {
  readonly server_name: string | null
  readonly verify: boolean
  /** Absolute paths of PEM files. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}
