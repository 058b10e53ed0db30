import type { AccessContext, Consumer } from '../core/context.ts'
import { type HeaderList, hasHeader } from '../core/headers.ts'
import type { KnownConsumer } from '../core/plugin.ts'
import { addIdentity, consumerOf, type Proof } from './identity.ts'

/** Who has proved to be a consumer by a credential that is not a token, and what the upstream is told. */
export interface ConsumerIdentity {
  readonly consumer: Consumer
  /** Flat. Those that tell of the credential come first: the rest goes out only where it is the one that names the consumer. */
  readonly headers: HeaderList
  readonly ownLength: number
}

/** Headers by which the upstream is told of a consumer, besides those of its credential. */
export const consumerHeaders: readonly string[] = ['x-consumer-id', 'x-tenant-id', 'x-user-roles', 'x-user-scopes']

/**
 * The consumer of a credential, with what its headers say: those in `own` (flat), its id, and what is known of it. `null` when
 * something of that can't stand in a header as it is.
 */
export function consumerIdentity(
  proof: Proof,
  own: readonly string[],
  known: ReadonlyMap<string, KnownConsumer>,
): ConsumerIdentity | null {
  const consumer = consumerOf(proof, known)
  const headers: HeaderList = []
  for (let i = 0; i < own.length; i += 2) if (!addIdentity(headers, own[i] as string, own[i + 1])) return null
  if (!addIdentity(headers, 'x-consumer-id', consumer.id)) return null
  const ownLength = headers.length
  const isSendable =
    addIdentity(headers, 'x-tenant-id', consumer.tenant) &&
    addIdentity(headers, 'x-user-roles', consumer.roles) &&
    addIdentity(headers, 'x-user-scopes', consumer.scopes.join(' '))
  return isSendable ? { consumer, headers, ownLength } : null
}

/** Lets a request in as that consumer. Where another credential has named one already, it stays; so do its headers. */
export function enter(ctx: AccessContext, { consumer, headers, ownLength }: ConsumerIdentity): void {
  const isFirst = ctx.consumer === null
  const length = isFirst ? headers.length : ownLength
  for (let i = 0; i < length; i += 2) {
    const name = headers[i] as string
    if (isFirst || !hasHeader(ctx.headers, name)) ctx.headers.push(name, headers[i + 1] as string)
  }
  if (isFirst) ctx.consumer = consumer
}

/** The identities of credentials, each made when it is first used. */
export class ConsumerIdentities<Credential extends object> {
  readonly #made = new WeakMap<Credential, ConsumerIdentity | null>()
  readonly #make: (credential: Credential) => ConsumerIdentity | null

  /** `make` gives `null` for who can't be told of in headers. */
  constructor(make: (credential: Credential) => ConsumerIdentity | null) {
    this.#make = make
  }

  of(credential: Credential): ConsumerIdentity | null {
    let identity = this.#made.get(credential)
    if (identity === undefined) {
      identity = this.#make(credential)
      this.#made.set(credential, identity)
    }
    return identity
  }
}
