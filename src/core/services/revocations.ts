/** What can be revoked before its time. */
export type RevocationKind = 'jti' | 'sub' | 'token' | 'key' | 'consumer'

/**
 * Credentials that are dead though they look good. Every worker has the whole list in memory: to ask costs a look into a
 * set. It is the same on all nodes that share a Redis.
 */
export interface Revocations {
  /** Changes whenever something is added or removed: who caches "not revoked" compares it. */
  readonly generation: number
  /** `value`: the claim, the lower-case hex SHA-256 of the whole token, the id of an API key, or of a consumer. */
  has(kind: RevocationKind, value: string): boolean
}
