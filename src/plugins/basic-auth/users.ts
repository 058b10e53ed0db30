import { createHash, randomBytes } from 'node:crypto'
import { type PasswordHash, parsePasswordHash } from '../../core/password.ts'
import { ConfigFault, type Deps, type Kept } from '../../core/plugin.ts'
import { parseEntries, readEntryFile } from '../entry-file.ts'
import type { KnownHash } from './passwords.ts'
import { type Config, type UserEntry, userEntry } from './schema.ts'

export interface User extends KnownHash {
  readonly name: string
  readonly isActive: boolean
  /** Id of the consumer that it is. */
  readonly consumer: string
}

/** Users by name. */
export type Users = ReadonlyMap<string, User>

/** The users of the configuration and of its file. */
export function usersOf({ users: entries, file }: Config, deps: Deps): Users {
  const users = new Map(entries.map((entry) => [normalName(entry), userOf(entry)]))
  if (file === undefined) return users
  const fromFile = readUsers(file, deps)
  if (fromFile.size === 0 && users.size === 0) throw new ConfigFault('there are no users in it', ['file'])
  // Routes with the same file share its users.
  if (users.size === 0) return fromFile
  for (const [name, user] of fromFile) {
    if (users.has(name)) throw new ConfigFault(`user "${name}" is there twice`, ['file'])
    users.set(name, user)
  }
  return users
}

function readUsers(file: string, deps: Deps): Users {
  const text = readEntryFile(file, deps.configDir)
  const digest = createHash('sha256').update(text).digest('base64')
  return deps.keep(`basic-auth ${digest}`, () => new UserFile(text)).users
}

class UserFile implements Kept {
  readonly users: Users

  constructor(text: string) {
    const users = new Map<string, User>()
    for (const { place, value } of parseEntries(text, userEntry)) {
      const name = normalName(value)
      if (users.has(name)) throw new ConfigFault(`${place}: user "${name}" is there twice`, ['file'])
      users.set(name, userOf(value))
    }
    this.users = users
  }

  close(): void {}
}

/** One name may be encoded in several ways (RFC 8265 §3.4). */
function normalName({ username }: UserEntry): string {
  return username.normalize('NFC')
}

function userOf({ username: name, password_hash: text, consumer = name, status }: UserEntry): User {
  return { name, text, hash: parsePasswordHash(text) as PasswordHash, isActive: status === 'active', consumer }
}

/**
 * What the password of a user who is not there is checked against: no password fits it, and it costs as much as that of a real
 * user. It is another one for each name, so that what is remembered of one does not give away that the next is nobody, too.
 */
export function nobodies(users: Users): (name: string) => KnownHash {
  const [first] = users.values() as IterableIterator<User>
  const like = (first as User).hash
  const hash = { ...like, salt: randomBytes(like.salt.length), digest: randomBytes(like.digest.length) }
  return (name) => ({ text: `nobody ${name}`, hash })
}
