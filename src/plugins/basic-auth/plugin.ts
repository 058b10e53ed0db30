import { createHash, randomBytes } from 'node:crypto'
import type { AccessContext } from '../../core/context.ts'
import { reject } from '../../core/errors.ts'
import { type PasswordHash, parsePasswordHash } from '../../core/password.ts'
import { ConfigFault, type Deps, definePlugin, type Steps, type Verdict } from '../../core/plugin.ts'
import { type ConsumerIdentity, consumerHeaders, consumerIdentity, enter } from '../consumer-identity.ts'
import { ambiguous, CredentialReader } from '../credential.ts'
import { parseEntries, readEntryFile } from '../entry-file.ts'
import { readBasic } from './credentials.ts'
import { type KnownHash, type PasswordAnswer, Passwords } from './passwords.ts'
import { type Config, schema, type UserEntry, userEntry } from './schema.ts'

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
    return { access: (ctx) => gate.check(ctx) }
  },
})

interface User extends KnownHash {
  readonly isActive: boolean
  readonly consumer: string
  /** `null`: can't be told in headers. */
  readonly identity: ConsumerIdentity | null
}

class Gate {
  readonly #reader = new CredentialReader([{ in: 'header', name: 'authorization', scheme: 'basic' }])
  readonly #users: ReadonlyMap<string, User>
  readonly #nobody: KnownHash
  readonly #passwords: Passwords
  readonly #age: number
  readonly #hides: boolean
  readonly #missing: Verdict
  readonly #refusals: ReturnType<typeof refusalsOf>
  readonly #revocations: Deps['services']['revocations']

  constructor(config: Config, deps: Deps) {
    this.#users = usersOf(config, deps)
    this.#nobody = nobodyLike(this.#users)
    this.#passwords = deps.keep('basic-auth', () => new Passwords())
    this.#age = config.cache_ttl
    this.#hides = config.hide_credentials
    this.#refusals = refusalsOf(config.realm)
    this.#missing = config.optional ? undefined : this.#refusals.missing
    this.#revocations = deps.services.revocations
  }

  check(ctx: AccessContext): Verdict | Promise<Verdict> {
    const text = this.#reader.read(ctx)
    if (text === null) return this.#missing
    const credentials = text === ambiguous ? null : readBasic(text)
    if (credentials === null) return this.#refusals.malformed
    const user = this.#users.get(credentials.username)
    // Whether there is such a user must not show by how long it takes.
    const answer = this.#passwords.check(credentials.password, user ?? this.#nobody, this.#age)
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
    if (this.#revocations.has('consumer', user.consumer)) return refusals.revoked
    if (user.identity === null) return refusals.unsendable
    if (this.#hides) this.#reader.remove(ctx)
    enter(ctx, user.identity)
    return undefined
  }
}

function usersOf({ users: entries, file }: Config, deps: Deps): ReadonlyMap<string, User> {
  const users = new Map<string, User>()
  for (const entry of entries) users.set(nameOf(entry), userOf(entry, deps))
  if (file === undefined) return users
  for (const { place, value } of parseEntries(readEntryFile(file, deps.configDir), userEntry)) {
    const name = nameOf(value)
    if (users.has(name)) throw new ConfigFault(`${place}: user "${name}" is there twice`, ['file'])
    users.set(name, userOf(value, deps))
  }
  return users
}

/** One name may be encoded in several ways (RFC 8265 §3.4). */
function nameOf({ username }: UserEntry): string {
  return username.normalize('NFC')
}

function userOf(entry: UserEntry, { consumers }: Deps): User {
  const { username, password_hash: text, consumer = username } = entry
  return {
    text,
    hash: parsePasswordHash(text) as PasswordHash,
    isActive: entry.status === 'active',
    consumer,
    identity: consumerIdentity({ id: consumer, credential: username }, ['x-user-id', username], consumers),
  }
}

/** A hash that no password fits, and that costs as much as those of real users. */
function nobodyLike(users: ReadonlyMap<string, User>): KnownHash {
  const [first] = users.values()
  if (first === undefined) throw new ConfigFault('the file has no users', ['file'])
  const text = `nobody ${createHash('sha256').update(first.text).digest('hex')}`
  return { text, hash: { ...first.hash, salt: randomBytes(16), digest: randomBytes(first.hash.digest.length) } }
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
