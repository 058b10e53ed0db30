import { RuleError } from './rule.ts'
import { sliceEquals } from './text.ts'

/** A host of a route. */
export interface HostPattern {
  /** Lower-case, as `explain` prints it. */
  readonly text: string
  /** The name; for `*.example.org` what stands behind `*.` */
  readonly name: string
  readonly wildcard: boolean
}

const dot = 0x2e
const hostName = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/
const ipv6Literal = /^\[[0-9a-f:.]+\]$/

/** Reads a host as configured; throws a `RuleError`. Case and a trailing dot don't matter. */
export function parseHost(text: string): HostPattern {
  const host = withoutTrailingDot(text.toLowerCase())
  const wildcard = host.startsWith('*.')
  const name = wildcard ? host.slice(2) : host
  if (host === '*') throw new RuleError('`*` alone is not a host; a route without hosts takes them all')
  if (!hostName.test(name) && (wildcard || !ipv6Literal.test(name))) {
    throw new RuleError(
      'must be a host name without port (`api.example.com`, `*.example.org`; international names in their xn-- form)',
    )
  }
  return { text: host, name, wildcard }
}

/** Hosts are matched without the dot that may end a fully qualified name. */
export function withoutTrailingDot(hostname: string): string {
  return hostname.charCodeAt(hostname.length - 1) === dot ? hostname.slice(0, -1) : hostname
}

/** Which host wins where both match: an exact one, the longest wildcard, none (`null`). Below 0 when it is `a`. */
export function compareHosts(a: HostPattern | null, b: HostPattern | null): number {
  return rank(a) - rank(b) || (a?.wildcard === true && b !== null ? b.name.length - a.name.length : 0)
}

function rank(host: HostPattern | null): number {
  if (host === null) return 2
  return host.wildcard ? 1 : 0
}

/** What belongs to a wildcard host, and the way on to the next shorter wildcard that covers it. */
export interface Wildcard<T> {
  readonly name: string
  readonly value: T
  shorter: Wildcard<T> | null
  /** Next one whose name has the same hash. */
  collision: Wildcard<T> | null
}

/** From hosts to values. A look-up costs one scan of the name, however many hosts there are, and allocates nothing. */
export class HostIndex<T> {
  private readonly exactHosts = new Map<string, T>()
  private readonly wildcards = new Map<number, Wildcard<T>>()

  add(host: HostPattern, value: T): void {
    if (!host.wildcard) {
      this.exactHosts.set(host.name, value)
      return
    }
    const hash = hashOf(host.name)
    this.wildcards.set(hash, {
      name: host.name,
      value,
      shorter: null,
      collision: this.wildcards.get(hash) ?? null,
    })
  }

  /** Links the wildcards; called once, when all are added. */
  seal(): void {
    for (const first of this.wildcards.values()) {
      for (let wildcard: Wildcard<T> | null = first; wildcard !== null; wildcard = wildcard.collision) {
        wildcard.shorter = this.longestWildcard(wildcard.name)
      }
    }
  }

  exact(hostname: string): T | undefined {
    return this.exactHosts.get(hostname)
  }

  /** The longest wildcard that covers `hostname`, which has at least one label more than the wildcard's name. */
  longestWildcard(hostname: string): Wildcard<T> | null {
    let longest: Wildcard<T> | null = null
    if (this.wildcards.size === 0) return longest
    let hash = 0
    for (let i = hostname.length - 1; i > 0; i--) {
      const c = hostname.charCodeAt(i)
      if (c === dot) {
        let wildcard = this.wildcards.get(hash) ?? null
        while (wildcard !== null && !sliceEquals(hostname, i + 1, hostname.length, wildcard.name))
          wildcard = wildcard.collision
        if (wildcard !== null) longest = wildcard
      }
      hash = step(hash, c)
    }
    return longest
  }
}

/** Hashes run from the end of a name to its beginning, so that one scan meets the hash of every suffix. */
function hashOf(name: string): number {
  let hash = 0
  for (let i = name.length - 1; i >= 0; i--) hash = step(hash, name.charCodeAt(i))
  return hash
}

function step(hash: number, c: number): number {
  return (Math.imul(hash, 31) + c) | 0
}
