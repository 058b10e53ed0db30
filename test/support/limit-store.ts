import type { PluginLog } from '../../src/core/plugin.ts'
import { type Instruments, noInstruments } from '../../src/core/services/instruments.ts'
import type { Limit, LimitStore, LimitStoreSettings } from '../../src/core/services/limits.ts'
import type { RedisSettings } from '../../src/core/services/redis.ts'
import { RedisLimitStore } from '../../src/services/limits/redis-store.ts'
import { RedisClient } from '../../src/services/redis.ts'

const opened: { close(): void }[] = []

/** For `afterEach` or `afterAll`: closes every client and store that this file has opened. */
export function closeStores(): void {
  for (const thing of opened.splice(0).reverse()) thing.close()
}

export const silentLog: PluginLog = { info() {}, warn() {}, error() {} }

/** Milliseconds: the windows of so long a time ended in 2024 last and will in 2052, not in the middle of a test. */
const lasting = 10_000 * 86_400_000

/** A limit of 10 in a window that no test sees the end of, unless it says something else. */
export function limitOf(change: Partial<Limit>): Limit {
  return {
    name: 'test',
    algorithm: 'fixed_window',
    limit: 10,
    window: lasting,
    burst: 0,
    nodelay: false,
    calendar: null,
    observe: false,
    ...change,
  }
}

/** A connection of its own. `addresses`: `127.0.0.1:port` each. */
export function openClient(
  addresses: readonly string[],
  change: Partial<RedisSettings> = {},
  log = silentLog,
): RedisClient {
  const client = new RedisClient(
    {
      mode: 'single',
      addresses: addresses.map((address) => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) })),
      master: null,
      username: null,
      password: null,
      sentinel_username: null,
      sentinel_password: null,
      database: 0,
      tls: null,
      key_prefix: 'sluice:',
      connect_timeout: 1000,
      command_timeout: 500,
      max_in_flight: 10_000,
      ...change,
    },
    { role: 'worker', instruments: noInstruments, log },
  )
  opened.push(client)
  return client
}

/** A store as a worker has it. Its bound is generous: tests run on busy machines. */
export function openStore(
  client: RedisClient,
  change: Partial<LimitStoreSettings> = {},
  { node = null, instruments = noInstruments }: { node?: LimitStore | null; instruments?: Instruments } = {},
): RedisLimitStore {
  const settings: LimitStoreSettings = { store: 'redis', onError: 'deny', timeout: 2000, strict: false, ...change }
  const link = { send() {}, on() {} }
  const store = new RedisLimitStore(settings, client, node, { link, instruments, log: silentLog })
  opened.push(store)
  return store
}

/** Resolves when the client has a connection. */
export async function connected(client: RedisClient): Promise<void> {
  client.connect()
  if (client.ready) return
  await new Promise<void>((resolve) => {
    const end = client.onState((state) => {
      if (state !== 'ready') return
      end()
      resolve()
    })
  })
}
