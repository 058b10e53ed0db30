import { AddressSet, isAddress } from '../../core/address-set.ts'
import { reject } from '../../core/errors.ts'
import { definePlugin } from '../../core/plugin.ts'
import { type Config, schema } from './schema.ts'

/** Lets in, or keeps out, by client address. `deny` goes first, as with Kong. */
export const ipRestriction = definePlugin<Config>({
  name: 'ip-restriction',
  summary: 'Allows or denies client addresses.',
  class: 'security',
  priority: 990,
  phases: ['access'],
  schema,

  create({ allow, deny, status, message }) {
    const allowed = allow.length > 0 ? new AddressSet(allow) : null
    const denied = new AddressSet(deny)
    const refusal = reject('ip_forbidden', { status, ...(message === undefined ? {} : { message }) })

    return {
      access({ clientIp }) {
        if (denied.has(clientIp)) return refusal
        if (allowed !== null) return allowed.has(clientIp) ? undefined : refusal
        // An address that can't be read can't be on the list of the denied: it is refused.
        return isAddress(clientIp) ? undefined : refusal
      },
    }
  },
})
