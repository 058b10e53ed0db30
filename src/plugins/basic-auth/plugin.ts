import type { AccessContext } from '../../core/context.ts'
import { reject } from '../../core/errors.ts'
import { type Deps, definePlugin, type Steps, type Verdict } from '../../core/plugin.ts'
import { ConsumerIdentities, consumerHeaders, consumerIdentity, enter } from '../consumer-identity.ts'
import { ambiguous, CredentialReader } from '../credential.ts'
import { readBasic } from './credentials.ts'
import { type KnownHash, type PasswordAnswer, Passwords } from './passwords.ts'
import { type Config, schema } from './schema.ts'
import { nobodies, type User, type Users, usersOf } from './users.ts'

const provided = ['consumer'] as const
const injected = ['x-user-id', ...consumerHeaders]

/** Knows callers by user and password (RFC 7617). Passwords are kept as slow hashes, which are checked on other threads. */
export const basicAuth = definePlugin<Config>({
  name: 'basic-auth',
  summary: 'Knows callers by user and password.',
  class: 'security',
  priority: 1100,
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

class Gate {
  readonly #reader = new CredentialReader([{ in: 'header', name: 'authorization', scheme: 'basic' }])
  readonly #users: Users
  readonly #nobody: (name: string) => KnownHash
  readonly #passwords: Passwords
  readonly #age: number
  readonly #hides: boolean
  readonly #missing: Verdict
  readonly #refusals: ReturnType<typeof refusalsOf>
  readonly #deps: Deps
  readonly #identities: ConsumerIdentities<User>

  constructor(config: Config, deps: Deps) {
    this.#users = usersOf(config, deps)
    this.#nobody = nobodies(this.#users)
    this.#passwords = deps.keep('basic-auth', () => new Passwords(deps.services.instruments))
    this.#age = config.cache_ttl
    this.#hides = config.hide_credentials
    this.#refusals = refusalsOf(config.realm)
    this.#missing = config.optional ? undefined : this.#refusals.missing
    this.#deps = deps
    this.#identities = new ConsumerIdentities(({ name, consumer }) =>
      consumerIdentity({ id: consumer, credential: name }, ['x-user-id', name], deps.consumers),
    )
  }

  withhold(ctx: AccessContext): void {
    this.#reader.remove(ctx)
  }

  check(ctx: AccessContext): Verdict | Promise<Verdict> {
    const text = this.#reader.read(ctx)
    if (text === null) return this.#missing
    const credentials = text === ambiguous ? null : readBasic(text)
    if (credentials === null) return this.#refusals.malformed
    const { username, password } = credentials
    const user = this.#users.get(username)
    // Whether there is such a user must not show by how long it takes.
    const answer = this.#passwords.check(password, user ?? this.#nobody(username), this.#age)
    return typeof answer === 'object' ? this.#wait(ctx, user, answer) : this.#decide(ctx, user, answer)
  }

  async #wait(ctx: AccessContext, user: User | undefined, answer: Promise<PasswordAnswer>): Promise<Verdict> {
    const isRight = await answer
    return ctx.aborted ? undefined : this.#decide(ctx, user, isRight)
  }

  #decide(ctx: AccessContext, user: User | undefined, answer: PasswordAnswer): Verdict {
    const refusals = this.#refusals
    if (answer === 'overloaded') return refusals.overloaded
    if (user === undefined) return refusals.unknown
    if (!answer) return refusals.wrong
    if (!user.isActive) return refusals.disabled
    if (this.#deps.services.revocations.has('consumer', user.consumer)) return refusals.revoked
    const identity = this.#identities.of(user)
    if (identity === null) return refusals.unsendable
    if (this.#hides) this.#reader.remove(ctx)
    enter(ctx, identity)
    return undefined
  }
}

function refusalsOf(realm: string) {
  const headers = ['www-authenticate', `Basic realm="${realm}", charset="UTF-8"`]
  const invalid = (detail: string) => reject('credentials_invalid', { headers, detail })
  return {
    missing: reject('credentials_missing', { headers }),
    malformed: invalid('basic_malformed'),
    unknown: invalid('user_unknown'),
    wrong: invalid('password_wrong'),
    disabled: invalid('user_disabled'),
    revoked: invalid('consumer_revoked'),
    unsendable: invalid('identity_unsendable'),
    overloaded: reject('auth_overloaded', { detail: 'too_many_passwords' }),
  }
}
