import type { Candidate } from './candidate.ts'

/** Up to so many children are looked through one by one, more are found by hash (bench/micro/trie.bench.ts). */
const scanned = 4

/**
 * The literal segments of a trie as character codes, one after the other. Paths are compared as codes too: reading a
 * typed array costs a third of `charCodeAt` (bench/micro/trie.bench.ts: static, 1 route).
 */
export class Letters {
  codes = new Uint16Array(256)
  length = 0

  /** Adds a segment at the end and returns where it begins. */
  write(segment: string): number {
    const start = this.length
    this.length += segment.length
    if (this.length > this.codes.length) {
      const longer = new Uint16Array(this.length * 2)
      longer.set(this.codes)
      this.codes = longer
    }
    for (let i = 0; i < segment.length; i++) this.codes[start + i] = segment.charCodeAt(i)
    return start
  }
}

/**
 * A node of the trie: what remains to be matched once the segments on the way to it have been.
 *
 * Children are found by a hash of the segment that the walk makes while it looks for the segment's end: a Map by the
 * segment's text would need a substring for every look-up.
 */
export class TrieNode<R> {
  /** The segment that leads here, in `Letters`; nothing for the root and parameters. */
  private readonly start: number
  private readonly length: number
  private readonly hash: number
  /** Next literal child of the same parent; where the parent has an index, the next one with the same hash. */
  private sibling: TrieNode<R> | null = null
  private firstChild: TrieNode<R> | null = null
  private index: Map<number, TrieNode<R>> | null = null
  /** Takes any segment but an empty one. */
  parameter: TrieNode<R> | null = null
  /** Candidates whose path ends here, in match order; `null`: none. */
  ending: Candidate<R>[] | null = null
  /** Candidates whose path is a prefix that ends here, in match order; `null`: none. */
  prefixing: Candidate<R>[] | null = null

  constructor(start = 0, length = 0, hash = 0) {
    this.start = start
    this.length = length
    this.hash = hash
  }

  /** The child for the segment `codes[start, start + length)`, whose hash the caller has; or `null`. */
  child(hash: number, codes: Uint16Array, start: number, length: number, letters: Letters): TrieNode<R> | null {
    let child = this.index === null ? this.firstChild : (this.index.get(hash) ?? null)
    while (child !== null && !(child.hash === hash && child.is(codes, start, length, letters.codes)))
      child = child.sibling
    return child
  }

  private is(codes: Uint16Array, start: number, length: number, literals: Uint16Array): boolean {
    if (length !== this.length) return false
    for (let i = 0; i < length; i++) if (codes[start + i] !== literals[this.start + i]) return false
    return true
  }

  /** The child for a segment of a pattern (`null`: a parameter), made where there is none. */
  grow(segment: string | null, letters: Letters): TrieNode<R> {
    if (segment === null) return (this.parameter ??= new TrieNode<R>())
    let hash = 0
    for (let i = 0; i < segment.length; i++) hash = hashStep(hash, segment.charCodeAt(i))
    const start = letters.write(segment)
    const known = this.child(hash, letters.codes, start, segment.length, letters)
    if (known !== null) {
      letters.length = start
      return known
    }
    const child = new TrieNode<R>(start, segment.length, hash)
    if (this.index === null) this.addToScanned(child)
    else this.addToIndex(this.index, child)
    return child
  }

  private addToScanned(child: TrieNode<R>): void {
    const children = [child]
    for (let other = this.firstChild; other !== null; other = other.sibling) children.push(other)
    if (children.length <= scanned) {
      child.sibling = this.firstChild
      this.firstChild = child
      return
    }
    this.firstChild = null
    this.index = new Map()
    for (const each of children) this.addToIndex(this.index, each)
  }

  private addToIndex(index: Map<number, TrieNode<R>>, child: TrieNode<R>): void {
    child.sibling = index.get(child.hash) ?? null
    index.set(child.hash, child)
  }
}

/** A segment's hash grows by one character. A collision costs a comparison; clients can't add to what collides. */
export function hashStep(hash: number, c: number): number {
  return (Math.imul(hash, 31) + c) | 0
}
