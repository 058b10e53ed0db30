import { hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { type PasswordHash, verifyPassword } from '../../core/password.ts'
import type { Kept } from '../../core/plugin.ts'
import type { Counter, Instruments } from '../../core/services/instruments.ts'

/** A hash with the text that it was read from. */
export interface KnownHash {
  readonly text: string
  readonly hash: PasswordHash
}

/** Whether it is the password; `overloaded` when too many wait to be checked. */
export type PasswordAnswer = boolean | 'overloaded'

/** Threads of libuv's pool that check passwords; it has four, and files and names need some, too. */
const threads = 2
/** Passwords that may wait for a thread: for some seconds. */
const longestQueue = 32
const mostRight = 50_000
/** Wrong ones are kept apart: who tries them must not push right ones out. */
const mostWrong = 10_000
/** Milliseconds for which a wrong password is known to be wrong. */
const wrongAge = 60_000

/**
 * Checks passwords against their hashes, and remembers what came of it. That a password fits a hash stays true, whatever
 * becomes of the user: so what is remembered outlives reloads, and who is no user any more is out at once all the same.
 *
 * It is remembered under a SHA-256 with a key that only this process has: what could be read from its memory tells nobody the
 * passwords, not even by trying.
 */
export class Passwords implements Kept {
  readonly #secret = randomBytes(32).toString('base64')
  /** `Date.now()` when it was checked. */
  readonly #right = new LRUCache<string, number>({ max: mostRight })
  readonly #wrong = new LRUCache<string, number>({ max: mostWrong })
  readonly #pending = new Map<string, Promise<PasswordAnswer>>()
  readonly #waiting: (() => void)[] = []
  readonly #counts: Readonly<Record<'right' | 'wrong' | 'remembered' | 'overloaded', Counter>>
  #running = 0

  constructor(instruments: Instruments) {
    const counter = (result: string): Counter =>
      instruments.counter('sluice_password_checks_total', 'Passwords of basic-auth.', ['result', result])
    this.#counts = {
      right: counter('right'),
      wrong: counter('wrong'),
      remembered: counter('remembered'),
      overloaded: counter('overloaded'),
    }
  }

  /** At once when it was checked less than `age` milliseconds ago. Takes the same way for whatever password. */
  check(password: string, known: KnownHash, age: number): PasswordAnswer | Promise<PasswordAnswer> {
    const key = hash('sha256', `${this.#secret}${known.text}\n${password}`, 'base64')
    const now = Date.now()
    const rightAt = this.#right.get(key)
    if (rightAt !== undefined && now - rightAt < age) {
      this.#counts.remembered.add(1)
      return true
    }
    const wrongAt = this.#wrong.get(key)
    if (wrongAt !== undefined && now - wrongAt < wrongAge) return false
    const pending = this.#pending.get(key)
    if (pending !== undefined) return pending
    if (this.#waiting.length >= longestQueue) {
      this.#counts.overloaded.add(1)
      return 'overloaded'
    }
    const answer = this.#verify(key, password, known.hash)
    this.#pending.set(key, answer)
    return answer
  }

  close(): void {
    this.#right.clear()
    this.#wrong.clear()
  }

  async #verify(key: string, password: string, known: PasswordHash): Promise<PasswordAnswer> {
    if (this.#running >= threads) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    const isRight = await new Promise<boolean>((resolve) => verifyPassword(password, known, resolve))
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
    const remembered = isRight ? this.#right : this.#wrong
    remembered.set(key, Date.now())
    this.#pending.delete(key)
    this.#counts[isRight ? 'right' : 'wrong'].add(1)
    return isRight
  }
}
