import { unescape } from 'node:querystring'
import type { EditKind } from '../header-edit.ts'

export interface QueryEdit {
  readonly kind: EditKind
  /** Decoded. */
  readonly name: string
  /** The name that is written, encoded: the new one of `rename`. */
  readonly written: string
  /** Which of the values is written; -1 for `remove` and `rename`. */
  readonly slot: number
}

/**
 * The query after `edits`; `values` holds what they write, encoded, by slot, with the same meaning of `null` as for
 * header fields. Parameters that no edit names stay as they are, byte for byte.
 */
export function editQuery(query: string, edits: readonly QueryEdit[], values: readonly (string | null)[]): string {
  let parameters = query === '' ? [] : query.split('&')
  for (let i = 0; i < edits.length; i++) {
    const { kind, name, written, slot } = edits[i] as QueryEdit
    const value = slot === -1 ? null : (values[slot] as string | null)
    const added = value === null ? null : `${written}=${value}`
    const first = kind === 'append' ? -1 : parameters.findIndex((parameter) => isNamed(parameter, name))
    if (first === -1) {
      if (added !== null && kind !== 'replace') parameters.push(added)
    } else if (kind === 'rename') {
      parameters = parameters.map((parameter) => (isNamed(parameter, name) ? renamed(parameter, written) : parameter))
    } else if (kind !== 'add') {
      if (added !== null) parameters[first] = added
      parameters = parameters.filter((parameter, at) => (at === first && added !== null) || !isNamed(parameter, name))
    }
  }
  return parameters.join('&')
}

/** The first value of a parameter, decoded; `null` when there is none. */
export function queryValue(query: string, name: string): string | null {
  if (query === '') return null
  const parameter = query.split('&').find((candidate) => isNamed(candidate, name))
  if (parameter === undefined) return null
  const equals = parameter.indexOf('=')
  return equals === -1 ? '' : decode(parameter.slice(equals + 1))
}

/** Text for a query, also when it holds half a surrogate pair. */
export function encodeQuery(text: string): string {
  return encodeURIComponent(wellFormed(text))
}

/** `encodeURIComponent` throws on half a surrogate pair; UTF-8 has U+FFFD for it. */
export function wellFormed(text: string): string {
  return /[\ud800-\udfff]/.test(text) ? Buffer.from(text).toString() : text
}

function isNamed(parameter: string, name: string): boolean {
  const equals = parameter.indexOf('=')
  const raw = equals === -1 ? parameter : parameter.slice(0, equals)
  return raw === name || ((raw.includes('%') || raw.includes('+')) && decode(raw) === name)
}

function renamed(parameter: string, to: string): string {
  const equals = parameter.indexOf('=')
  return equals === -1 ? to : to + parameter.slice(equals)
}

/** `application/x-www-form-urlencoded`, which is what nearly everybody takes a query for. */
function decode(text: string): string {
  return unescape(text.replaceAll('+', ' '))
}
