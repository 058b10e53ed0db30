import type { HostPattern } from './host.ts'
import { compareHosts } from './host.ts'
import type { PathPattern } from './pattern.ts'
import { comparePaths } from './pattern.ts'
import type { Predicate } from './predicate.ts'
import type { Match, RoutedRequest, RouteRule } from './rule.ts'

/** A route by one of its paths: what the trie holds. */
export interface Candidate<R> extends Match<R> {
  /** Stated methods, `HEAD` beside `GET`; `null`: all. */
  readonly methods: readonly string[] | null
  /** Headers, cookies, content type and client address, then query. */
  readonly predicates: readonly Predicate[]
  /** Which segments of the path the parameters are, from 0. */
  readonly paramSegments: readonly number[]
  readonly regex: RegExp | null
}

/** A candidate at one of its hosts (`null`: any), with what its place in the order depends on. */
export interface Entry<R> {
  readonly rule: RouteRule<R>
  readonly host: HostPattern | null
  readonly path: PathPattern
  readonly candidate: Candidate<R>
  readonly headerPredicates: number
  readonly queryPredicates: number
  /** Place in the file: of the route, then of the path in it. */
  readonly ruleIndex: number
  readonly pathIndex: number
}

export function statesMethod(candidate: Candidate<unknown>, method: string): boolean {
  const { methods } = candidate
  if (methods === null) return true
  for (let i = 0; i < methods.length; i++) if (methods[i] === method) return true
  return false
}

export function predicatesHold(candidate: Candidate<unknown>, request: RoutedRequest): boolean {
  const { predicates } = candidate
  for (let i = 0; i < predicates.length; i++) if (!(predicates[i] as Predicate).holds(request)) return false
  return true
}

/**
 * Which of two entries wins where both hold: below 0 when it is `a`. By host, by path (regexes by their place in the
 * file, and nothing else), a stated method before none, more header predicates (each cookie, the content types and the
 * client addresses count as one), more query predicates, place in the file.
 */
export function compareEntries(a: Entry<unknown>, b: Entry<unknown>): number {
  return (
    compareHosts(a.host, b.host) ||
    comparePaths(a.path, b.path) ||
    (a.path.kind === 'regex' ? comparePlaces(a, b) : 0) ||
    Number(a.candidate.methods === null) - Number(b.candidate.methods === null) ||
    b.headerPredicates - a.headerPredicates ||
    b.queryPredicates - a.queryPredicates ||
    comparePlaces(a, b)
  )
}

function comparePlaces(a: Entry<unknown>, b: Entry<unknown>): number {
  return a.ruleIndex - b.ruleIndex || a.pathIndex - b.pathIndex
}
