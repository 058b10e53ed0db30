import { type Credentials, forgedCallers, keyCaller, tokenCallers } from './bed/credentials.ts'
import type { Caller, Kind } from './load/job.ts'
import { UsageError } from './options.ts'

/**
 * `usual`: reads with tokens, writes with an API key, requests of a consumer that goes beyond its limit, requests without
 * credentials. `even`: a route that comes and goes with reloads. `forged`: bad tokens, in the phase `flood` only.
 */
export type KindName = 'usual' | 'even' | 'forged'

/** Share of the requests of the consumer `trial` among the usual ones. */
const trialShare = 0.05

/** Of what it asks for, `trial` gets half. */
export function trialLimitOf(rate: number): number {
  return Math.max(1, Math.round((rate * trialShare) / 2))
}

/** What a client sends to be taken for somebody else: the gateway must drop it. */
const nobody: Caller = { name: '', headers: 'x-user-id: intruder\r\nx-consumer-id: intruder\r\n' }

const plain = {
  method: 'GET',
  phase: null,
  expects: [200],
  refusable: false,
  echoed: true,
  background: false,
  evenOnly: false,
} as const

/** The requests for a gateway of our own. `refusable`: whether all of them may be refused. */
export function ownKinds(names: readonly KindName[], credentials: Credentials, refusable: boolean): Kind[] {
  const { tokens, shop, trial } = credentials
  const kinds: Record<KindName, readonly Kind[]> = {
    usual: [
      { ...plain, name: 'users', path: '/api/users/{n}', callers: tokenCallers(tokens), share: 60 },
      {
        ...plain,
        name: 'orders',
        method: 'POST',
        path: '/api/orders/{n}',
        callers: [keyCaller(shop)],
        share: 20,
        expects: [201],
      },
      {
        ...plain,
        name: 'trial',
        path: '/api/trial/{n}',
        callers: [keyCaller(trial)],
        share: 100 * trialShare,
        refusable: true,
      },
      { ...plain, name: 'open', path: '/open/{n}', callers: [nobody], share: 15 },
    ],
    even: [
      { ...plain, name: 'even', path: '/even/{n}', callers: [nobody], share: 10, expects: [200, 404], evenOnly: true },
    ],
    forged: [
      {
        ...plain,
        name: 'forged',
        path: '/api/users/{n}',
        callers: forgedCallers(tokens),
        share: 200,
        phase: 'flood',
        expects: [401],
        refusable: true,
        background: true,
      },
    ],
  }
  return names.flatMap((name) => kinds[name]).map((kind) => (refusable ? { ...kind, refusable } : kind))
}

/** What is asked of somebody else's gateway. */
export interface Asked {
  readonly paths: readonly string[]
  /** `Name: value`, sent with every request. */
  readonly headers: readonly string[]
  /** Values of Authorization, in turns. */
  readonly credentials: readonly string[]
}

/** The requests for somebody else's gateway. Throws a `UsageError` when there is nothing to make them of. */
export function foreignKinds(names: readonly KindName[], asked: Asked, refusable: boolean): Kind[] {
  const lines = asked.headers.map((header) => `${header}\r\n`).join('')
  const credentials = asked.credentials.map((credential) => `authorization: ${credential}\r\n`)
  const callers = (credentials.length === 0 ? [''] : credentials).map((line) => ({ name: '', headers: lines + line }))
  const foreign = { ...plain, expects: [], echoed: false, refusable, callers }
  const kinds: Kind[] = asked.paths.map((path, i) => ({ ...foreign, name: `path ${i + 1}`, path, share: 1 }))
  if (!names.includes('forged')) return kinds
  const tokens = asked.credentials.flatMap(
    (credential) => /^Bearer +([\w-]+\.[\w-]+\.[\w-]{40,})$/i.exec(credential)?.[1] ?? [],
  )
  if (tokens.length === 0) throw new UsageError('a flood needs tokens to forge: name a file of them with --credentials')
  const forged = { ...foreign, callers: forgedCallers(tokens), expects: [401], refusable: true, background: true }
  return [
    ...kinds,
    { ...forged, name: 'forged', path: asked.paths[0] as string, share: 2 * kinds.length, phase: 'flood' },
  ]
}
