import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from 'yaml'
import { type Fault, formatPath, type Path } from './fault.ts'
import { fill, hasReference } from './fill.ts'
import { hideSecrets } from './secret.ts'

/** A configuration file as data, with the place of every value and the references filled in. */
export interface ConfigDocument {
  /** Plain data. */
  readonly value: unknown
  /** What is wrong with the text itself: syntax, duplicate keys, references that lead nowhere. */
  readonly faults: readonly Fault[]
  /** Absolute paths of the files that `${file:}` names. */
  readonly files: readonly string[]
  /** What references inserted, and the whole values that they are part of: never to be shown. */
  readonly secrets: ReadonlySet<string>
  /** The values that references are part of, by path (formatted). */
  readonly filled: ReadonlyMap<string, FilledValue>
  /** Paths (formatted) of the values with a reference that leads nowhere: nothing more need be said of them. */
  readonly broken: ReadonlySet<string>
  /** A fault at `path`. Where `path` leads nowhere it points at the innermost part that exists: what lacks the key. */
  fault(path: Path, message: string): Fault
  /** The same, pointing at the key `key` of the mapping at `path`: what must not be there. */
  faultAtKey(path: Path, key: string, message: string): Fault
}

/** A value that references are part of. */
export interface FilledValue {
  readonly place: Path
  /** The environment had a part in it. */
  readonly fromEnvironment: boolean
}

/** Values that a file may come to with its aliases filled in: stops a few lines from becoming billions of values. */
const maxValues = 2_000_000

/**
 * Reads `text`, YAML 1.2 or JSON. Never throws for bad input.
 *
 * @param file as shown in messages
 * @param dir where relative paths of `${file:}` start
 */
export function parseConfig(
  text: string,
  file: string,
  dir: string,
  env: NodeJS.ProcessEnv = process.env,
): ConfigDocument {
  const lines = new LineCounter()
  const document = parseDocument(text.replace(/^\ufeff/, ''), { lineCounter: lines, prettyErrors: false })
  const reader = new Reader(document, lines, file, dir, env)
  return reader.read()
}

class Reader {
  readonly #document: Document.Parsed
  readonly #lines: LineCounter
  readonly #file: string
  readonly #dir: string
  readonly #env: NodeJS.ProcessEnv

  readonly #faults: Fault[] = []
  readonly #files = new Set<string>()
  readonly #secrets = new Set<string>()
  readonly #filled = new Map<string, FilledValue>()
  readonly #broken = new Set<string>()
  /** The node that each anchor stands for; filled in the order of the text, so that an alias finds the one before it. */
  readonly #anchors = new Map<string, Node>()
  /** Collections that are being read: an alias to one of them has no end. */
  readonly #open = new Set<Node>()
  #values = 0

  constructor(document: Document.Parsed, lines: LineCounter, file: string, dir: string, env: NodeJS.ProcessEnv) {
    this.#document = document
    this.#lines = lines
    this.#file = file
    this.#dir = dir
    this.#env = env
  }

  read(): ConfigDocument {
    const { contents, errors, warnings } = this.#document
    for (const { code, message, pos } of [...errors, ...warnings]) {
      this.#add(pos[0], [], code === 'DUPLICATE_KEY' ? `duplicate key ${this.#wordAt(pos[0])}` : syntaxWords(message))
    }
    let value: unknown = null
    if (this.#faults.length === 0) {
      if (contents === null || (isScalar(contents) && contents.value === null)) this.#add(0, [], 'the file is empty')
      else value = this.#value(contents, [])
    }
    return {
      value,
      faults: this.#faults,
      files: [...this.#files],
      secrets: this.#secrets,
      filled: this.#filled,
      broken: this.#broken,
      fault: (path, message) => this.#fault(this.#offsetOf(path), path, message),
      faultAtKey: (path, key, message) => this.#fault(this.#offsetOf([...path, key]), path, message),
    }
  }

  // ── Nodes to data

  #value(node: Node | null, path: Path): unknown {
    if (node === null || this.#values > maxValues) return null
    if (++this.#values > maxValues) this.#add(offset(node), path, 'the aliases of this file expand to too many values')
    if (isAlias(node)) return this.#aliased(node, path)
    if ('anchor' in node && node.anchor !== undefined) this.#anchors.set(node.anchor, node)
    if (isScalar(node)) return this.#scalar(node, path)
    this.#open.add(node)
    const value = isMap(node)
      ? this.#mapping(node, path)
      : isSeq(node)
        ? node.items.map((item, index) => this.#value(item as Node | null, [...path, index]))
        : null
    this.#open.delete(node)
    return value
  }

  #aliased(node: Alias, path: Path): unknown {
    const target = this.#anchors.get(node.source)
    if (target !== undefined && !this.#open.has(target)) return this.#value(target, path)
    const problem = target === undefined ? 'there is no anchor' : 'an alias within what it stands for:'
    this.#add(offset(node), path, `${problem} "${node.source}"`)
    this.#broken.add(formatPath(path))
    return null
  }

  #mapping(map: YAMLMap, path: Path): Record<string, unknown> {
    const value: Record<string, unknown> = {}
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      const key = keyOf(pair)
      if (key === null || key === '__proto__') {
        this.#add(offset(pair.key), path, 'keys must be plain words')
      } else if (isMerge(pair)) {
        const merged = this.#merged(pair.value, path)
        for (const [name, item] of Object.entries(merged)) if (!Object.hasOwn(value, name)) value[name] = item
      } else {
        value[key] = this.#value(pair.value, [...path, key])
      }
    }
    return value
  }

  /** `<<: *a` and `<<: [*a, *b]`: the keys of other mappings, the first of them to have a key wins. */
  #merged(node: Node | null, path: Path): Record<string, unknown> {
    const merged: Record<string, unknown> = {}
    for (const source of this.#mergeSources(node)) {
      if (!isMap(source)) this.#add(offset(node), path, '"<<" needs a mapping, or a list of mappings')
      else if (this.#open.has(source)) this.#add(offset(node), path, 'a mapping is merged into itself')
      else {
        const inherited = this.#value(source, path) as Record<string, unknown>
        for (const [name, item] of Object.entries(inherited)) if (!Object.hasOwn(merged, name)) merged[name] = item
      }
    }
    return merged
  }

  #mergeSources(node: Node | null): (Node | null)[] {
    const target = this.#resolve(node)
    return isSeq(target) ? target.items.map((item) => this.#resolve(item as Node | null)) : [target]
  }

  #scalar(node: Scalar, path: Path): unknown {
    const { value } = node
    if (typeof value !== 'string' || !hasReference(value)) return value
    const { text, isFilled, secrets, files, fromEnvironment, faults } = fill(value, this.#dir, this.#env)
    for (const file of files) this.#files.add(file)
    for (const message of faults) this.#add(this.#offsetOf(path), path, message)
    if (faults.length > 0) this.#broken.add(formatPath(path))
    if (isFilled) this.#filled.set(formatPath(path), { place: path, fromEnvironment })
    if (secrets.length > 0) for (const secret of [...secrets, text]) this.#secrets.add(secret)
    return text
  }

  // ── Places

  /** Where `path` stands: its key in a mapping, its beginning in a list. */
  #offsetOf(path: Path): number {
    let node = this.#resolve(this.#document.contents)
    let found = offset(node)
    for (const segment of path) {
      let next: Node | null | undefined
      if (isSeq(node)) {
        next = node.items[Number(segment)] as Node | undefined
        if (next !== undefined) found = offset(next)
      } else if (isMap(node)) {
        const pair = this.#pairOf(node, String(segment))
        next = pair?.value
        if (pair !== undefined) found = offset(pair.key)
      }
      if (next === undefined) break
      node = this.#resolve(next)
    }
    return found
  }

  #pairOf(map: YAMLMap, key: string, visited = new Set<Node>()): Pair<Node, Node | null> | undefined {
    if (visited.has(map)) return undefined
    visited.add(map)
    const pairs = map.items as Pair<Node, Node | null>[]
    const own = pairs.find((pair) => keyOf(pair) === key)
    if (own !== undefined) return own
    for (const pair of pairs) {
      if (!isMerge(pair)) continue
      for (const source of this.#mergeSources(pair.value)) {
        const inherited = isMap(source) ? this.#pairOf(source, key, visited) : undefined
        if (inherited !== undefined) return inherited
      }
    }
    return undefined
  }

  #resolve(node: Node | null): Node | null {
    return isAlias(node) ? (this.#anchors.get(node.source) ?? null) : node
  }

  #wordAt(start: number): string {
    const found = this.#document.contents === null ? null : findKey(this.#document.contents, start)
    return JSON.stringify(found ?? '')
  }

  #add(at: number, path: Path, message: string): void {
    this.#faults.push(this.#fault(at, path, message))
  }

  #fault(at: number, path: Path, message: string): Fault {
    const { line, col } = this.#lines.linePos(at)
    const text = hideSecrets(message, this.#secrets)
    // An empty file has no line 1 yet.
    return {
      file: this.#file,
      line: Math.max(line, 1),
      column: Math.max(col, 1),
      path: formatPath(path),
      message: text,
    }
  }
}

function keyOf({ key }: Pair<Node, Node | null>): string | null {
  const value: unknown = isScalar(key) ? key.value : null
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null
}

function isMerge({ key }: Pair<Node, Node | null>): boolean {
  return isScalar(key) && key.value === '<<' && key.type === 'PLAIN'
}

/** The text of the mapping key that begins at `start`. */
function findKey(node: Node, start: number): string | null {
  if (isSeq(node)) {
    for (const item of node.items) {
      const found = item === null ? null : findKey(item as Node, start)
      if (found !== null) return found
    }
  } else if (isMap(node)) {
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      if (offset(pair.key) === start) return keyOf(pair)
      const found = pair.value === null ? null : findKey(pair.value, start)
      if (found !== null) return found
    }
  }
  return null
}

function offset(node: Node | null): number {
  return node?.range?.[0] ?? 0
}

/** The parser's words as ours begin: lower-case, no advice about its programming interface. */
function syntaxWords(message: string): string {
  if (message.startsWith('Source contains multiple documents')) return 'the file holds more than one document ("---")'
  return message.charAt(0).toLowerCase() + message.slice(1)
}
