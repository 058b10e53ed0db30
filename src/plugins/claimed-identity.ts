import type { Consumer } from '../core/context.ts'
import type { HeaderList } from '../core/headers.ts'
import type { KnownConsumer } from '../core/plugin.ts'
import { type Claims, TokenFault } from '../core/services/tokens.ts'
import { claimAt, claimPath, firstClaim, wordOf, wordsOf } from './claims.ts'
import { addIdentity, consumerOf } from './identity.ts'

/** How the claims of a token are understood, as plugins are told in their configuration. */
export interface ClaimMeanings {
  readonly consumer_claim: string | readonly string[]
  readonly tenant_claim: string | readonly string[]
  readonly roles_claim: string | readonly string[]
  readonly groups_claim: string | readonly string[]
  readonly scope_claim: string | readonly string[]
  readonly claims_to_headers?: Readonly<Record<string, string>> | undefined
  /** Scopes that are asked for. */
  readonly scopes: readonly string[]
}

/** Who sent a token, found out once and used for every request that brings it. */
export interface Identity {
  readonly consumer: Consumer
  /** What the upstream is told of it. */
  readonly headers: HeaderList
  /** Whether it has all the scopes that are asked for. */
  readonly inScope: boolean
}

export type Identify = (claims: Claims, known: ReadonlyMap<string, KnownConsumer>) => Identity | TokenFault

/** Headers that tell the upstream who calls where the configuration does not say which. Lower-case. */
export const usualHeaders: readonly string[] = [
  'x-user-id',
  'x-user-role',
  'x-user-roles',
  'x-user-scopes',
  'x-tenant-id',
]

const nameless = new TokenFault('invalid', 'consumer_claim_missing')
const notSendable = new TokenFault('invalid', 'claim_not_sendable')

/** Makes the function that finds out who sent a token from its claims, and from what is known of such a consumer. */
export function identifying(config: ClaimMeanings): Identify {
  const paths = (names: string | readonly string[]) => (typeof names === 'string' ? [names] : names).map(claimPath)
  const consumerClaim = paths(config.consumer_claim)
  const tenantClaim = paths(config.tenant_claim)
  const rolesClaim = paths(config.roles_claim)
  const groupsClaim = paths(config.groups_claim)
  const scopeClaim = paths(config.scope_claim)
  const mapped =
    config.claims_to_headers === undefined
      ? null
      : Object.entries(config.claims_to_headers).map(([name, header]) => ({ path: claimPath(name), header }))
  const { scopes } = config

  return (claims, known) => {
    const id = wordOf(firstClaim(claims, consumerClaim))
    if (id === null) return nameless
    const consumer = consumerOf(
      {
        id,
        tenant: wordOf(firstClaim(claims, tenantClaim)),
        roles: wordsOf(firstClaim(claims, rolesClaim)),
        groups: wordsOf(firstClaim(claims, groupsClaim)),
        scopes: wordsOf(firstClaim(claims, scopeClaim)),
      },
      known,
    )
    const headers: HeaderList = []
    const areSendable =
      mapped === null
        ? addUsual(headers, consumer, claims)
        : mapped.every(({ path, header }) => addIdentity(headers, header, claimAt(claims, path)))
    if (!areSendable) return notSendable
    return { consumer, headers, inScope: scopes.every((scope) => consumer.scopes.includes(scope)) }
  }
}

function addUsual(headers: HeaderList, { id, roles, scopes, tenant }: Consumer, claims: Claims): boolean {
  return (
    addIdentity(headers, 'x-user-id', id) &&
    addIdentity(headers, 'x-user-role', wordOf(claims['role'])) &&
    addIdentity(headers, 'x-user-roles', roles) &&
    addIdentity(headers, 'x-user-scopes', scopes.join(' ')) &&
    addIdentity(headers, 'x-tenant-id', tenant)
  )
}
