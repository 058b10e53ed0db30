import type { Claims } from '../core/services/tokens.ts'

/** Where a claim is: `sub`, or `realm_access.roles` for a member of an object. */
export interface ClaimPath {
  /** A claim may have dots in its very name (`https://example.com/roles`): that goes first. */
  readonly name: string
  readonly members: readonly string[]
}

export function claimPath(text: string): ClaimPath {
  return { name: text, members: text.split('.') }
}

/** The value of a claim, `undefined` when it is not there. What every object inherits is no claim. */
export function claimAt(claims: Claims, { name, members }: ClaimPath): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const member of members) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, member)) return undefined
    value = (value as Record<string, unknown>)[member]
  }
  return value
}

/** The first of several claims that says something. */
export function firstClaim(claims: Claims, paths: readonly ClaimPath[]): unknown {
  for (const path of paths) {
    const value = claimAt(claims, path)
    if (value !== undefined && value !== null && value !== '') return value
  }
  return undefined
}

/** A claim that is one word: text, or a number as some issuers write their ids; `null` otherwise. */
export function wordOf(value: unknown): string | null {
  if (typeof value === 'string') return value === '' ? null : value
  return Number.isSafeInteger(value) ? String(value) : null
}

/** A claim that is several words: a list, or text with spaces between them; `null` when it is not there or something else. */
export function wordsOf(value: unknown): readonly string[] | null {
  if (typeof value === 'string') return value.split(' ').filter((word) => word !== '')
  if (!Array.isArray(value)) return null
  return value.filter((word): word is string => typeof word === 'string' && word !== '')
}

export type ClaimValue = string | number | boolean

/** What a claim must be: one of `values`; a list must hold one of them. */
export interface ClaimRule {
  readonly path: ClaimPath
  readonly values: readonly ClaimValue[]
}

export function fulfils(claims: Claims, rules: readonly ClaimRule[], match: 'all' | 'any'): boolean {
  if (rules.length === 0) return true
  const holds = ({ path, values }: ClaimRule): boolean => {
    const value = claimAt(claims, path)
    const isWanted = (one: unknown): boolean => values.includes(one as ClaimValue)
    return Array.isArray(value) ? value.some(isWanted) : isWanted(value)
  }
  return match === 'all' ? rules.every(holds) : rules.some(holds)
}
