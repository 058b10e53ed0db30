import { createHash } from 'node:crypto'
import { type RevocationKind, revocationKinds } from '../core/services/revocations.ts'
import { parseDuration } from '../core/units.ts'
import type { Revocation } from './revocation.ts'

/** What people and files write, and are shown. */
export interface RevocationItem {
  readonly jti?: string
  readonly sub?: string
  readonly token_hash?: string
  readonly key?: string
  readonly consumer?: string
  readonly reason?: string
  /** ISO 8601. */
  readonly revoked_at?: string
  readonly expires_at?: string
  readonly issued_before?: string
  readonly removed?: true
}

/** Under which name an item says what is revoked. */
const names: Readonly<Record<RevocationKind, 'jti' | 'sub' | 'token_hash' | 'key' | 'consumer'>> = {
  jti: 'jti',
  sub: 'sub',
  token: 'token_hash',
  key: 'key',
  consumer: 'consumer',
}

const subjects: readonly string[] = [...Object.values(names), 'token']
const known = new Set([...subjects, 'reason', 'expires_in', 'expires_at', 'issued_before'])
/** A line of a file is read at any time: what counts from now means nothing there. */
const knownInFiles = new Set([...known, 'revoked_at', 'removed'].filter((key) => key !== 'expires_in'))

/** Most characters of a value and of a reason. */
const longest = { value: 1024, reason: 256, token: 65_536 }

/** Milliseconds that clocks may differ: for so long after its `exp` a token is still remembered. */
const slack = 3_600_000

/** The last moment that ISO 8601 can write with four digits of year. */
const endOfTime = Date.UTC(9999, 11, 31)

/** When something was decided of which nobody says when: everything else is later. */
export const unknownTime = 1

export interface ItemRules {
  readonly now: number
  /** Milliseconds for which a `jti` or token is remembered where nothing is said. */
  readonly tokenLifetime: number
  /** It comes from a file: holds no tokens, but times of its own. */
  readonly inFile: boolean
}

/** An item as a revocation, or the words for what is wrong with it: no value of it stands in them. */
export function readItem(item: unknown, rules: ItemRules): Revocation | string {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return 'must be an object'
  const fields = item as Record<string, unknown>
  for (const key of Object.keys(fields))
    if (!(rules.inFile ? knownInFiles : known).has(key)) return `unknown key ${JSON.stringify(key.slice(0, 40))}`

  const subject = readSubject(fields, rules)
  if (typeof subject === 'string') return subject
  const { reason = '', expires_in, expires_at, issued_before, revoked_at, removed = false } = fields
  if (typeof reason !== 'string' || reason.length > longest.reason)
    return `"reason" must be a string of at most ${longest.reason} characters`
  if (typeof removed !== 'boolean') return '"removed" must be true or false'
  const at = revoked_at === undefined ? rules.now : readTime(revoked_at)
  if (at === null) return `"revoked_at" ${timeWords}`
  const before =
    issued_before === undefined ? 0 : issued_before === 'now' && !rules.inFile ? rules.now : readTime(issued_before)
  if (before === null) return `"issued_before" ${timeWords}${rules.inFile ? '' : ', or "now"'}`
  if (before !== 0 && subject.kind !== 'sub' && subject.kind !== 'consumer')
    return '"issued_before" goes with "sub" and "consumer" only'

  if (expires_in !== undefined && expires_at !== undefined) return 'takes "expires_in" or "expires_at", not both'
  let expires = expires_at === undefined ? 0 : readTime(expires_at)
  if (expires === null) return `"expires_at" ${timeWords}`
  if (expires_in !== undefined) {
    const span = typeof expires_in === 'string' || typeof expires_in === 'number' ? parseDuration(expires_in) : null
    if (span === null || span === 0) return '"expires_in" must be a duration such as 30m or 1h, or a number of seconds'
    expires = at + span
  } else if (expires === 0 && !rules.inFile) {
    expires = subject.expires ?? (before === 0 ? defaultExpiry(subject.kind, rules) : rules.now + rules.tokenLifetime)
  }
  return { kind: subject.kind, value: subject.value, at, expires, before, reason, removed }
}

interface Subject {
  readonly kind: RevocationKind
  readonly value: string
  /** When it is dead anyway. */
  readonly expires: number | null
}

function readSubject(fields: Record<string, unknown>, { inFile }: ItemRules): Subject | string {
  const given = subjects.filter((name) => fields[name] !== undefined)
  const [name] = given
  if (name === undefined || given.length > 1) return `needs one of ${subjects.map((key) => `"${key}"`).join(', ')}`
  const value = fields[name]
  if (typeof value !== 'string' || value === '') return `"${name}" must be a string that is not empty`
  if (name === 'token') {
    if (inFile) return 'holds a token: write "token_hash", the SHA-256 of it'
    if (value.length > longest.token) return `"token" must have at most ${longest.token} characters`
    const expiry = expiryOf(value)
    const expires = expiry === null ? null : Math.min(expiry + slack, endOfTime)
    return { kind: 'token', value: createHash('sha256').update(value).digest('hex'), expires }
  }
  if (name === 'token_hash') {
    if (!/^[0-9a-f]{64}$/i.test(value)) return '"token_hash" must be a SHA-256 in hexadecimal'
    return { kind: 'token', value: value.toLowerCase(), expires: null }
  }
  if (value.length > longest.value) return `"${name}" must have at most ${longest.value} characters`
  return { kind: revocationKinds.find((kind) => names[kind] === name) ?? 'jti', value, expires: null }
}

/** Tokens die by themselves. A person or a key that is revoked stays so until somebody takes it back. */
function defaultExpiry(kind: RevocationKind, { now, tokenLifetime }: ItemRules): number {
  return kind === 'jti' || kind === 'token' ? now + tokenLifetime : 0
}

/** `exp` of a JWT; `null` for other tokens. Believed without a check: the hash is of this token only. */
function expiryOf(token: string): number | null {
  const parts = token.split('.')
  if (parts.length !== 3) return null
  try {
    const { exp } = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString()) as { exp?: unknown }
    return typeof exp === 'number' && Number.isFinite(exp) && exp > 0 ? Math.ceil(exp * 1000) : null
  } catch {
    return null
  }
}

const timeWords = 'must be a time such as 2030-01-31T12:00:00Z, or seconds since 1970'

function readTime(value: unknown): number | null {
  if (typeof value === 'number')
    return Number.isFinite(value) && value > 0 && value * 1000 < endOfTime ? Math.round(value * 1000) : null
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(value))
    return null
  const time = Date.parse(value)
  return time > 0 ? time : null
}

/** A revocation as it is shown, and written to a file. */
export function itemOf({ kind, value, at, expires, before, reason, removed }: Revocation): RevocationItem {
  return {
    [names[kind]]: value,
    ...(at <= unknownTime ? {} : { revoked_at: new Date(at).toISOString() }),
    ...(expires === 0 ? {} : { expires_at: new Date(expires).toISOString() }),
    ...(before === 0 ? {} : { issued_before: new Date(before).toISOString() }),
    ...(reason === '' ? {} : { reason }),
    ...(removed ? { removed: true as const } : {}),
  }
}
