import { resolve as absolutePath } from 'node:path'
import { z } from 'zod'
import type { RedisAddress, RedisSettings, RedisTls } from '../core/services/redis.ts'
import { parseTarget } from './address.ts'
import { duration } from './units.ts'

export interface RedisUrl {
  readonly encrypted: boolean
  readonly address: RedisAddress
  readonly username: string | null
  readonly password: string | null
  readonly database: number
}

const form = 'must be a URL such as redis://host:6379/0, or rediss:// for TLS'

/** The parts of a URL of Redis, or the words for what is wrong with it. */
export function parseRedisUrl(text: string): RedisUrl | string {
  const match = /^(rediss?):\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/(\d{0,4}))?$/i.exec(text)
  if (match === null) return form
  const [, scheme = '', user, authority = '', database = ''] = match
  const address = parseTarget(authority, 6379)
  if (address === null) return 'must be a URL with a valid host and port'
  let parts: (string | null)[] = [null, null]
  if (user !== undefined) {
    const colon = user.indexOf(':')
    try {
      parts = colon === -1 ? [user, null] : [user.slice(0, colon), user.slice(colon + 1)]
      parts = parts.map((part) => (part === null || part === '' ? null : decodeURIComponent(part)))
    } catch {
      return 'must be a URL whose user name and password are percent-encoded: or use the keys "username" and "password"'
    }
  }
  const [username = null, password = null] = parts
  return { encrypted: scheme.toLowerCase() === 'rediss', address, username, password, database: Number(database) }
}

const url = z.string().transform((text, context) => {
  const parsed = parseRedisUrl(text)
  if (typeof parsed !== 'string') return parsed
  context.addIssue(parsed)
  return z.NEVER
})

function addresses(defaultPort: number) {
  const one = z.string().transform((text, context) => {
    const parsed = parseTarget(text, defaultPort)
    if (parsed !== null) return parsed
    context.addIssue(`must be a host and port such as redis-1.internal:${defaultPort}`)
    return z.NEVER
  })
  return z.array(one).min(1)
}

const sentinel = z.strictObject({
  master: z.string().min(1).describe('What the sentinels call the master.'),
  addresses: addresses(26_379).describe('Host and port of the sentinels.'),
  username: z.string().min(1).optional().describe('User at the sentinels.'),
  password: z.string().min(1).optional().describe('Password at the sentinels.'),
})

const tls = z.strictObject({
  verify: z.boolean().default(true).describe('Whether the certificate must be valid.'),
  server_name: z.string().min(1).optional().describe('Name to ask for and to verify; else the host.'),
  ca: z.string().min(1).optional().describe('PEM file with the authorities to trust instead of the built-in ones.'),
  cert: z.string().min(1).optional().describe('PEM file with the certificate that the gateway shows.'),
  key: z.string().min(1).optional().describe('PEM file with the private key of `cert`.'),
})

const settings = z
  .strictObject({
    url: url.optional().describe('A single server: `redis://host:6379/0`; `rediss://` for TLS.'),
    cluster: addresses(6379).optional().describe('Instead of `url`: some nodes of a cluster.'),
    sentinel: sentinel.optional().describe('Instead of `url`: sentinels, which know the master.'),
    username: z.string().min(1).optional().describe('User, where the URL names none.'),
    password: z.string().min(1).optional().describe('Password, where the URL has none: `${file:/run/secrets/redis}`.'),
    database: z.int().min(0).max(9999).optional().describe('Number of the database, where the URL has none.'),
    tls: z
      .union([tls, z.boolean()], { error: 'must be true, false, or a mapping' })
      .optional()
      .describe('Encrypts the connection; with `url` only for further settings, where it begins with rediss://.'),
    key_prefix: z
      .string()
      .regex(/^[\w.:/-]{0,64}$/, 'must be letters, digits and . _ - : /, at most 64')
      .default('sluice:')
      .describe('Stands before all keys and channels. Gateways that are to share state need the same.'),
    connect_timeout: duration().prefault('2s').describe('How long a connection may take.'),
    command_timeout: duration().prefault('500ms').describe('How long a command may take.'),
    max_in_flight: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe('Commands per process that may wait for Redis; one more fails at once.'),
  })
  .superRefine((value, context) => {
    const fault = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    const places = (['url', 'cluster', 'sentinel'] as const).filter((key) => value[key] !== undefined)
    if (places.length === 0) fault([], 'needs "url", "cluster" or "sentinel"')
    for (const key of places.slice(1)) fault([key], `excludes "${places[0]}"`)
    if (value.cluster !== undefined && (value.database ?? 0) !== 0) fault(['database'], 'a cluster has database 0 only')
    if (typeof value.tls === 'object' && (value.tls.cert === undefined) !== (value.tls.key === undefined))
      fault(['tls'], 'needs both "cert" and "key", or neither')
    if (value.url === undefined) return
    const { encrypted, username, password, database } = value.url
    if (value.tls !== undefined && encrypted !== (value.tls !== false))
      fault(['tls'], `contradicts the URL, which begins with ${encrypted ? 'rediss' : 'redis'}://`)
    for (const key of ['username', 'password'] as const)
      if (value[key] !== undefined && { username, password }[key] !== null) fault([key], 'is in the URL, too')
    if (value.database !== undefined && database !== 0 && database !== value.database)
      fault(['database'], `contradicts the URL, which says ${database}`)
  })

/** The store that several gateways share: a URL, or an object. */
export const redis = z.union(
  [settings, url.transform((parsed) => ({ ...settings.parse({ url: 'redis://localhost' }), url: parsed }))],
  { error: 'must be a URL, or a mapping with "url", "cluster" or "sentinel"' },
)

/** What the connection wants to know. Relative paths start in `dir`. */
export function resolveRedis(given: z.output<typeof redis> | undefined, dir: string): RedisSettings | null {
  if (given === undefined) return null
  const { url: single, cluster, sentinel: sentinels, tls: encryption, ...rest } = given
  const { key_prefix, connect_timeout, command_timeout, max_in_flight } = rest
  const isEncrypted = single?.encrypted ?? (encryption !== undefined && encryption !== false)
  return {
    mode: cluster !== undefined ? 'cluster' : sentinels !== undefined ? 'sentinel' : 'single',
    addresses: cluster ?? sentinels?.addresses ?? (single === undefined ? [] : [single.address]),
    master: sentinels?.master ?? null,
    username: rest.username ?? single?.username ?? null,
    password: rest.password ?? single?.password ?? null,
    sentinel_username: sentinels?.username ?? null,
    sentinel_password: sentinels?.password ?? null,
    database: rest.database ?? single?.database ?? 0,
    tls: isEncrypted ? resolveTls(typeof encryption === 'object' ? encryption : tls.parse({}), dir) : null,
    key_prefix,
    connect_timeout,
    command_timeout,
    max_in_flight,
  }
}

function resolveTls({ verify, server_name, ca, cert, key }: z.output<typeof tls>, dir: string): RedisTls {
  const path = (file: string | undefined): string | null => (file === undefined ? null : absolutePath(dir, file))
  return { verify, server_name: server_name ?? null, ca: path(ca), cert: path(cert), key: path(key) }
}
