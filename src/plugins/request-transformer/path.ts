import type { AccessContext } from '../../core/context.ts'
import { wellFormed } from './query.ts'
import { compileTemplate, type Part, parseTemplate } from './template.ts'

/** A path that is written: `null` when it can't be. */
export type PathWriter = (ctx: AccessContext) => string | null

/** What is wrong with the literal text of a path template, or `null`. */
export function pathTextFault(text: string): string | null {
  if (/[?#]/.test(text)) return 'must not hold a query or fragment; change the query with "querystring"'
  if (!/^[!-~]*$/.test(text) || text.includes('\\') || /%(?![0-9a-f]{2})/i.test(text)) {
    return 'must hold only what may stand in a path; write other characters as %XX'
  }
  return null
}

/**
 * A path made of a template. Captured parameters go in as they stood in the request's path; any other value becomes
 * part of one segment, whatever characters it holds.
 */
export function compilePath(parts: readonly Part[]): PathWriter {
  const template = compileTemplate(parts, (text) => text, pathValue)
  return typeof template === 'string' ? () => template : template
}

function pathValue(text: string, source: string): string | null {
  return source === 'path' ? text : encodeURIComponent(wellFormed(text))
}

/** A replacement taken apart: `$1`, `$<name>`, `$&` and `$$` besides the template's placeholders. */
type Piece = string | { readonly group: number | string } | PathWriter

/** Rewrites what `regex` finds first in a path. `undefined`: it finds nothing; `null`: the replacement lacks a value. */
export type PathRewriter = (path: string, ctx: AccessContext) => string | null | undefined

/** The groups that `regex` has: how many, and their names. Throws when it is no regular expression. */
function groupsOf(regex: string): { count: number; names: ReadonlySet<string> } {
  const match = new RegExp(`${regex}|`).exec('') as RegExpExecArray
  return { count: match.length - 1, names: new Set(Object.keys(match.groups ?? {})) }
}

const reference = /\$(?:(\$)|(&)|([1-9]\d?)|<([^>]*)>)/g

/** What is wrong with a rewrite, and in which of its two halves; or `null`. */
export function rewriteFault(
  regex: string,
  replacement: string,
): { key: 'regex' | 'replacement'; message: string } | null {
  let groups: ReturnType<typeof groupsOf>
  try {
    groups = groupsOf(regex)
  } catch {
    return { key: 'regex', message: 'must be a regular expression' }
  }
  const { parts, fault } = parseTemplate(replacement)
  if (fault !== null) return { key: 'replacement', message: fault }
  for (const part of parts) {
    if (typeof part !== 'string') continue
    for (const [text, , , number, name] of part.matchAll(reference)) {
      const isKnown = name === undefined ? Number(number ?? 0) <= groups.count : groups.names.has(name)
      if (!isKnown)
        return { key: 'replacement', message: `must use groups that the regular expression has, not "${text}"` }
    }
    const message = pathTextFault(part.replace(reference, ''))
    if (message !== null) return { key: 'replacement', message }
  }
  return null
}

/** Compiles a rewrite in which `rewriteFault` has found nothing. */
export function compileRewrite(regex: string, replacement: string): PathRewriter {
  const pattern = new RegExp(regex)
  const pieces = (parseTemplate(replacement).parts ?? []).flatMap((part): Piece[] =>
    typeof part === 'string' ? referencesOf(part) : [compilePath([part])],
  )
  return (path, ctx) => {
    const match = pattern.exec(path)
    if (match === null) return undefined
    let text = path.slice(0, match.index)
    for (let i = 0; i < pieces.length; i++) {
      const piece = pieces[i] as Piece
      if (typeof piece === 'string') text += piece
      else if (typeof piece === 'function') {
        const value = piece(ctx)
        if (value === null) return null
        text += value
      } else text += (typeof piece.group === 'number' ? match[piece.group] : match.groups?.[piece.group]) ?? ''
    }
    return text + path.slice(match.index + match[0].length)
  }
}

function referencesOf(text: string): Piece[] {
  const pieces: Piece[] = []
  let end = 0
  for (const match of text.matchAll(reference)) {
    const [whole, dollar, all, number, name] = match
    pieces.push(text.slice(end, match.index))
    if (dollar !== undefined) pieces.push('$')
    else pieces.push({ group: all !== undefined ? 0 : number !== undefined ? Number(number) : (name as string) })
    end = match.index + whole.length
  }
  return [...pieces, text.slice(end)].filter((piece) => piece !== '')
}

/** Dot segments, also with parameters behind them, empty segments with parameters, and separators in disguise. */
const ambiguous = /\/(?:\.|%2e){0,2};|\/(?:\.|%2e){1,2}(?:\/|$)|%2f|%5c|%(?:25)+(?:2e|2f|5c)|%[01][0-9a-f]|%7f|[^!-~]/i

/**
 * The path as it may be sent: `/`-led and without empty segments. `null` when the upstream could read it in another
 * way than it was written: what a request brings into a path must not lead out of where the template puts it.
 */
export function safePath(path: string): string | null {
  const merged = `/${path}`.replace(/\/{2,}/g, '/')
  return ambiguous.test(merged) ? null : merged
}
