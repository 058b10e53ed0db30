import type { Entry } from './candidate.ts'
import { predicatesHold } from './candidate.ts'
import { compileEntries } from './compile.ts'
import { HostIndex, withoutTrailingDot } from './host.ts'
import type { Match, RoutedRequest, RouteRule } from './rule.ts'
import { PathTable, Walk } from './table.ts'

export type { RuleFault } from './compile.ts'
export { ruleFaults } from './compile.ts'
export type { FieldPredicate, Match, RoutedRequest, RouteRule } from './rule.ts'
export { RuleError } from './rule.ts'
export { stripPath } from './strip.ts'

/** The compiled route table. */
export interface Router<R> {
  /** The route that wins, or `null`. Writes `params` and `paramNames`; parameters stay percent-encoded. */
  match(request: RoutedRequest): Match<R> | null
  /**
   * For a request that matched nothing: the methods of the routes that failed by their method alone, for 405 and
   * `Allow`; `null` when there are none.
   */
  allowedMethods(request: RoutedRequest): readonly string[] | null
}

/** Compiles a route table; throws a `RuleError` for what can't be compiled. */
export function compileRouter<R>(rules: readonly RouteRule<R>[]): Router<R> {
  return new TrieRouter(compileEntries(rules))
}

/** A router over entries that are in match order. */
export class TrieRouter<R> implements Router<R> {
  /** `null` when no route has a host. */
  private readonly hosts: HostIndex<PathTable<R>> | null
  private readonly anyHost: PathTable<R>

  constructor(entries: readonly Entry<R>[]) {
    const walk = new Walk<R>()
    const hosts = new HostIndex<PathTable<R>>()
    const tables = new Map<string, PathTable<R>>()
    this.anyHost = new PathTable(walk)
    for (const { host, path, candidate } of entries) {
      let table = host === null ? this.anyHost : tables.get(host.text)
      if (table === undefined) table = new PathTable(walk)
      table.add(path, candidate)
      if (host === null || tables.has(host.text)) continue
      tables.set(host.text, table)
      hosts.add(host, table)
    }
    hosts.seal()
    this.hosts = tables.size === 0 ? null : hosts
  }

  match(request: RoutedRequest): Match<R> | null {
    if (this.hosts !== null) {
      const hostname = withoutTrailingDot(request.hostname)
      const exact = this.hosts.exact(hostname)?.match(request)
      if (exact !== undefined && exact !== null) return exact
      let wildcard = this.hosts.longestWildcard(hostname)
      while (wildcard !== null) {
        const match = wildcard.value.match(request)
        if (match !== null) return match
        wildcard = wildcard.shorter
      }
    }
    return this.anyHost.match(request)
  }

  allowedMethods(request: RoutedRequest): readonly string[] | null {
    const methods = new Set<string>()
    for (const table of this.tablesFor(request.hostname)) {
      for (const candidate of table.candidatesFor(request.path)) {
        if (!predicatesHold(candidate, request)) continue
        for (const method of candidate.methods ?? []) methods.add(method)
      }
    }
    return methods.size === 0 ? null : [...methods]
  }

  private tablesFor(host: string): PathTable<R>[] {
    const tables: PathTable<R>[] = []
    const hostname = withoutTrailingDot(host)
    const exact = this.hosts?.exact(hostname)
    if (exact !== undefined) tables.push(exact)
    let wildcard = this.hosts?.longestWildcard(hostname) ?? null
    for (; wildcard !== null; wildcard = wildcard.shorter) tables.push(wildcard.value)
    tables.push(this.anyHost)
    return tables
  }
}
