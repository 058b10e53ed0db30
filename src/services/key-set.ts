import { createHash, createPublicKey } from 'node:crypto'
import type { WorkerLink } from '../core/messages.ts'
import type { KeySet, RemoteKeySet } from '../core/services/key-sets.ts'
import type { VerificationKey } from '../core/verification-key.ts'
import type { Keep, ServiceHost } from './host.ts'
import type { KeySetNews, KeySetRequest, PublicKey } from './key-set-message.ts'

/** Key sets of issuers. The primary fetches them; a worker says which ones it wants and is told what is in them. */
export class KeySetStore {
  readonly #link: WorkerLink
  readonly #open = new Map<string, SharedKeySet>()

  constructor({ link }: Pick<ServiceHost, 'link'>) {
    this.#link = link
    link.on('key_sets', (body) => {
      const news = body as KeySetNews
      this.#open.get(news.id)?.hear(news)
    })
  }

  open(source: RemoteKeySet, keep: Keep): KeySet {
    const id = createHash('sha256').update(JSON.stringify(source)).digest('hex')
    return keep(`key_set ${id}`, () => {
      const set = new SharedKeySet(id, source, (request) => {
        if (request.type === 'close') this.#open.delete(id)
        this.#link.send('key_sets', request)
      })
      this.#open.set(id, set)
      set.start()
      return set
    })
  }
}

const none: readonly VerificationKey[] = Object.freeze([])

/** Milliseconds beyond the time limit of a fetch in which the primary should have told how it went. */
const slack = 1000

/** A set as one worker knows it. */
class SharedKeySet implements KeySet {
  readonly #id: string
  readonly #source: RemoteKeySet
  readonly #send: (request: KeySetRequest) => void
  #version = 0
  #keys: readonly VerificationKey[] = none
  /** The first fetch has ended, well or not. */
  #isTold = false
  /** No miss leads to a fetch before that; `performance.now()`. */
  #quietUntil = 0
  /** Settles with the fetch that is under way for those who miss a key; `null`: nobody waits. */
  #pending: Promise<void> | null = null
  #settle: (() => void) | null = null
  /** Number of the last question to the primary. What it says of fetches before that was on its way already. */
  #question = 0

  constructor(id: string, source: RemoteKeySet, send: (request: KeySetRequest) => void) {
    this.#id = id
    this.#source = source
    this.#send = send
  }

  get empty(): boolean {
    return this.#version === 0
  }

  start(): void {
    this.#send({ type: 'open', id: this.#id, source: this.#source })
  }

  close(): void {
    this.#send({ type: 'close', id: this.#id })
    this.#settle?.()
  }

  find(kid: string | null, algorithm: string): readonly VerificationKey[] | Promise<readonly VerificationKey[]> {
    const found = this.#look(kid, algorithm)
    if (found.length > 0) return found
    if (this.#version === 0) return this.#isTold ? none : this.#wait().then(() => this.#look(kid, algorithm))
    if (kid === null || this.#has(kid)) return none
    // A fetch that somebody else waits for may have begun too early for this key.
    if (this.#pending !== null) return this.#pending.then(() => this.find(kid, algorithm))
    if (performance.now() < this.#quietUntil) return none
    this.#question += 1
    this.#send({ type: 'miss', id: this.#id, version: this.#version, kid, question: this.#question })
    return this.#wait().then(() => this.#look(kid, algorithm))
  }

  hear(news: KeySetNews): void {
    if (news.type === 'set') {
      this.#version = news.version
      this.#replace(news.keys)
      return
    }
    this.#isTold = true
    this.#quietUntil = performance.now() + news.quiet
    if (news.question >= this.#question) this.#settle?.()
  }

  /** A key without a `kid` may have signed what names one, as long as no key of that name is there. */
  #look(kid: string | null, algorithm: string): readonly VerificationKey[] {
    const wanted = kid === null || this.#has(kid) ? kid : null
    const found: VerificationKey[] = []
    for (const key of this.#keys) {
      const isNamed = kid === null || key.kid === wanted
      if (isNamed && key.algorithms.includes(algorithm)) found.push(key)
    }
    return found
  }

  #has(kid: string): boolean {
    for (const key of this.#keys) if (key.kid === kid) return true
    return false
  }

  /** Keys that are still there stay the same objects: what was verified with them still counts. */
  #replace(news: readonly PublicKey[]): void {
    const old = new Map(this.#keys.map((key) => [fingerprintOf(key), key]))
    this.#keys = news.map(({ kid, algorithms, spki }) => {
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
      const fresh: VerificationKey = { kid, algorithms, key, live: true }
      return old.get(fingerprintOf(fresh)) ?? fresh
    })
    const current = new Set(this.#keys)
    for (const key of old.values()) if (!current.has(key)) key.live = false
  }

  #wait(): Promise<void> {
    this.#pending ??= new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#pending = null
        this.#settle = null
        resolve()
      }
      const timer = setTimeout(done, this.#source.timeout + slack).unref()
      this.#settle = done
    })
    return this.#pending
  }
}

function fingerprintOf({ kid, algorithms, key }: VerificationKey): string {
  const spki = key.export({ format: 'der', type: 'spki' }).toString('base64')
  return JSON.stringify([kid, algorithms, spki])
}
