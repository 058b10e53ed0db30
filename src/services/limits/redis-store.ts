import { randomBytes } from 'node:crypto'
import type { Kept } from '../../core/plugin.ts'
import type { Counter, Distribution } from '../../core/services/instruments.ts'
import type { Admission, Limit, LimitStore, LimitStoreSettings } from '../../core/services/limits.ts'
import type { ServiceHost } from '../host.ts'
import type { RedisClient, RedisFault, RedisReply, RedisScript } from '../redis.ts'
import { Batch } from './batch.ts'
import { Rule } from './batch-rule.ts'
import { type Flight, Guard } from './guard.ts'
import { NodeAdmission, presumed, StoreAdmission } from './redis-store-admission.ts'
import { type CheckHost, WholeCheck } from './redis-store-check.ts'
import { slotOf, zoneOf } from './redis-store-key.ts'
import { Slots } from './redis-store-slots.ts'
import { SplitCheck } from './redis-store-split.ts'
import { limitScript, skills } from './scripts.ts'

/** Checks and operations that one call of the script does at most: nobody else is served meanwhile. */
const largestBatch = 200

/** Upper bounds of the buckets of batch sizes. */
const sizes = [1, 2, 5, 10, 20, 50, 100, 200]

/** Milliseconds after which a reply does not matter any more, however late. */
const patience = 10_000

/**
 * Counters in Redis, exact over all gateways that share it. All checks of one tick of the event loop go out together, in a
 * cluster together with those of the same slot. scripts.ts is what Redis does with them, guard.ts what happens when it does
 * nothing.
 */
export class RedisLimitStore implements LimitStore, CheckHost, Kept {
  readonly #redis: RedisClient
  readonly #isCluster: boolean
  /** By what they can do. */
  readonly #scripts = new Map<number, RedisScript>()
  readonly #onError: LimitStoreSettings['onError']
  readonly #node: LimitStore | null
  readonly #guard: Guard
  readonly slots: Slots
  readonly #rules = new WeakMap<readonly Limit[], Rule>()
  readonly #sizes: Distribution
  readonly #decisions: Readonly<Record<Admission['decidedBy'], Counter>>
  readonly #forgetState: () => void
  /** Makes the names of slots unique over all gateways and restarts. */
  readonly #owner = randomBytes(6).toString('base64url')
  #sequence = 0
  /** What goes out when this tick ends, by shard: the slot in a cluster, else 0. */
  #batches = new Map<number, Batch>()
  #isFlushDue = false
  /** Milliseconds by which Redis's clock is ahead of ours. */
  #skew = 0

  /** `node` decides in place of Redis where the settings say so. */
  constructor(settings: LimitStoreSettings, redis: RedisClient, node: LimitStore | null, host: ServiceHost) {
    this.#redis = redis
    this.#isCluster = redis.settings.mode === 'cluster'
    this.#onError = settings.onError
    this.#node = node
    this.slots = new Slots(() => this.#schedule())
    this.#guard = new Guard(
      settings.timeout,
      host,
      (zone) => this.#probe(zone),
      () => this.#schedule(),
    )
    const { instruments } = host
    this.#sizes = instruments.distribution('sluice_limit_batch_size', 'Checks that travelled together.', sizes)
    const decisions = (by: string): Counter =>
      instruments.counter('sluice_limit_decisions_total', 'Requests by who decided on their limits.', [
        'decided_by',
        by,
      ])
    this.#decisions = {
      store: decisions('store'),
      allow: decisions('allow'),
      deny: decisions('deny'),
      node: decisions('node'),
    }
    this.#forgetState = redis.onState((state) => {
      if (state !== 'ready') return
      this.#preload()
      this.#guard.retry()
    })
  }

  admit(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission> {
    let rule = this.#rules.get(limits)
    if (rule === undefined) {
      rule = new Rule(limits, (name) => this.#redis.key(name))
      this.#scriptOf(rule.skills)
      this.#rules.set(limits, rule)
    }
    const counters: string[] = []
    for (let i = 0; i < keys.length; i++) counters.push(rule.counter(i, keys[i] as string))
    const shard = this.#isCluster ? this.#shardOf(counters) : 0
    if (shard === null) {
      const split = new SplitCheck(this, rule, keys, counters, costs)
      return split.shards.every((one) => this.listens(one)) ? split.begin() : this.presume(limits, keys, costs)
    }
    if (!this.listens(shard)) return this.presume(limits, keys, costs)
    return new Promise((resolve) => {
      this.batch(shard).add(
        rule,
        counters,
        costs,
        false,
        new WholeCheck(this, rule, shard, keys, counters, costs, resolve),
      )
    })
  }

  release(admission: Admission): void {
    if (admission instanceof NodeAdmission) admission.release()
    if (!(admission instanceof StoreAdmission) || admission.slots === null) return
    for (const slot of admission.slots) this.slots.release(slot)
    admission.slots = null
  }

  /** Ends all timers; what is on its way counts as failed. The connection lives on. */
  close(): void {
    this.#forgetState()
    this.slots.close()
    for (const batch of this.#batches.values()) batch.fail()
    this.#batches.clear()
    this.#guard.close()
  }

  /** Whether a shard is asked at all. */
  listens(shard: number): boolean {
    return this.#guard.admits(zoneOf(shard))
  }

  /** What goes out to a shard when this tick ends. */
  batch(shard: number): Batch {
    let batch = this.#batches.get(shard)
    if (batch !== undefined && batch.size >= largestBatch) {
      this.#send(shard, batch)
      batch = undefined
    }
    if (batch === undefined) {
      batch = new Batch(`${this.#owner}${(this.#sequence++).toString(36)}.`)
      this.#batches.set(shard, batch)
      this.#schedule()
    }
    return batch
  }

  /** By Redis's clock, more or less. */
  get now(): number {
    return Date.now() + this.#skew
  }

  /** What is decided where Redis can't say. */
  presume(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission> {
    const node = this.#node
    if (this.#onError !== 'node' || node === null) {
      const decidedBy = this.#onError === 'allow' ? 'allow' : 'deny'
      this.#decisions[decidedBy].add(1)
      return presumed(decidedBy, limits, keys)
    }
    const admission = node.admit(limits, keys, costs)
    if (admission instanceof Promise) return admission.then((said) => this.#byNode(node, said))
    return this.#byNode(node, admission)
  }

  /** The node's own primary may be too busy to say, too. */
  #byNode(node: LimitStore, admission: Admission): Admission {
    this.#decisions[admission.decidedBy === 'deny' ? 'deny' : 'node'].add(1)
    return new NodeAdmission(node, admission)
  }

  #schedule(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    // Behind all that this turn of the event loop has read from its sockets: native-notes/limits.md has the figures.
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#isFlushDue = false
    this.slots.take(
      (shard) => this.listens(shard),
      (shard, operation) => this.batch(shard).operations.push(operation),
    )
    const batches = this.#batches
    this.#batches = new Map()
    for (const [shard, batch] of batches) this.#send(shard, batch)
    this.#isFlushDue = this.#batches.size > 0
  }

  #send(shard: number, batch: Batch): void {
    const { bits, keys, args } = batch.command(this.now)
    this.#guard.send(zoneOf(shard), this.#flight(batch), this.#scriptOf(bits).run(keys, args))
  }

  #flight(batch: Batch): Flight {
    return {
      arrived: (reply) => {
        const now = batch.deliver(reply)
        if (now === null) return false
        this.#skew = now - Date.now()
        if (batch.checks > 0) this.#sizes.record(batch.checks)
        this.#decisions.store.add(batch.checks)
        return true
      },
      failed: () => {
        // Redis may have done it nevertheless: to free a slot twice does no harm.
        for (const operation of batch.operations) {
          if (operation.type === 'release') this.slots.giveBack(operation.slot)
        }
        batch.fail()
      },
      late: (reply) => batch.deliverLate(reply),
      lost: () => batch.lose(),
    }
  }

  /** Touches a zone as checks do, and changes nothing. */
  #probe(zone: number): Promise<RedisReply | RedisFault> {
    let name = this.#redis.key('limit:probe')
    for (let i = 0; this.#isCluster && zoneOf(slotOf(name)) !== zone; i++) name = this.#redis.key(`limit:probe:${i}`)
    return this.#scriptOf(skills.slots).run([name], ['probe', 'release', 'probe', 1])
  }

  #scriptOf(bits: number): RedisScript {
    let script = this.#scripts.get(bits)
    if (script === undefined) {
      script = this.#redis.script(limitScript(bits), patience, 'bytes')
      this.#scripts.set(bits, script)
    }
    return script
  }

  /** After a restart or a fail-over Redis knows the scripts before the first check needs them. */
  #preload(): void {
    if (this.#isCluster) return
    for (const bits of this.#scripts.keys()) void this.#redis.run('SCRIPT', ['LOAD', limitScript(bits)])
  }

  /** The slot that all keys share; `null`: there is none. */
  #shardOf(counters: readonly string[]): number | null {
    const shard = slotOf(counters[0] ?? '')
    for (let i = 1; i < counters.length; i++) if (slotOf(counters[i] as string) !== shard) return null
    return shard
  }
}
