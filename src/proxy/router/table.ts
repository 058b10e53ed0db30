import type { Candidate } from './candidate.ts'
import { predicatesHold, statesMethod } from './candidate.ts'
import { hashStep, Letters, TrieNode } from './node.ts'
import type { PathPattern } from './pattern.ts'
import { longestPath } from './pattern.ts'
import type { Match, RoutedRequest } from './rule.ts'

const slash = 0x2f

/**
 * The segment that the walk stands at, as character codes; what a longer one has beyond is not needed, since no literal
 * is longer. One for all routers: the engine reads a typed array that is a constant a tenth faster
 * (bench/micro/trie.bench.ts: static, 1 route).
 */
const segment = new Uint16Array(longestPath)

/** The paths of one host: a trie, the regexes, the catch-all. Candidates are added in match order. */
export class PathTable<R> {
  private readonly root = new TrieNode<R>()
  private readonly regexes: Candidate<R>[] = []
  private readonly catchAll: Candidate<R>[] = []
  private readonly walk: Walk<R>

  /** `walk` may be shared by all tables of a router. */
  constructor(walk: Walk<R>) {
    this.walk = walk
  }

  add(path: PathPattern, candidate: Candidate<R>): void {
    if (path.kind === 'regex') this.regexes.push(candidate)
    else if (path.kind === 'catch-all') this.catchAll.push(candidate)
    else {
      const node = path.segments.reduce<TrieNode<R>>(
        (parent, segment) => parent.grow(segment, this.walk.letters),
        this.root,
      )
      if (path.kind === 'prefix') node.prefixing = append(node.prefixing, candidate)
      else node.ending = append(node.ending, candidate)
      this.walk.allow(path.segments.length)
    }
  }

  /** The first candidate for which everything holds, its parameters written to the request; or `null`. */
  match(request: RoutedRequest): Match<R> | null {
    const { walk, regexes } = this
    walk.run(this.root, request.path)
    for (let i = 0; i < walk.endCount; i++) {
      const won = firstHolding((walk.ends[i] as TrieNode<R>).ending, request)
      if (won !== null) return walk.capture(won, request)
    }
    for (let i = walk.prefixCount - 1; i >= 0; i--) {
      const won = firstHolding((walk.prefixes[i] as TrieNode<R>).prefixing, request)
      if (won !== null) return walk.capture(won, request)
    }
    for (let i = 0; i < regexes.length; i++) {
      const candidate = regexes[i] as Candidate<R>
      if (!statesMethod(candidate, request.method) || !(candidate.regex as RegExp).test(request.path)) continue
      if (predicatesHold(candidate, request)) return captureGroups(candidate, request)
    }
    const won = firstHolding(this.catchAll, request)
    return won === null ? null : walk.capture(won, request)
  }

  /** All candidates whose path matches, in match order. */
  candidatesFor(path: string): Candidate<R>[] {
    const { walk } = this
    walk.run(this.root, path)
    return [
      ...walk.ends.slice(0, walk.endCount).flatMap((node) => node.ending ?? []),
      ...walk.prefixes
        .slice(0, walk.prefixCount)
        .reverse()
        .flatMap((node) => node.prefixing ?? []),
      ...this.regexes.filter((candidate) => candidate.regex!.test(path)),
      ...this.catchAll,
    ]
  }
}

function append<R>(list: Candidate<R>[] | null, candidate: Candidate<R>): Candidate<R>[] {
  // `push` reserves room for 17 more, and most lists hold one.
  if (list === null || list.length < 4) return [...(list ?? []), candidate]
  list.push(candidate)
  return list
}

function firstHolding<R>(list: readonly Candidate<R>[] | null, request: RoutedRequest): Candidate<R> | null {
  if (list === null) return null
  for (let i = 0; i < list.length; i++) {
    const candidate = list[i] as Candidate<R>
    if (statesMethod(candidate, request.method) && predicatesHold(candidate, request)) return candidate
  }
  return null
}

/**
 * One pass over a path through a trie. It follows all nodes that match so far at once, segment by segment, so that
 * nothing is tried twice and none is missed: a failed branch costs no way back.
 *
 *     path      /users/7/posts          nodes at each depth, literal text before parameters
 *     trie      /users/{id}/posts       [root] → [users, {x}] → [{id}] → [posts]   ends: posts
 *               /{x}/*                                  ╰ a prefix ends at {x}     prefixes: {x}
 *
 * The order of the nodes is the order in which their paths win (`comparePaths`): an exact path has literal text all
 * along and stands first. Its arrays are reused by every request.
 */
export class Walk<R> {
  /** Nodes reached with the end of the path, in match order; `endCount` of them are valid. */
  ends: TrieNode<R>[] = []
  endCount = 0
  /** Nodes passed where a prefix ends, in reverse match order; `prefixCount` of them are valid. */
  readonly prefixes: TrieNode<R>[] = []
  prefixCount = 0
  /** The literal segments of all nodes. */
  readonly letters = new Letters()
  private spare: TrieNode<R>[] = []
  /** Where the segments of the path begin. */
  private starts = new Int32Array(1)

  /** Makes room for paths of so many segments. */
  allow(segments: number): void {
    if (this.starts.length <= segments) this.starts = new Int32Array(segments * 2)
  }

  run(root: TrieNode<R>, path: string): void {
    const { letters } = this
    let nodes = this.ends
    let next = this.spare
    let count = 1
    nodes[0] = root
    this.prefixCount = 0
    let depth = 0
    let start = 1
    while (count > 0 && start <= path.length) {
      this.starts[depth++] = start
      let hash = 0
      let length = 0
      for (; start + length < path.length; length++) {
        const c = path.charCodeAt(start + length)
        if (c === slash) break
        segment[length] = c
        hash = hashStep(hash, c)
      }
      let nextCount = 0
      for (let i = 0; i < count; i++) {
        const node = nodes[i] as TrieNode<R>
        const child = node.child(hash, segment, 0, length, letters)
        if (child !== null) next[nextCount++] = child
        if (node.parameter !== null && length > 0) next[nextCount++] = node.parameter
      }
      for (let i = nextCount - 1; i >= 0; i--) {
        const node = next[i] as TrieNode<R>
        if (node.prefixing !== null) this.prefixes[this.prefixCount++] = node
      }
      const used = nodes
      nodes = next
      next = used
      count = nextCount
      start += length + 1
    }
    this.ends = nodes
    this.spare = next
    this.endCount = count
  }

  /** Writes the parameters of the path just walked, as they stand in it. */
  capture(won: Candidate<R>, request: RoutedRequest): Match<R> {
    const { paramSegments } = won
    request.paramNames = won.paramNames
    if (paramSegments.length === 0) {
      request.params = noParams
      return won
    }
    // Sized at once: `push` on an empty array would reserve room for 17.
    // eslint-disable-next-line unicorn/no-new-array
    const params = new Array<string>(paramSegments.length)
    for (let i = 0; i < paramSegments.length; i++) {
      const start = this.starts[paramSegments[i] as number] as number
      const end = request.path.indexOf('/', start)
      params[i] = end < 0 ? request.path.slice(start) : request.path.slice(start, end)
    }
    request.params = params
    return won
  }
}

const noParams: readonly string[] = Object.freeze([])

/** Named groups are the parameters of a regex; one that took no part in the match is empty. */
function captureGroups<R>(won: Candidate<R>, request: RoutedRequest): Match<R> {
  request.paramNames = won.paramNames
  const groups = won.paramNames.length === 0 ? undefined : won.regex?.exec(request.path)?.groups
  request.params = groups === undefined ? noParams : won.paramNames.map((name) => groups[name] ?? '')
  return won
}
