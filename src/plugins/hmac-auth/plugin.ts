import type { InnerList } from 'structured-headers'
import type { AccessContext } from '../../core/context.ts'
import { type Rejection, reject } from '../../core/errors.ts'
import { type Deps, definePlugin, type Steps, type Verdict } from '../../core/plugin.ts'
import { ConsumerIdentities, consumerHeaders, consumerIdentity, enter } from '../consumer-identity.ts'
import { type ClientKey, clientKeys } from './client-keys.ts'
import { coverage } from './requirements.ts'
import { type Config, schema } from './schema.ts'
import { readSignatures, removeSignature, type Signature } from './signatures.ts'
import { signedText } from './signed-text.ts'

const provided = ['consumer'] as const

/**
 * Knows callers by what they sign: HTTP message signatures (RFC 9421), with shared secrets or public keys. Nobody on the way can
 * change what is signed, or make another request of it.
 *
 * The body is none of what is checked here: a signature covers its digest, and who reads the body compares the two.
 */
export const hmacAuth = definePlugin<Config>({
  name: 'hmac-auth',
  summary: 'Knows callers by the signature of their requests (RFC 9421).',
  class: 'security',
  priority: 1030,
  phases: ['access'],
  schema,
  authenticates: true,

  provides: ({ optional }) => (optional ? [] : provided),
  injects: () => consumerHeaders,
  files: ({ keys }) => keys.flatMap(({ public_key }) => (typeof public_key === 'object' ? [public_key.file] : [])),

  create(config, deps): Steps {
    const gate = new Gate(config, deps)
    return { access: (ctx) => gate.check(ctx) }
  },
})

class Gate {
  readonly #config: Config
  readonly #keys: ReadonlyMap<string, ClientKey>
  readonly #covers: ReturnType<typeof coverage>
  readonly #missing: Verdict
  readonly #refusals: Refusals
  readonly #identities: ConsumerIdentities<ClientKey>
  readonly #revocations: Deps['services']['revocations']

  constructor(config: Config, { configDir, consumers, services }: Deps) {
    this.#config = config
    this.#keys = clientKeys(config.keys, configDir)
    this.#covers = coverage(config.required)
    this.#refusals = new Refusals(config)
    this.#missing = config.optional ? undefined : this.#refusals.missing
    this.#revocations = services.revocations
    this.#identities = new ConsumerIdentities(({ id, consumer, tier, scopes }) =>
      consumerIdentity({ id: consumer, tier, scopes, credential: id }, [], consumers),
    )
  }

  check(ctx: AccessContext): Verdict {
    const signatures = readSignatures(ctx.headers)
    if (signatures === null) return this.#missing
    if (typeof signatures === 'string') return this.#refusals.of(signatures)
    const { tag, hide_credentials } = this.#config
    let refusal = this.#missing
    for (const signature of signatures.list) {
      if (tag !== undefined && signature.signed[1].get('tag') !== tag) continue
      const key = this.#keyOf(ctx, signature)
      const identity = typeof key === 'string' ? null : this.#identities.of(key)
      if (typeof key !== 'string' && identity !== null) {
        if (hide_credentials) removeSignature(ctx.headers, signature.label, signatures)
        enter(ctx, identity)
        return undefined
      }
      refusal = this.#refusals.of(typeof key === 'string' ? key : 'identity_unsendable')
    }
    return refusal
  }

  /** The key that a signature was made with; in a word for the log why it does not count. */
  #keyOf(ctx: AccessContext, { signed, value }: Signature): ClientKey | string {
    const parameters = signed[1]
    const key = this.#keys.get(parameters.get('keyid') as string)
    if (key === undefined) return 'key_unknown'
    const algorithm = parameters.get('alg')
    if (algorithm !== undefined && algorithm !== key.algorithm) return 'algorithm_mismatch'
    const fault = this.#timeFault(parameters)
    if (fault !== null) return fault
    if (!this.#covers(ctx, signed[0])) return 'component_not_covered'
    const text = signedText(ctx, signed)
    if (text === null) return 'component_not_there'
    if (!key.verify(Buffer.from(text), value, key.key)) return 'signature_wrong'
    if (!key.isActive) return 'key_disabled'
    const isRevoked = this.#revocations.has('key', key.id) || this.#revocations.has('consumer', key.consumer)
    return isRevoked ? 'key_revoked' : key
  }

  #timeFault(parameters: InnerList[1]): string | null {
    const { max_age, clock_skew } = this.#config
    const created = parameters.get('created')
    const expires = parameters.get('expires')
    const now = Date.now()
    if (typeof created !== 'number' || !Number.isInteger(created)) return 'created_missing'
    if (created * 1000 > now + clock_skew) return 'created_in_future'
    if (created * 1000 + max_age + clock_skew < now) return 'signature_too_old'
    if (expires === undefined) return null
    if (typeof expires !== 'number' || !Number.isInteger(expires)) return 'signature_malformed'
    return expires * 1000 + clock_skew < now ? 'signature_expired' : null
  }
}

/** What refused requests are told: what a signature has to be like (RFC 9421 §5), and in the log what is wrong with this one. */
class Refusals {
  readonly missing: Rejection
  readonly #headers: readonly string[]
  readonly #made = new Map<string, Rejection>()

  constructor({ realm, required, tag }: Config) {
    const wanted = `sig=(${required.map((name) => `"${name}"`).join(' ')});created;keyid`
    const accepted = tag === undefined ? wanted : `${wanted};tag="${tag}"`
    this.#headers = ['www-authenticate', `Signature realm="${realm}"`, 'accept-signature', accepted]
    this.missing = reject('credentials_missing', { headers: this.#headers })
  }

  /** There are as many as there are words for the log. */
  of(detail: string): Rejection {
    let refusal = this.#made.get(detail)
    if (refusal === undefined) {
      refusal = reject('credentials_invalid', { headers: this.#headers, detail })
      this.#made.set(detail, refusal)
    }
    return refusal
  }
}
