import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { ClusterOptions, RedisOptions } from 'ioredis'
import type { PluginLog } from '../core/plugin.ts'
import type { RedisSettings, RedisTls } from '../core/services/redis.ts'

/** Milliseconds without any reply, though one is due, after which a peer counts as hung: its connection is made anew. */
export function silenceOf({ command_timeout }: RedisSettings): number {
  return Math.max(500, 2 * command_timeout)
}

const firstPause = 50
const longestPause = 2000

/** Milliseconds before the next attempt to connect, the first being 1. Random, so that gateways don't come in step. */
export function pauseBefore(attempt: number): number {
  const most = Math.min(longestPause, firstPause * 2 ** Math.min(attempt - 1, 10))
  return Math.round(most * (0.5 + Math.random() / 2))
}

/** Replies as RESP2 has them. */
type ConnectionSettings = RedisOptions & { readonly replyMapping: 'legacy' }

/** What every connection has in common. It is ready when Redis has loaded its data, and fails what it can't send now. */
function connectionOptions(settings: RedisSettings, name: string, log: PluginLog): ConnectionSettings {
  const { username, password, database, tls, connect_timeout } = settings
  return {
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(tls === null ? {} : { tls: tlsOptions(tls, log) }),
    db: database,
    connectionName: name,
    connectTimeout: connect_timeout,
    disconnectTimeout: 100,
    socketTimeout: silenceOf(settings),
    // Every server and every proxy in front of one speaks RESP2.
    protocol: 2,
    replyMapping: 'legacy',
    disableClientInfo: true,
    lazyConnect: true,
    enableOfflineQueue: false,
    // With 0 retries whatever is in flight fails as soon as the connection is lost, instead of being sent twice.
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    // A master that became a replica: the next connection leads to the new one.
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 1 : false),
  }
}

/** For a single server, or the master that sentinels name. */
export function singleOptions(settings: RedisSettings, name: string, log: PluginLog): ConnectionSettings {
  const options = connectionOptions(settings, name, log)
  if (settings.mode !== 'sentinel') return { ...options, ...settings.addresses[0] }
  const { addresses, master, sentinel_username, sentinel_password, tls } = settings
  return {
    ...options,
    sentinels: addresses.map(({ host, port }) => ({ host, port })),
    name: master ?? '',
    role: 'master',
    failoverDetector: true,
    sentinelCommandTimeout: settings.command_timeout,
    ...(sentinel_username === null ? {} : { sentinelUsername: sentinel_username }),
    ...(sentinel_password === null ? {} : { sentinelPassword: sentinel_password }),
    ...(tls === null ? {} : { enableTLSForSentinelMode: true, sentinelTLS: options.tls }),
  }
}

/** For a cluster. */
export function clusterOptions(
  settings: RedisSettings,
  name: string,
  log: PluginLog,
): ClusterOptions & { readonly redisOptions: ConnectionSettings } {
  const options = connectionOptions(settings, name, log)
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: pauseBefore,
    clusterNodeRetryStrategy: pauseBefore,
    // A failover may take longer than a command may: then it fails, and the next one finds the new master.
    maxRedirections: 4,
    retryDelayOnFailover: 50,
    retryDelayOnClusterDown: 50,
    retryDelayOnTryAgain: 50,
    slotsRefreshTimeout: settings.connect_timeout,
    slotsRefreshInterval: 10_000,
    // A certificate names hosts, not addresses.
    ...(settings.tls === null ? {} : { dnsLookup: (host, found) => found(null, host) }),
    redisOptions: options,
  }
}

/** Files are read with every connection, so that a renewed certificate is taken up. */
function tlsOptions({ verify, server_name, ca, cert, key }: RedisTls, log: PluginLog): ConnectionOptions {
  const read = (file: string): Buffer | undefined => {
    try {
      return readFileSync(file)
    } catch (error) {
      log.error('a file for the connection to Redis can not be read', { file, reason: (error as Error).message })
      return undefined
    }
  }
  const options: ConnectionOptions = { rejectUnauthorized: verify }
  if (server_name !== null) options.servername = server_name
  for (const [name, file] of Object.entries({ ca, cert, key })) {
    if (file !== null) Object.defineProperty(options, name, { enumerable: true, get: () => read(file) })
  }
  return options
}
