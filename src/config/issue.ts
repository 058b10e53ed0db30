import type { z } from 'zod'
import type { Path } from './fault.ts'
import { didYouMean } from './nearest.ts'
import { hidden, isSecretKey } from './secret.ts'

/** One thing that a schema finds wrong. */
export interface Finding {
  readonly path: Path
  readonly message: string
  /** The key that must not be there; the finding is then about the mapping at `path`. */
  readonly key: string | null
}

/** What zod reports; of other zod versions (an operator's plugin may bring its own) at least these fields. */
export interface Issue {
  readonly code?: string
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
  readonly expected?: string
  readonly errors?: readonly (readonly Issue[])[]
  readonly issues?: readonly Issue[]
}

/** An issue while zod makes it: with the schema that found it, and the value. */
type RawIssue = z.core.$ZodRawIssue

interface Definition {
  readonly type?: string
  readonly checks?: readonly { readonly _zod: { readonly def: Check } }[]
  readonly format?: string
  readonly shape?: Record<string, unknown>
  readonly options?: readonly { readonly _zod: { readonly def: Definition } }[]
  readonly values?: readonly unknown[]
  readonly entries?: Record<string, unknown>
  readonly innerType?: { readonly _zod: { readonly def: Definition } }
  readonly in?: { readonly _zod: { readonly def: Definition } }
}

interface Check {
  readonly check?: string
  readonly format?: string
  readonly value?: number
  readonly inclusive?: boolean
  readonly minimum?: number
  readonly maximum?: number
}

/**
 * zod's issues in our words: `must be …`, without the value, which `findingsOf` adds. Handed to every parse; a message
 * that a schema states itself goes before it.
 */
export function issueWords(issue: RawIssue): string {
  const raw = issue as unknown as Record<string, unknown>
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = Object.keys(definitionOf(issue)?.shape ?? {})
      return issue.keys.map((key) => `unknown key ${JSON.stringify(key)}${didYouMean(key, known)}`).join('\n')
    }
    case 'invalid_value':
      return mustBeOneOf(issue.values)
    case 'invalid_format':
      return `must be ${formats[issue.format] ?? `a valid ${issue.format}`}`
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`
    case 'invalid_union':
      return Array.isArray(raw['options']) ? mustBeOneOf(raw['options']) : `must be ${nounOf(definitionOf(issue))}`
    case 'invalid_type': {
      const isBare =
        issue.expected === 'string' && (typeof issue.input === 'number' || typeof issue.input === 'boolean')
      return `must be ${plainNouns[issue.expected] ?? nounOf(definitionOf(issue), issue.expected)}${isBare ? ': put it in quotes' : ''}`
    }
    case 'too_small':
    case 'too_big':
      return `must be ${nounOf(definitionOf(issue))}`
    case 'custom':
    case 'invalid_element':
    case 'invalid_key':
    default:
      return 'is not valid'
  }
}

/** Of what has another type altogether the length is beside the point. */
const plainNouns: Record<string, string> = { string: 'a string', array: 'a list' }

const formats: Record<string, string> = {
  url: 'a URL',
  email: 'an e-mail address',
  uuid: 'a UUID',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  cidrv4: 'an IPv4 block such as 10.0.0.0/8',
  cidrv6: 'an IPv6 block such as fd00::/8',
  datetime: 'a date and time as ISO 8601 has it',
  regex: 'of the expected form',
}

function definitionOf(issue: RawIssue): Definition | undefined {
  const { schema, inst } = issue as unknown as { schema?: Owner; inst?: Owner }
  return (schema ?? inst)?._zod.def
}

interface Owner {
  readonly _zod: { readonly def: Definition }
}

function mustBeOneOf(values: readonly unknown[]): string {
  const words = values.map((value) => JSON.stringify(value))
  return words.length === 1 ? `must be ${words[0]}` : `must be ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

/** What a schema wants, as a noun: `a positive integer`, `a list`, `a string`. */
function nounOf(definition: Definition | undefined, expected?: string): string {
  const checks = definition?.checks?.map((check) => check._zod.def) ?? []
  switch (definition?.type ?? expected) {
    case 'number':
    case 'int':
      return numberNoun(
        definition?.format ?? checks.find((check) => check.check === 'number_format')?.format,
        checks,
        expected,
      )
    case 'string':
      return lengthNoun('a string', 'character', checks)
    case 'array':
      return lengthNoun('a list', 'item', checks)
    case 'object':
    case 'record':
      return 'a mapping'
    case 'boolean':
      return 'true or false'
    case 'null':
      return 'null'
    case 'literal':
      return (definition?.values ?? []).map((value) => JSON.stringify(value)).join(' or ')
    case 'enum':
      return Object.values(definition?.entries ?? {})
        .map((value) => JSON.stringify(value))
        .join(' or ')
    case 'union':
      return (definition?.options ?? []).map((option) => nounOf(option._zod.def)).join(' or ')
    case 'pipe':
      return nounOf(definition?.in?._zod.def)
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
      return nounOf(definition?.innerType?._zod.def)
    case undefined:
    default:
      return expected === undefined ? 'something else' : `a ${expected}`
  }
}

function numberNoun(format: string | undefined, checks: readonly Check[], expected: string | undefined): string {
  const noun = format !== undefined || expected === 'int' ? 'an integer' : 'a number'
  const low = checks.find((check) => check.check === 'greater_than')
  const high = checks.find((check) => check.check === 'less_than')
  if (low !== undefined && high !== undefined) {
    if (low.inclusive === true && high.inclusive === true) return `${noun} from ${low.value} to ${high.value}`
    return `${noun} ${bound(low, 'above', 'of at least')} and ${bound(high, 'below', 'at most')}`
  }
  if (low !== undefined) {
    const positive =
      low.value === 0 ? low.inclusive === false : low.value === 1 && noun === 'an integer' && low.inclusive === true
    return positive ? `a positive ${noun.split(' ')[1]}` : `${noun} ${bound(low, 'above', 'of at least')}`
  }
  return high === undefined ? noun : `${noun} ${bound(high, 'below', 'of at most')}`
}

function bound({ value, inclusive }: Check, exclusiveWord: string, inclusiveWord: string): string {
  return `${inclusive === true ? inclusiveWord : exclusiveWord} ${value}`
}

function lengthNoun(noun: string, unit: string, checks: readonly Check[]): string {
  const low = checks.find((check) => check.check === 'min_length')?.minimum
  const high = checks.find((check) => check.check === 'max_length')?.maximum
  if (low === 1 && high === undefined)
    return unit === 'item' ? 'a list with at least one item' : `${noun} that is not empty`
  if (low !== undefined && high !== undefined) return `${noun} of ${low} to ${high} ${unit}s`
  if (low !== undefined) return `${noun} of at least ${low} ${unit}s`
  return high === undefined ? noun : `${noun} of at most ${high} ${unit}s`
}

/** What a failed parse of `input` found, each with the value that it got. */
export function findingsOf(issues: readonly Issue[], input: unknown): Finding[] {
  return flatten(issues).flatMap((issue): Finding[] => {
    const path = issue.path.map((segment) => (typeof segment === 'number' ? segment : String(segment)))
    if (issue.code === 'unrecognized_keys') {
      const messages = issue.message.split('\n')
      return (issue.keys ?? []).map((key, i) => ({
        path,
        key,
        message: messages[i] ?? `unknown key ${JSON.stringify(key)}`,
      }))
    }
    if (issue.code === 'invalid_key') {
      const key = String(path.at(-1))
      return [
        {
          path: path.slice(0, -1),
          key,
          message: `key ${JSON.stringify(key)} ${issue.issues?.[0]?.message ?? issue.message}`,
        },
      ]
    }
    const value = valueAt(input, path)
    if (value === undefined && path.length > 0 && issue.code !== 'custom')
      return [{ path, key: null, message: 'is required' }]
    return [{ path, key: null, message: `${issue.message}${got(value, path, issue.message)}` }]
  })
}

/** Issues of a union are those of the branch that was meant: the only one that takes a value of this type. */
export function flatten(issues: readonly Issue[]): Issue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors === undefined) return [issue]
    const meant = issue.errors.filter(
      (branch) => !branch.some((inner) => inner.path.length === 0 && isAboutType(inner)),
    )
    if (meant.length !== 1) return [issue]
    return flatten(meant[0] as readonly Issue[]).map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
  })
}

function isAboutType({ code }: Issue): boolean {
  return code === 'invalid_type' || code === 'invalid_value'
}

function got(value: unknown, path: Path, message: string): string {
  if (value === undefined || !message.startsWith('must ') || message.includes('(got ')) return ''
  if (path.some(isSecretKey) && value !== null && typeof value !== 'object') return ` (got ${hidden})`
  return ` (got ${shown(value)})`
}

/** A value in a message: short, and nothing of a collection's contents. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (value === null) return 'nothing'
  if (typeof value === 'object') return 'a mapping'
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 80 ? text : `${text.slice(0, 76)}…"`
}

export function valueAt(input: unknown, path: Path): unknown {
  let value = input
  for (const segment of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, segment)) return undefined
    value = (value as Record<string | number, unknown>)[segment]
  }
  return value
}
