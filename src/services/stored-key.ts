import { parseExpiry, parseKeyHash } from '../core/api-key.ts'
import type { StoredKey } from '../core/services/api-keys.ts'

/** Fields of the hash that Redis keeps of a key, in the order in which they are read. */
export const storedFields = ['id', 'hash', 'consumer', 'tier', 'tenant', 'scopes', 'expires', 'status'] as const

export type StoredFields = readonly (string | null)[]

/**
 * The key of what stands in those fields. `null` when none of them is there: there is no such key. In words what is wrong
 * with them: such a key opens nothing.
 *
 * `expires` is a time of ISO 8601 with its zone, or seconds since the epoch; `scopes` are separated by spaces. An empty field
 * counts as none. `name` is the key's id where the hash has no field of its own for it.
 */
export function storedKeyOf(name: string, fields: StoredFields): StoredKey | null | string {
  if (fields.every((value) => value === null)) return null
  const [id, hashText, consumer, tier, tenant, scopes, expires, status] = fields.map((value) => value || null)
  const hash = parseKeyHash(hashText ?? '')
  if (hash === null) return 'its "hash" is none that "sluice hash-key" makes'
  if (!consumer) return 'it has no "consumer"'
  if (status && status !== 'active' && status !== 'disabled') return 'its "status" is neither active nor disabled'
  const expiresAt = expires ? parseExpiry(expires) : 0
  if (expiresAt === null) return 'its "expires" is no time'
  return {
    id: id ?? name,
    consumer,
    tier: tier ?? null,
    tenant: tenant ?? null,
    scopes: scopes ? scopes.split(' ').filter((scope) => scope !== '') : null,
    expiresAt,
    status: status === 'disabled' ? 'disabled' : 'active',
    hash,
  }
}
