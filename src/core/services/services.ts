import { ConfigFault } from '../plugin.ts'
import type { ApiKeyStores } from './api-keys.ts'
import type { HttpServices } from './http.ts'
import { type Instruments, noInstruments } from './instruments.ts'
import type { KeySets } from './key-sets.ts'
import type { LimitStores } from './limits.ts'
import type { Revocations } from './revocations.ts'
import type { TokenVerifiers } from './tokens.ts'

/** What lives longer than a snapshot and is handed to plugins. */
export interface Services {
  readonly http: HttpServices
  readonly keySets: KeySets
  readonly tokens: TokenVerifiers
  readonly revocations: Revocations
  readonly apiKeys: ApiKeyStores
  readonly limits: LimitStores
  readonly instruments: Instruments
}

function atRest(): never {
  throw new Error('a configuration that is only checked serves no requests')
}

/** For where a configuration is only checked: everything opens, nothing runs. */
export const servicesAtRest: Services = {
  http: { open: () => ({ call: atRest }) },
  keySets: { open: () => ({ find: atRest, empty: true }) },
  tokens: { open: () => ({ verify: atRest }) },
  revocations: { generation: 0, has: atRest },
  apiKeys: { open: () => ({ find: atRest }) },
  limits: { open: () => ({ admit: atRest, release: atRest }) },
  instruments: noInstruments,
}

/** The same where the configuration names no Redis: what needs one is refused. */
export const servicesWithoutRedis: Services = {
  ...servicesAtRest,
  apiKeys: { open: refuseRedis },
  limits: { open: (settings) => (settings.store === 'node' ? servicesAtRest.limits.open(settings) : refuseRedis()) },
}

/** Throws the fault of a plugin that needs Redis in a configuration without it. */
export function refuseRedis(): never {
  throw new ConfigFault('needs Redis, but the top level has no "redis"')
}
