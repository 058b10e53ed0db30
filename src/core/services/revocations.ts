/** What can be revoked before its time. */
export type RevocationKind = 'jti' | 'sub' | 'token' | 'key' | 'consumer'

export const revocationKinds: readonly RevocationKind[] = ['jti', 'sub', 'token', 'key', 'consumer']

/**
 * Credentials that are dead though they look good. Every worker has the whole list in memory: to ask costs a look into a
 * map. It is the same on all nodes that share a Redis.
 */
export interface Revocations {
  /** Changes whenever something is added or removed: who caches "not revoked" compares it. */
  readonly generation: number
  /**
   * `value`: the claim, the lower-case hex SHA-256 of the whole token, the id of an API key, or of a consumer. `issuedAt`:
   * when the credential was issued, in milliseconds since the epoch; some revocations are only meant for what was issued
   * before a moment, and for all whose age is not known.
   */
  has(kind: RevocationKind, value: string, issuedAt?: number): boolean
}
