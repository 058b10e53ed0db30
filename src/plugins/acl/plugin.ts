import type { Consumer } from '../../core/context.ts'
import { type Rejection, reject } from '../../core/errors.ts'
import { definePlugin, type Steps } from '../../core/plugin.ts'
import { type Config, type Lists, schema } from './schema.ts'

const required = ['consumer'] as const

/** Lets in, or keeps out, by what is known of the consumer. Why somebody is refused stands in the access log only. */
export const acl = definePlugin<Config>({
  name: 'acl',
  summary: 'Allows or denies consumers, groups, roles and scopes.',
  class: 'security',
  priority: 950,
  phases: ['access'],
  schema,
  requires: () => required,

  create({ allow, deny, scopes, scopes_match }): Steps {
    const needsAll = scopes_match === 'all'
    // RFC 6750 §3.1: who came with a token learns what it lacks.
    const challenge = ['www-authenticate', `Bearer error="insufficient_scope", scope="${scopes.join(' ')}"`]
    const inScope = reject('access_denied', { detail: 'scope_missing' })
    const inScopeOfToken = reject('access_denied', { detail: 'scope_missing', headers: challenge })

    return {
      access({ consumer, claims }) {
        if (consumer === null) return unknown
        if (deny !== undefined) {
          const list = listOf(consumer, deny)
          if (list !== null) return denied[list]
        }
        if (allow !== undefined && listOf(consumer, allow) === null) return notAllowed
        if (scopes.length === 0 || (needsAll ? hasAll(consumer.scopes, scopes) : hasAny(consumer.scopes, scopes)))
          return undefined
        return claims === null ? inScope : inScopeOfToken
      },
    }
  },
})

const unknown = reject('access_denied', { detail: 'consumer_unknown' })
const notAllowed = reject('access_denied', { detail: 'not_on_allow_list' })
const denied: Readonly<Record<keyof Lists, Rejection>> = {
  consumers: reject('access_denied', { detail: 'consumer_denied' }),
  groups: reject('access_denied', { detail: 'group_denied' }),
  roles: reject('access_denied', { detail: 'role_denied' }),
  scopes: reject('access_denied', { detail: 'scope_denied' }),
}

/** Which of the lists has the consumer on it; `null`: none. */
function listOf(consumer: Consumer, { consumers, groups, roles, scopes }: Lists): keyof Lists | null {
  if (consumers.includes(consumer.id)) return 'consumers'
  if (hasAny(consumer.groups, groups)) return 'groups'
  if (hasAny(consumer.roles, roles)) return 'roles'
  return hasAny(consumer.scopes, scopes) ? 'scopes' : null
}

function hasAny(owned: readonly string[], wanted: readonly string[]): boolean {
  for (let i = 0; i < wanted.length; i++) if (owned.includes(wanted[i] as string)) return true
  return false
}

function hasAll(owned: readonly string[], wanted: readonly string[]): boolean {
  for (let i = 0; i < wanted.length; i++) if (!owned.includes(wanted[i] as string)) return false
  return true
}
