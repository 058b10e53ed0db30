import type { Candidate, Entry } from './candidate.ts'
import { predicatesHold, statesMethod } from './candidate.ts'
import { compileEntries } from './compile.ts'
import type { HostPattern } from './host.ts'
import { HostIndex, withoutTrailingDot } from './host.ts'
import type { RoutedRequest, RouteRule } from './rule.ts'
import { stripPath } from './strip.ts'
import { PathTable, Walk } from './table.ts'
import { TrieRouter } from './trie.ts'

/** Which route a request takes, and why no other. */
export interface Explanation {
  /** `null`: no route takes it. */
  readonly route: string | null
  /** The path, as configured, by which the route takes it. */
  readonly pattern: string | null
  readonly params: readonly { readonly name: string; readonly value: string }[]
  /** What the upstream gets of the path; the path itself when no route takes it. */
  readonly forwardedPath: string
  /** Methods of the routes that failed by their method alone, when no route takes it: the answer is a 405. */
  readonly allowedMethods: readonly string[] | null
  /** Every route by every path, in match order. */
  readonly candidates: readonly ExplainedCandidate[]
}

export interface ExplainedCandidate {
  readonly route: string
  readonly path: string
  /** The first predicate that failed, in words; `null`: all hold, so that the first such candidate wins. */
  readonly failed: string | null
}

/** The facts of a request that decide its route. */
export type ExplainedRequest = Omit<RoutedRequest, 'params' | 'paramNames'>

/**
 * Explains a match with the parts that do the matching: the winner is the router's own, the candidates stand in the
 * order in which the router was filled, and each one's host, path and predicates are asked one at a time.
 */
export function explainMatch(rules: readonly RouteRule<unknown>[], request: ExplainedRequest): Explanation {
  const entries = compileEntries(rules)
  const router = new TrieRouter(entries)
  const routed: RoutedRequest = { ...request, params: [], paramNames: [] }
  const match = router.match(routed)
  return {
    route: entries.find((entry) => entry.candidate === match)?.rule.name ?? null,
    pattern: match?.pattern ?? null,
    params: routed.paramNames.map((name, index) => ({ name, value: routed.params[index] ?? '' })),
    forwardedPath: match === null ? request.path : stripPath(request.path, match),
    allowedMethods: match === null ? router.allowedMethods(routed) : null,
    candidates: deciding(entries, request).map((entry) => ({
      route: entry.rule.name,
      path: entry.path.text,
      failed: failureOf(entry, routed),
    })),
  }
}

/** A route with several hosts is one candidate: at the first of them that takes the request, or else at its first. */
function deciding(entries: readonly Entry<unknown>[], request: ExplainedRequest): Entry<unknown>[] {
  const chosen = new Map<Candidate<unknown>, Entry<unknown>>()
  const settled = new Set<Candidate<unknown>>()
  for (const entry of entries) {
    if (settled.has(entry.candidate)) continue
    const takes = hostTakes(entry.host, request.hostname)
    if (takes) settled.add(entry.candidate)
    if (takes || !chosen.has(entry.candidate)) chosen.set(entry.candidate, entry)
  }
  return entries.filter((entry) => chosen.get(entry.candidate) === entry)
}

function failureOf({ rule, host, path, candidate }: Entry<unknown>, request: RoutedRequest): string | null {
  if (!hostTakes(host, request.hostname)) return `host: "${request.hostname}" is not ${rule.hosts.join(', ')}`
  const table = new PathTable(new Walk<unknown>())
  table.add(path, candidate)
  if (table.candidatesFor(request.path).length === 0) return `path: ${request.path} does not match ${path.text}`
  if (!statesMethod(candidate, request.method)) return `method: ${request.method} is not ${rule.methods.join(', ')}`
  if (predicatesHold(candidate, request)) return null
  return candidate.predicates.find((predicate) => !predicate.holds(request))?.explain(request) ?? null
}

function hostTakes(host: HostPattern | null, hostname: string): boolean {
  if (host === null) return true
  const index = new HostIndex<HostPattern>()
  index.add(host, host)
  const name = withoutTrailingDot(hostname)
  return index.exact(name) !== undefined || index.longestWildcard(name) !== null
}

/** A line of the route table. */
export interface TableLine {
  /** `null`: any host. */
  readonly host: string | null
  readonly path: string
  /** Stated methods; none: all. */
  readonly methods: readonly string[]
  /** Everything else that must hold, in words. */
  readonly predicates: readonly string[]
  readonly route: string
}

/** The route table in match order: every route by every path at every host. */
export function tableOf(rules: readonly RouteRule<unknown>[]): TableLine[] {
  return compileEntries(rules).map(({ rule, host, path, candidate }) => ({
    host: host?.text ?? null,
    path: path.text,
    methods: rule.methods,
    predicates: candidate.predicates.map((predicate) => predicate.describe()),
    route: rule.name,
  }))
}
