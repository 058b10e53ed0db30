import type { SecurityConfig } from '../config/security.ts'
import type { PrimaryLink } from '../core/messages.ts'
import type { Distribution, Instruments } from '../core/services/instruments.ts'
import { type RevocationKind, revocationKinds } from '../core/services/revocations.ts'
import type { RedisClient } from '../services/redis.ts'
import type { RevocationChange, RevokedItem } from '../services/revocation-message.ts'
import type { Log } from '../telemetry/logger.ts'
import { type Field, fieldOf, isInForce, type Revocation } from './revocation.ts'
import { type Delivery, RevocationDelivery } from './revocation-delivery.ts'
import { RevocationFile } from './revocation-file.ts'
import type { ItemRules } from './revocation-item.ts'
import { type LocalList, RevocationStore } from './revocation-store.ts'

export type Stored = 'redis' | 'file' | 'memory'

/** What became of a decision. */
export interface Outcome extends Delivery {
  readonly stored: Stored
  /** It is where it should be: in Redis for all nodes, in the file, or in memory where there is neither. */
  readonly complete: boolean
  /** Milliseconds. */
  readonly took: number
}

/** Milliseconds that workers have to acknowledge. */
const patience = 2000
/** Milliseconds between two looks for what is over. */
const sweepEvery = 30_000
/** Milliseconds between a change and the copy of it in a file. */
const copyAfter = 500
/** Milliseconds for which it is known that something is no longer revoked which was without end. */
const memory = 30 * 86_400_000
/** Upper bounds of the buckets of acknowledgements, in seconds. */
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2]

/**
 * What is revoked, as this node knows it: the primary keeps the list, its workers have copies. It comes from the admin port,
 * and from Redis or a file. Where Redis can't be reached the list stays as it was, and what is revoked meanwhile holds on this
 * node and goes to the others when Redis is back.
 */
export class RevocationList implements LocalList {
  readonly #all = new Map<Field, Revocation>()
  readonly #counts: Record<RevocationKind, number> = { jti: 0, sub: 0, token: 0, key: 0, consumer: 0 }
  readonly #delivery: RevocationDelivery
  readonly #log: Log
  readonly #seconds: Distribution
  #settings: SecurityConfig['revocations'] = { file: null, token_lifetime: 0, max_entries: 0 }
  #redis: RedisClient | null = null
  #store: RevocationStore | null = null
  #file: RevocationFile | null = null
  #copy: NodeJS.Timeout | undefined
  #sweep: NodeJS.Timeout | undefined
  #isFull = false

  constructor(link: PrimaryLink, log: Log, instruments: Instruments) {
    this.#log = log
    this.#delivery = new RevocationDelivery(link, () => this.#items())
    for (const kind of revocationKinds) {
      instruments.gauge(
        'sluice_revocations_entries',
        'Revocations that are known.',
        ['kind', kind],
        'max',
        () => this.#counts[kind],
      )
    }
    instruments.gauge(
      'sluice_revocations_synced',
      'Whether the list is that of Redis, as far as can be known; 1 without Redis.',
      [],
      'max',
      () => (this.synced ? 1 : 0),
    )
    this.#seconds = instruments.distribution(
      'sluice_revocations_acknowledge_seconds',
      'From a revocation to its acknowledgement by every worker of the node.',
      bounds,
    )
  }

  /** A configuration is in force. `redis`: the primary's connection, the same one for the same settings. */
  configure({ security }: { readonly security: SecurityConfig }, redis: RedisClient | null): void {
    const isSame = redis === this.#redis && security.revocations.file === (this.#file?.path ?? null)
    this.#settings = security.revocations
    this.#sweep ??= setInterval(() => this.#sweepOut(), sweepEvery).unref()
    if (isSame) return
    this.#leaveStores()
    this.#redis = redis
    const { file } = this.#settings
    if (file !== null) this.#openFile(file, redis === null)
    if (redis !== null) {
      this.#store = new RevocationStore(redis, this, this.#log)
      this.#store.open()
    }
  }

  /** Resolves when the list is known, or `bound` milliseconds are over: what is not known by then comes later. */
  async known(bound: number): Promise<void> {
    if (this.#store === null || this.#store.synced) return
    let timer: NodeJS.Timeout | undefined
    await Promise.race([this.#store.first(), new Promise((resolve) => (timer = setTimeout(resolve, bound)))])
    clearTimeout(timer)
    if (!this.#store.synced) this.#log.error('revocations are not known yet: Redis can not be read')
  }

  /** Where what is decided now is kept. */
  get stored(): Stored {
    return this.#store !== null ? 'redis' : this.#file !== null ? 'file' : 'memory'
  }

  get synced(): boolean {
    return this.#store?.synced ?? true
  }

  get all(): ReadonlyMap<Field, Revocation> {
    return this.#all
  }

  get rules(): ItemRules {
    return { now: Date.now(), tokenLifetime: this.#settings.token_lifetime, inFile: false }
  }

  /** For the admin port's status. */
  status(): { readonly entries: number; readonly stored: Stored; readonly synced: boolean } {
    return { entries: this.#all.size, stored: this.stored, synced: this.synced }
  }

  /** Whether so many more find room. */
  hasRoomFor(revocations: readonly Revocation[]): boolean {
    const added = revocations.filter(({ kind, value }) => !this.#all.has(fieldOf(kind, value)))
    return this.#all.size + added.length <= this.#settings.max_entries
  }

  /** Puts revocations in force on all workers of the node at once, and keeps them for all nodes. */
  revoke(revocations: readonly Revocation[]): Promise<Outcome> {
    return this.#decide(revocations)
  }

  /** Takes one back; `null` when there is none in force. */
  async restore(kind: RevocationKind, value: string): Promise<Outcome | null> {
    const known = this.#all.get(fieldOf(kind, value))
    const now = Date.now()
    if (known === undefined || !isInForce(known, now)) return null
    const expires = known.expires === 0 ? now + memory : known.expires
    return this.#decide([{ kind, value, at: now, expires, before: 0, reason: '', removed: true }])
  }

  learn(revocations: readonly Revocation[]): void {
    const fresh = revocations.filter(({ kind, value, at }) => at > (this.#all.get(fieldOf(kind, value))?.at ?? 0))
    if (fresh.length > 0) void this.#apply(fresh)
  }

  /** Ends the connection to stores; a copy in a file is brought up to date. */
  async close(): Promise<void> {
    clearInterval(this.#sweep)
    this.#leaveStores()
    await this.#writing
  }

  #writing: Promise<unknown> = Promise.resolve()

  #leaveStores(): void {
    this.#store?.close()
    this.#file?.close()
    if (this.#copy !== undefined) this.#writeCopy()
    this.#store = null
    this.#file = null
  }

  async #decide(decisions: readonly Revocation[]): Promise<Outcome> {
    const start = performance.now()
    // One more than what is known: Redis gives the time that counts, and clocks may differ.
    const timeOf = (known: number): number => (this.#store === null ? Math.max(Date.now(), known + 1) : known + 1)
    const timed = decisions.map((one) => ({ ...one, at: timeOf(this.#all.get(fieldOf(one.kind, one.value))?.at ?? 0) }))
    const [delivery, stored] = await Promise.all([this.#apply(timed), this.#keep(timed)])
    const took = performance.now() - start
    this.#seconds.record(took / 1000)
    return { ...delivery, stored, complete: stored === this.stored, took }
  }

  async #keep(decisions: readonly Revocation[]): Promise<Stored> {
    const file = this.#file
    if (this.#store !== null) {
      if (await this.#store.decide(decisions)) return 'redis'
      const now = Date.now()
      this.learn(decisions.map((one) => ({ ...one, at: Math.max(now, one.at + 1) })))
      this.#store?.read()
      return file === null ? 'memory' : 'file'
    }
    if (file === null) return 'memory'
    if (!(await file.append(decisions))) return 'memory'
    if (file.isWorn(this.#all.size)) await file.rewrite([...this.#all.values()].filter(({ removed }) => !removed))
    return 'file'
  }

  /** Takes revocations over, whatever was known, and tells the workers. */
  #apply(revocations: readonly Revocation[]): Promise<Delivery> {
    const added: RevokedItem[] = []
    const removed: RevocationChange['removed'][number][] = []
    const now = Date.now()
    for (const one of revocations) {
      const field = fieldOf(one.kind, one.value)
      const known = this.#all.get(field)
      if (known === undefined && this.#refuses(one, now)) continue
      const was = known !== undefined && isInForce(known, now)
      const is = isInForce(one, now)
      this.#put(field, one)
      if (is && !(was && known.expires === one.expires && known.before === one.before)) added.push(itemFor(one))
      else if (was && !is) removed.push([one.kind, one.value])
    }
    if (this.#store !== null && this.#file !== null) this.#copy ??= setTimeout(() => this.#writeCopy(), copyAfter)
    return this.#delivery.send(added, removed, patience)
  }

  /** What is over is not worth a place, and beyond the bound there is none. */
  #refuses({ expires }: Revocation, now: number): boolean {
    if (expires !== 0 && expires <= now) return true
    const isFull = this.#all.size >= this.#settings.max_entries
    if (isFull && !this.#isFull) {
      const { max_entries } = this.#settings
      this.#log.error({ max_entries }, 'the list of revocations is full: some are not in force')
    }
    this.#isFull = isFull
    return isFull
  }

  #put(field: Field, one: Revocation): void {
    this.#drop(field)
    this.#all.set(field, one)
    if (!one.removed) this.#counts[one.kind]++
  }

  #drop(field: Field): void {
    const known = this.#all.get(field)
    if (known?.removed === false) this.#counts[known.kind]--
    this.#all.delete(field)
  }

  *#items(): Generator<RevokedItem> {
    const now = Date.now()
    for (const one of this.#all.values()) if (isInForce(one, now)) yield itemFor(one)
  }

  #sweepOut(): void {
    const now = Date.now()
    const over = [...this.#all].filter(([, { expires }]) => expires !== 0 && expires <= now)
    if (over.length === 0) return
    for (const [field] of over) this.#drop(field)
    void this.#delivery.send(
      [],
      over.map(([, { kind, value }]) => [kind, value] as const),
      patience,
    )
    void this.#store?.forget(over.map(([field]) => field))
  }

  #openFile(path: string, isList: boolean): void {
    const file = new RevocationFile(path, this.#log)
    this.#file = file
    const found = file.read()
    if (!isList) return this.learn([...(found?.values() ?? [])])
    if (found !== null) {
      // What was revoked before the configuration named this file stays so.
      const lacking = [...this.#all].filter(([field, { removed }]) => !removed && !found.has(field))
      if (lacking.length > 0) void file.append(lacking.map(([, one]) => one))
      void this.#apply([...found.values()])
    }
    file.watch(() => {
      const now = file.read()
      if (now === null) return
      this.#replace(now)
      this.#log.info({ file: path, revocations: this.#all.size }, 'revocations were read again')
    })
  }

  /** The file says all there is: what it does not have is not revoked. */
  #replace(found: ReadonlyMap<Field, Revocation>): void {
    const gone = [...this.#all].filter(([field, { removed }]) => !removed && !found.has(field))
    for (const [field] of gone) this.#drop(field)
    void this.#delivery.send(
      [],
      gone.map(([, { kind, value }]) => [kind, value] as const),
      patience,
    )
    void this.#apply([...found.values()])
  }

  #writeCopy(): void {
    clearTimeout(this.#copy)
    this.#copy = undefined
    if (this.#file !== null) this.#writing = this.#file.rewrite(this.#all.values())
  }
}

function itemFor({ kind, value, expires, before }: Revocation): RevokedItem {
  return [kind, value, expires, before]
}
