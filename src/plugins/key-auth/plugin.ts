import { createSecretKey, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import { idOfKey, indexOfDigest, type KeyHash, keyedDigest, longestKey, matchesHash } from '../../core/api-key.ts'
import type { AccessContext } from '../../core/context.ts'
import { reject } from '../../core/errors.ts'
import { type Deps, definePlugin, type Steps, type Verdict } from '../../core/plugin.ts'
import { type ApiKeys, ApiKeysFault, type KeyAnswer, type StoredKey } from '../../core/services/api-keys.ts'
import { ConsumerIdentities, consumerHeaders, consumerIdentity, enter } from '../consumer-identity.ts'
import { ambiguous, CredentialReader, type CredentialSource } from '../credential.ts'
import { credentialSourceOf } from '../credential-fields.ts'
import { type Config, schema } from './schema.ts'
import { type StoredKeys, storedKeys } from './stored-keys.ts'

const provided = ['consumer'] as const
const injected = ['x-api-key-id', ...consumerHeaders]

/**
 * Knows callers by an API key. Keys are kept as hashes, found by the id within the key, or by a keyed digest where others have
 * made it: one look-up and one hash, of which SHA-256 takes half a microsecond, and a keyed one two.
 */
export const keyAuth = definePlugin<Config>({
  name: 'key-auth',
  summary: 'Knows callers by an API key.',
  class: 'security',
  priority: 1250,
  phases: ['access'],
  schema,
  authenticates: true,

  provides: ({ optional }) => (optional ? [] : provided),
  injects: () => injected,
  files: ({ file }) => (file === undefined ? [] : [file]),

  create(config, deps): Steps {
    const gate = new Gate(config, deps)
    return { access: (ctx) => gate.check(ctx), withhold: (ctx) => gate.withhold(ctx) }
  },
})

/** A key compared with this is as long on its way as one that is there. */
const nobodysHash: KeyHash = { salt: randomBytes(16).toString('hex'), digest: randomBytes(32) }
const nobodysKeyedHash: KeyHash = { salt: null, digest: randomBytes(32) }

class Gate {
  readonly #reader: CredentialReader
  readonly #stored: StoredKeys
  readonly #remote: ApiKeys | null
  readonly #salt: KeyObject | null
  readonly #hides: boolean
  readonly #missing: Verdict
  readonly #refusals: ReturnType<typeof refusalsOf>
  readonly #deps: Deps
  readonly #identities: ConsumerIdentities<StoredKey>

  constructor(config: Config, deps: Deps) {
    const sources = sourcesOf(config)
    const { redis, staleness, cache_entries: entries, salt, realm } = config
    this.#deps = deps
    this.#identities = new ConsumerIdentities(({ id, consumer, tier, tenant, scopes }) => {
      const proof = { id: consumer, tier, tenant, scopes, credential: id }
      return consumerIdentity(proof, ['x-api-key-id', id], deps.consumers)
    })
    this.#reader = new CredentialReader(sources)
    this.#salt = salt === undefined ? null : createSecretKey(Buffer.from(salt))
    this.#stored = storedKeys(config, deps)
    this.#remote = redis ? deps.services.apiKeys.open({ staleness, entries }) : null
    this.#hides = config.hide_credentials
    this.#refusals = refusalsOf(sources, realm)
    this.#missing = config.optional ? undefined : this.#refusals.missing
  }

  withhold(ctx: AccessContext): void {
    this.#reader.remove(ctx)
  }

  check(ctx: AccessContext): Verdict | Promise<Verdict> {
    const key = this.#reader.read(ctx)
    if (key === null || key === '') return this.#missing
    if (key === ambiguous) return this.#refusals.ambiguous
    if (key.length > longestKey) return this.#refusals.malformed

    let name = idOfKey(key)
    let digest: Buffer | null = null
    if (name === null) {
      if (this.#salt === null) return this.#refusals.malformed
      digest = keyedDigest(key, this.#salt)
      name = indexOfDigest(digest)
    }
    const stored = this.#stored.get(name)
    if (stored !== undefined || this.#remote === null) return this.#decide(ctx, key, digest, stored ?? null)
    const answer = this.#remote.find(name)
    return answer instanceof Promise ? this.#wait(ctx, key, digest, answer) : this.#decide(ctx, key, digest, answer)
  }

  async #wait(ctx: AccessContext, key: string, digest: Buffer | null, answer: Promise<KeyAnswer>): Promise<Verdict> {
    const stored = await answer
    return ctx.aborted ? undefined : this.#decide(ctx, key, digest, stored)
  }

  #decide(ctx: AccessContext, key: string, digest: Buffer | null, stored: KeyAnswer): Verdict {
    const refusals = this.#refusals
    if (stored instanceof ApiKeysFault) return stored.kind === 'overloaded' ? refusals.overloaded : refusals.unavailable
    const isRight = this.#matches(key, digest, stored)
    if (stored === null) return refusals.unknown
    if (!isRight) return refusals.wrong
    if (stored.status !== 'active') return refusals.disabled
    if (stored.expiresAt !== 0 && stored.expiresAt <= Date.now()) return refusals.expired
    const { revocations } = this.#deps.services
    if (revocations.has('key', stored.id) || revocations.has('consumer', stored.consumer)) return refusals.revoked
    const identity = this.#identities.of(stored)
    if (identity === null) return refusals.unsendable
    if (this.#hides) this.#reader.remove(ctx)
    enter(ctx, identity)
    return undefined
  }

  /** Takes the same way for a key that is not there. */
  #matches(key: string, digest: Buffer | null, stored: StoredKey | null): boolean {
    const hash = stored === null ? (digest === null ? nobodysHash : nobodysKeyedHash) : stored.hash
    if (hash.salt !== null) return matchesHash(key, hash)
    if (this.#salt === null) return false
    return timingSafeEqual(digest ?? keyedDigest(key, this.#salt), hash.digest)
  }
}

function sourcesOf({ from, key_names, key_in_header = true, key_in_query = false }: Config): CredentialSource[] {
  if (from !== undefined) return from.map(credentialSourceOf)
  const names = key_names ?? ['X-API-Key']
  return [
    ...(key_in_header ? names.map((header) => credentialSourceOf({ header })) : []),
    ...(key_in_query ? names.map((query) => credentialSourceOf({ query })) : []),
  ]
}

function refusalsOf([first]: readonly CredentialSource[], realm: string) {
  // There is no registered scheme for keys: this is Kong's.
  const scheme = first?.scheme === 'bearer' ? 'Bearer' : (first?.scheme ?? 'Key')
  const headers = ['www-authenticate', `${scheme} realm="${realm}"`]
  const invalid = (detail: string) => reject('credentials_invalid', { headers, detail })
  return {
    missing: reject('credentials_missing', { headers }),
    ambiguous: invalid('key_ambiguous'),
    malformed: invalid('key_malformed'),
    unknown: invalid('key_unknown'),
    wrong: invalid('key_wrong'),
    disabled: invalid('key_disabled'),
    expired: invalid('key_expired'),
    revoked: invalid('key_revoked'),
    unsendable: invalid('identity_unsendable'),
    unavailable: reject('auth_unavailable', { detail: 'keys_unavailable' }),
    overloaded: reject('auth_overloaded', { detail: 'too_many_keys' }),
  }
}
