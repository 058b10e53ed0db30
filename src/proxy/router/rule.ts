import type { RequestContext } from '../../core/context.ts'

/** One route as the router sees it. `R` is whatever the caller wants back for a match. */
export interface RouteRule<R> {
  readonly name: string
  /** `api.example.com` or `*.example.org`; none: every host. */
  readonly hosts: readonly string[]
  /** Exact (`/a`), parameter (`/a/{id}`), prefix (`/a/*`), regex (`~^/v[0-9]+/`), catch-all; none: the catch-all. */
  readonly paths: readonly string[]
  /** Case-sensitive; none: every method. `GET` states `HEAD` too. */
  readonly methods: readonly string[]
  readonly headers: readonly FieldPredicate[]
  readonly query: readonly FieldPredicate[]
  readonly cookies: readonly FieldPredicate[]
  /** Media types without parameters; `application/*` is one too. */
  readonly contentTypes: readonly string[]
  /** Addresses or CIDR ranges. */
  readonly clientIps: readonly string[]
  /** What `stripPath` drops: `true` what stands before the last literal segment, a string exactly that prefix. */
  readonly stripPath: boolean | string
  readonly route: R
}

/**
 * A demand on a header, a query parameter or a cookie. It holds when any value that the request gives the name is one
 * of `values` or matches `pattern`; with neither it is enough that the name is there.
 */
export interface FieldPredicate {
  readonly name: string
  readonly values: readonly string[]
  /** Source of a regex, without the leading `~`. */
  readonly pattern: string | null
}

/** The route that a request takes, and by which of its paths. Made at compile: a match allocates none. */
export interface Match<R> {
  readonly route: R
  /** The path as configured. */
  readonly pattern: string
  readonly paramNames: readonly string[]
  /** Leading segments that `strip_path` drops. */
  readonly dropSegments: number
  /** The fixed prefix that `strip_path` drops; `''`: none. */
  readonly dropPrefix: string
}

/** The part of a request that decides its route; `params` and `paramNames` are written by the match. */
export type RoutedRequest = Readonly<
  Pick<RequestContext, 'method' | 'path' | 'query' | 'hostname' | 'headers' | 'clientIp'>
> &
  Pick<RequestContext, 'params' | 'paramNames'>

/** A rule that can't be compiled. The message names no place: whoever catches it knows which value it read. */
export class RuleError extends Error {
  override readonly name = 'RuleError'
}

/** Regexes run over what attackers send: one longer than this is a program, not a pattern. */
const longestRegex = 512

/** Compiles an operator's regex; throws a `RuleError`. No flags: case-sensitive, and `test` keeps no state. */
export function compileRegex(source: string): RegExp {
  if (source === '') throw new RuleError('the regex is empty')
  if (source.length > longestRegex) throw new RuleError(`the regex is longer than ${longestRegex} characters`)
  try {
    return new RegExp(source)
  } catch (error) {
    throw new RuleError(`the regex can't be compiled: ${(error as Error).message}`)
  }
}
