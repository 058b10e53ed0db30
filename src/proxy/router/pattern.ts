import { isPathFault, normalizePath } from './path.ts'
import { compileRegex, RuleError } from './rule.ts'

/** The kinds of path, in the order in which they win. */
export const pathKinds = ['exact', 'parameter', 'prefix', 'regex', 'catch-all'] as const
export type PathKind = (typeof pathKinds)[number]

/** A path of a route, taken apart. */
export interface PathPattern {
  /** As configured. */
  readonly text: string
  readonly kind: PathKind
  /** Literal text, or `null` for a parameter; without the `*` of a prefix. Empty for a regex and the catch-all. */
  readonly segments: readonly (string | null)[]
  /** One per parameter, left to right; for a regex its named groups. */
  readonly paramNames: readonly string[]
  readonly regex: RegExp | null
}

/** In characters; request paths end at `limits.uri_length`, which is of this order. */
export const longestPath = 8192

const parameter = /^\{([A-Za-z_][A-Za-z0-9_-]*)\}$/
const invisible = /[^!-~]+/gu

/**
 * Reads a path as configured; throws a `RuleError`.
 *
 * Literal text is brought into the form that request paths have when they are matched (`/café` and `/caf%c3%a9` both
 * become `/caf%C3%A9`), so that two spellings of one path are one path.
 *
 * A prefix ends at a segment boundary: `/api/*` takes `/api`, `/api/` and `/api/x`, never `/apix`. It may hold
 * parameters (`/users/{id}/*`). A parameter takes one whole segment, and never an empty one.
 */
export function parsePath(text: string): PathPattern {
  if (text.startsWith('~')) {
    const regex = compileRegex(text.slice(1))
    return { text, kind: 'regex', segments: [], paramNames: groupNames(regex), regex }
  }
  if (!text.startsWith('/')) throw new RuleError('must begin with `/`, or with `~` for a regex')
  const normal = normalizePath(text.replace(invisible, encode), 'reject')
  if (normal === 'bad_path') throw new RuleError('holds characters or encodings that no request path may hold')
  if (isPathFault(normal)) {
    throw new RuleError('can never match: paths are matched without `//`, dot segments, `\\`, `%2f` and `%5c`')
  }
  if (normal.length > longestPath) throw new RuleError(`is longer than ${longestPath} characters`)

  const parts = normal.slice(1).split('/')
  const open = parts.at(-1) === '*'
  if (open) parts.pop()
  const paramNames: string[] = []
  const segments = parts.map((part) => {
    if (part.includes('*')) throw new RuleError('`*` may only stand at the end, as a whole segment (`/files/*`)')
    if (!part.includes('{') && !part.includes('}')) return part
    const name = parameter.exec(part)?.[1]
    if (name === undefined) throw new RuleError('a parameter takes a whole segment and a plain name (`/users/{id}`)')
    if (paramNames.includes(name)) throw new RuleError(`has the parameter {${name}} twice`)
    paramNames.push(name)
    return null
  })
  return { text, kind: kindOf(open, segments.length, paramNames.length), segments, paramNames, regex: null }
}

function kindOf(open: boolean, segments: number, params: number): PathKind {
  if (open) return segments === 0 ? 'catch-all' : 'prefix'
  return params === 0 ? 'exact' : 'parameter'
}

function encode(text: string): string {
  return Buffer.from(text).reduce((encoded, byte) => `${encoded}%${byte.toString(16).padStart(2, '0')}`, '')
}

function groupNames(regex: RegExp): string[] {
  // With an empty alternative it matches anything, and tells its groups.
  return Object.keys(new RegExp(`${regex.source}|`).exec('')?.groups ?? {})
}

/**
 * Which of two paths wins where both match: below 0 when it is `a`.
 *
 * By kind first. Of two prefixes the longer one, counted in segments, parameters included: `/{tenant}/users/*` goes
 * before `/acme/*`. Then, among prefixes of one length and among parameter paths (which match one number of segments
 * only), the left-most segment where one has literal text and the other a parameter decides for the literal:
 * `/a/{x}/{y}` goes before `/{x}/b/c`. Regexes are all alike: file order decides.
 */
export function comparePaths(a: PathPattern, b: PathPattern): number {
  if (a.kind !== b.kind) return pathKinds.indexOf(a.kind) - pathKinds.indexOf(b.kind)
  if (a.kind === 'prefix' && a.segments.length !== b.segments.length) return b.segments.length - a.segments.length
  if (a.kind !== 'parameter' && a.kind !== 'prefix') return 0
  for (let i = 0; i < a.segments.length && i < b.segments.length; i++) {
    const difference = Number(a.segments[i] === null) - Number(b.segments[i] === null)
    if (difference !== 0) return difference
  }
  // Of different length no path matches both; but a sort needs every pair in order.
  return a.segments.length - b.segments.length
}
