import { isPathFault, normalizePath } from './path.ts'
import type { PathPattern } from './pattern.ts'
import type { Match } from './rule.ts'
import { RuleError } from './rule.ts'

const slash = 0x2f

/**
 * What the upstream gets of the path: `match` says how much `strip_path` drops. A prefix goes only where it ends at a
 * segment boundary; nothing left is `/`.
 */
export function stripPath(path: string, match: Match<unknown>): string {
  const { dropPrefix, dropSegments } = match
  if (dropPrefix !== '') {
    if (!path.startsWith(dropPrefix)) return path
    if (path.length === dropPrefix.length) return '/'
    return path.charCodeAt(dropPrefix.length) === slash ? path.slice(dropPrefix.length) : path
  }
  let start = 0
  for (let i = 0; i < dropSegments; i++) start = path.indexOf('/', start + 1)
  return start === 0 ? path : path.slice(start)
}

/** How many segments stand before the last literal one: `strip_path: true` drops them. */
export function segmentsBeforeLastLiteral(path: PathPattern): number {
  return Math.max(
    0,
    path.segments.findLastIndex((segment) => segment !== null && segment !== ''),
  )
}

/** Reads `strip_path` where it is a prefix (`''`: it is none); throws a `RuleError`. */
export function parseDropPrefix(stripPath: boolean | string): string {
  if (typeof stripPath === 'boolean') return ''
  const normal = normalizePath(stripPath, 'reject')
  if (isPathFault(normal)) throw new RuleError('must be a path that begins with `/`, without dot segments or `//`')
  return normal.endsWith('/') ? normal.slice(0, -1) : normal
}
