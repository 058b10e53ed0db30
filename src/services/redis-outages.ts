import type { PluginLog } from '../core/plugin.ts'
import type { RedisSettings } from '../core/services/redis.ts'

/** Reasons of one outage that are logged; a flapping network has no end of them. */
const mostReasons = 5

/** Tells the log of the connection's losses: once when it is lost, once per reason, once when it is back. */
export class Outages {
  readonly #log: PluginLog
  readonly #secrets: readonly string[]
  readonly #connection: { readonly redis: string; readonly purpose: string }
  readonly #reasons = new Set<string>()
  #reason = ''
  #since = 0

  /** `purpose`: what the connection is for. */
  constructor({ addresses, password, sentinel_password }: RedisSettings, log: PluginLog, purpose = 'commands') {
    this.#log = log
    this.#secrets = [password, sentinel_password].filter((secret) => secret !== null && secret !== '') as string[]
    const redis = addresses.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(', ')
    this.#connection = { redis, purpose }
  }

  /** Something went wrong: the next loss of the connection is due to it, or the one that lasts. */
  note(error: Error): void {
    this.#reason = this.plain(error)
    if (this.#since !== 0) this.#tell()
  }

  begin(): void {
    this.#since = Date.now()
    this.#reasons.clear()
    this.#tell()
  }

  end(): void {
    const seconds = Math.round((Date.now() - this.#since) / 1000)
    this.#since = 0
    this.#reason = ''
    this.#log.info('Redis is reachable again', { ...this.#connection, outage_s: seconds })
  }

  /** The message of an error without secrets: old servers repeat the arguments of commands that they don't know. */
  plain(error: Error & { readonly lastNodeError?: Error }): string {
    // A cluster says that all nodes failed, and within why the last one did.
    if (error.lastNodeError instanceof Error) return this.plain(error.lastNodeError)
    const text = error.message === '' ? ((error as NodeJS.ErrnoException).code ?? error.name) : error.message
    return this.#secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
  }

  #tell(): void {
    const reason = this.#reason === '' ? 'the connection was closed' : this.#reason
    if (this.#reasons.has(reason) || this.#reasons.size >= mostReasons) return
    this.#reasons.add(reason)
    this.#log.error('Redis is not reachable', { ...this.#connection, reason })
  }
}
