import { z } from 'zod'
import { appendHeader, type HeaderList, hasHeader, isToken, removeHeader, setHeader } from '../core/headers.ts'

/** What transformations do to header fields, in this order, as Kong does it. */
export type EditKind = 'remove' | 'rename' | 'replace' | 'set' | 'add' | 'append'

export interface HeaderEdit {
  readonly kind: EditKind
  /** Lower-case. */
  readonly name: string
  /** The new name of `rename`, lower-case; else `''`. */
  readonly to: string
  /** Which of the values is written; -1 for `remove` and `rename`. */
  readonly slot: number
}

/**
 * Carries out `edits`. `values` holds what they write, by slot; `null` stands for a value that can't be had: it is not
 * written, and `replace` and `set` then take away the field that they would have written over.
 */
export function editHeaders(list: HeaderList, edits: readonly HeaderEdit[], values: readonly (string | null)[]): void {
  for (let i = 0; i < edits.length; i++) {
    const { kind, name, to, slot } = edits[i] as HeaderEdit
    const value = slot === -1 ? null : (values[slot] as string | null)
    switch (kind) {
      case 'remove':
        removeHeader(list, name)
        break
      case 'rename':
        rename(list, name, to)
        break
      case 'replace':
        if (value === null) removeHeader(list, name)
        else if (hasHeader(list, name)) setHeader(list, name, value)
        break
      case 'set':
        if (value === null) removeHeader(list, name)
        else setHeader(list, name, value)
        break
      case 'add':
        if (value !== null && !hasHeader(list, name)) appendHeader(list, name, value)
        break
      case 'append':
        if (value !== null) appendHeader(list, name, value)
        break
    }
  }
}

/** The renamed field takes the place of one that has the new name already. */
function rename(list: HeaderList, name: string, to: string): void {
  if (!hasHeader(list, name)) return
  removeHeader(list, to)
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) list[i] = to
}

/** `X-Name:value`, as Kong writes it: the name lower-case, the value without space around it. */
export function splitPair(pair: string): [name: string, value: string] {
  const colon = pair.indexOf(':')
  return [pair.slice(0, colon).trim(), pair.slice(colon + 1).trim()]
}

const pairWords = 'must be text of the form "name:value" (in quotes: YAML takes "name: value" for a mapping)'

/** A list entry `name:value`; `check` finds faults in its two halves. */
export function pair(check: (name: string, value: string) => string | null) {
  return z.string(pairWords).superRefine((text, context) => {
    const fault = text.includes(':') ? check(...splitPair(text)) : pairWords
    if (fault !== null) context.addIssue(fault)
  })
}

/** What is wrong with the name of a field that is to be edited, or `null`. */
export function headerNameFault(name: string, untouchable: ReadonlySet<string>): string | null {
  if (!isToken(name)) return 'must begin with the name of a header field'
  return untouchable.has(name.toLowerCase()) ? `must not touch "${name}": the gateway sets that itself` : null
}
