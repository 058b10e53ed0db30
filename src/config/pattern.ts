/**
 * Says what is wrong with a regular expression that will run on what clients send, or `null` when nothing is.
 */
export function patternFault(source: string): string | null {
  if (source === '') return 'must be a regular expression after "~"'
  try {
    new RegExp(source)
  } catch (error) {
    const reason = (error as Error).message.replace(/^Invalid regular expression: .*\/\w*: /s, '')
    return `must be a regular expression after "~": ${reason.charAt(0).toLowerCase()}${reason.slice(1)}`
  }
  return mayExplode(source)
    ? 'must not repeat a group that can split the same text in many ways, such as (a+)+: a client could stall the gateway with it'
    : null
}

/** One branch of an alternation: what the search for ambiguous repetition needs to know of it. */
interface Branch {
  /** Something in it takes at least one character and is not repeated: two rounds can be told apart by it. */
  anchored: boolean
  /** Something in it repeats without bound. */
  repeats: boolean
}

/**
 * Whether `source` repeats a group that consists of repetitions only: `(a+)+`, `(\w*)*`, `([a-z]+-?)*`. On text that
 * nearly matches such a pattern takes time that doubles with every character. Sees the usual forms, not all.
 */
function mayExplode(source: string): boolean {
  const groups: Branch[][] = [[{ anchored: false, repeats: false }]]
  let i = 0
  while (i < source.length) {
    const character = source[i] as string
    const branches = groups.at(-1) as Branch[]
    if (character === '(') {
      groups.push([{ anchored: false, repeats: false }])
      i += groupPrefix(source, i)
    } else if (character === '|') {
      branches.push({ anchored: false, repeats: false })
      i++
    } else if (character === ')') {
      groups.pop()
      const [quantifier, length] = quantifierAt(source, i + 1)
      if (quantifier === 'many' && branches.some((branch) => branch.repeats && !branch.anchored)) return true
      const outer = groups.at(-1)?.at(-1) as Branch
      if (quantifier === 'many' || branches.some((branch) => branch.repeats && !branch.anchored)) outer.repeats = true
      if (quantifier === 'once' && branches.every((branch) => branch.anchored)) outer.anchored = true
      i += 1 + length
    } else {
      const width = atomWidth(source, i)
      const [quantifier, length] = quantifierAt(source, i + width)
      const branch = branches.at(-1) as Branch
      if (quantifier === 'many') branch.repeats = true
      else if (quantifier === 'once' && character !== '^' && character !== '$') branch.anchored = true
      i += width + length
    }
  }
  return false
}

/** Length of `(`, `(?:`, `(?=`, `(?<!`, `(?<name>`. */
function groupPrefix(source: string, at: number): number {
  return /^\((?:\?(?:[:=!]|<[=!]|<[^>]*>))?/.exec(source.slice(at))?.[0].length ?? 1
}

/** Length of a character, an escape, or a class in brackets. */
function atomWidth(source: string, at: number): number {
  if (source[at] === '\\') return 2
  if (source[at] !== '[') return 1
  let end = at + 1
  while (end < source.length && source[end] !== ']') end += source[end] === '\\' ? 2 : 1
  return end - at + 1
}

/** How often what stands before `at` may come, and the length of the quantifier. */
function quantifierAt(source: string, at: number): ['once' | 'few' | 'many', number] {
  const match = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/.exec(source.slice(at, at + 32))
  if (match === null) return ['once', 0]
  const [text, least, comma, most] = match
  if (text.startsWith('*') || text.startsWith('+') || (comma === ',' && most === '')) return ['many', text.length]
  return [least !== undefined && Number(least) > 0 ? 'once' : 'few', text.length]
}
