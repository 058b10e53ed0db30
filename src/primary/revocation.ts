import { type RevocationKind, revocationKinds } from '../core/services/revocations.ts'

/** Something revoked, or no more so. All times are milliseconds since the epoch. */
export interface Revocation {
  readonly kind: RevocationKind
  readonly value: string
  /** When this was decided: of two that are about the same the later one counts. */
  readonly at: number
  /** When it is forgotten; 0: never. */
  readonly expires: number
  /** Meant for what was issued before that; 0: for all. */
  readonly before: number
  readonly reason: string
  /** It was revoked and is no more. Kept for a while, so that a node that was away does not bring it back. */
  readonly removed: boolean
}

/** What names a revocation. */
export type Field = string

export function fieldOf(kind: RevocationKind, value: string): Field {
  return `${kind}:${value}`
}

/** Whether a credential is dead by it at that time. */
export function isInForce({ removed, expires }: Revocation, now: number): boolean {
  return !removed && (expires === 0 || expires > now)
}

/** What follows the time of decision in Redis. Scripts read the first two numbers. */
export function packed({ expires, before, removed, reason }: Revocation): string {
  return `${expires} ${before} ${removed ? 1 : 0} ${reason}`
}

/** A revocation as Redis has it; `null` when it is of a kind or form that this version does not know. */
export function unpacked(field: string, text: string): Revocation | null {
  const colon = field.indexOf(':')
  const kind = revocationKinds.find((known) => known === field.slice(0, colon))
  const match = /^(\d+) (\d+) (\d+) ([01]) ?(.*)$/s.exec(text)
  if (kind === undefined || match === null) return null
  const [, at, expires, before, removed, reason = ''] = match
  return {
    kind,
    value: field.slice(colon + 1),
    at: Number(at),
    expires: Number(expires),
    before: Number(before),
    reason,
    removed: removed === '1',
  }
}
