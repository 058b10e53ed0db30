import { lookup as lookupAddresses } from 'node:dns'
import { isIP } from 'node:net'

/** Finds the addresses of host names, without making requests wait for it more than once. */
export interface Resolver {
  /**
   * Addresses of `host`, at least one, the one to try first in front; each call begins with the next one. A promise
   * only when the name was never found before or not asked for in a long time; it rejects with the system's error.
   */
  resolve(host: string): readonly string[] | Promise<readonly string[]>
}

/** Asks the system. Rejects with an error that has a `code`. */
export type Lookup = (host: string) => Promise<readonly string[]>

export interface ResolverOptions {
  /** Milliseconds after which addresses are looked up again, in the background. */
  readonly refresh: number
  /** How names are looked up; the system's way (`/etc/hosts`, DNS) when absent. */
  readonly lookup?: Lookup
}

/** Milliseconds for which a failed look-up is the answer: getaddrinfo has four threads in all. */
const failureTime = 1000

/** Addresses older than this many times `refresh` are not used while a look-up can be waited for. */
const mostRefreshes = 10

interface Entry {
  /** Empty until the first look-up has succeeded. */
  addresses: readonly string[]
  /** When they were found. */
  foundAt: number
  /** When the last look-up failed; -Infinity when it did not. */
  failedAt: number
  /** How it failed; null when there are addresses to go on with. */
  error: Error | null
  pending: Promise<readonly string[]> | null
  /** Index of the address whose turn it is. */
  turn: number
}

/**
 * Caches look-ups. Addresses older than `refresh` are still used while new ones are looked up; when that fails the last
 * good ones stay. IP literals are their own address.
 */
export function createResolver(options: ResolverOptions): Resolver {
  const { refresh, lookup = systemLookup } = options
  const entries = new Map<string, Entry>()

  function look(host: string, entry: Entry): Promise<readonly string[]> {
    entry.pending ??= lookup(host)
      .then(orNoData)
      .then(
        (addresses) => {
          entry.pending = null
          entry.addresses = addresses
          entry.foundAt = performance.now()
          entry.failedAt = -Infinity
          entry.error = null
          return inTurn(entry)
        },
        (error: Error) => {
          entry.pending = null
          entry.failedAt = performance.now()
          if (entry.addresses.length !== 0) return inTurn(entry)
          entry.error = error
          throw error
        },
      )
    return entry.pending
  }

  return {
    resolve(host) {
      let entry = entries.get(host)
      if (entry === undefined) {
        entry = newEntry(host)
        entries.set(host, entry)
      }
      const now = performance.now()
      const age = now - entry.foundAt
      if (age < refresh) return inTurn(entry)
      if (now - entry.failedAt < failureTime) return entry.error === null ? inTurn(entry) : Promise.reject(entry.error)
      const looked = look(host, entry)
      return entry.addresses.length !== 0 && age < refresh * mostRefreshes ? inTurn(entry) : looked
    },
  }
}

/** A name that exists without an address is of no use either. */
function orNoData(addresses: readonly string[]): readonly string[] {
  if (addresses.length === 0) throw Object.assign(new Error('the name has no address'), { code: 'ENODATA' })
  return addresses
}

function newEntry(host: string): Entry {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  const literal = isIP(bare) !== 0
  return {
    addresses: literal ? [bare] : [],
    foundAt: literal ? Infinity : -Infinity,
    failedAt: -Infinity,
    error: null,
    pending: null,
    turn: 0,
  }
}

function inTurn(entry: Entry): readonly string[] {
  const { addresses } = entry
  if (addresses.length === 1) return addresses
  const turn = entry.turn++ % addresses.length
  return [...addresses.slice(turn), ...addresses.slice(0, turn)]
}

function systemLookup(host: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    lookupAddresses(host, { all: true }, (err, found) => {
      if (err !== null) reject(err)
      else resolve(found.map(({ address }) => address))
    })
  })
}
