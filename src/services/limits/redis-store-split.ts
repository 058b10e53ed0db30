import type { Admission } from '../../core/services/limits.ts'
import type { Asker, Decision, Slot } from './batch.ts'
import type { Rule } from './batch-rule.ts'
import { StoreAdmission } from './redis-store-admission.ts'
import { type CheckHost, slotsOf, type Taken } from './redis-store-check.ts'
import { slotOf } from './redis-store-key.ts'
import { skills } from './scripts.ts'

/**
 * A check whose keys lie in several slots of a cluster. No script can decide it as a whole, so every slot is asked at the
 * same time, and when one refuses the others get back what was taken from them. That admits nobody too many; for the length
 * of a round trip it may refuse one who would have found room.
 */
export class SplitCheck {
  readonly #host: CheckHost
  readonly #rule: Rule
  readonly #keys: readonly string[]
  readonly #costs: readonly number[]
  readonly #parts: readonly Part[]
  #resolve: (admission: Admission | Promise<Admission>) => void = () => {}
  #outstanding: number

  constructor(
    host: CheckHost,
    rule: Rule,
    keys: readonly string[],
    counters: readonly string[],
    costs: readonly number[],
  ) {
    this.#host = host
    this.#rule = rule
    this.#keys = keys
    this.#costs = costs
    const byShard = new Map<number, number[]>()
    for (const [i, counter] of counters.entries()) {
      const shard = slotOf(counter)
      const indexes = byShard.get(shard)
      if (indexes === undefined) byShard.set(shard, [i])
      else indexes.push(i)
    }
    this.#parts = [...byShard].map(
      ([shard, indexes]) => new Part(host, rule, indexes, shard, counters, costs, () => this.#partEnded()),
    )
    this.#outstanding = this.#parts.length
  }

  get shards(): readonly number[] {
    return this.#parts.map(({ shard }) => shard)
  }

  begin(): Promise<Admission> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      for (const part of this.#parts) part.begin()
    })
  }

  #partEnded(): void {
    this.#outstanding--
    if (this.#outstanding > 0) return
    const hasFailed = this.#parts.some(({ decision }) => decision === null)
    const isRefused = this.#parts.some(({ decision }) => decision !== null && decision.refusedBy !== -1)
    if (hasFailed || isRefused) for (const part of this.#parts) part.giveBack()
    if (hasFailed) this.#resolve(this.#host.presume(this.#rule.limits, this.#keys, this.#costs))
    else this.#resolve(this.#merged(isRefused))
  }

  #merged(isRefused: boolean): StoreAdmission {
    const merged = { refusedBy: -1, retryAfter: 0, delay: 0, wouldRefuse: 0 }
    const remaining: number[] = []
    const resetAt: number[] = []
    const slots: Slot[] = []
    for (const part of this.#parts) {
      const decision = part.decision as Decision
      for (const [own, whole] of part.indexes.entries()) {
        const isBack = isRefused && part.hasTaken(own)
        remaining[whole] = (decision.remaining[own] as number) + (isBack ? (this.#costs[whole] as number) : 0)
        resetAt[whole] = decision.resetAt[own] as number
        if ((decision.wouldRefuse & (1 << own)) !== 0) merged.wouldRefuse |= 1 << whole
      }
      if (decision.retryAfter > merged.retryAfter) {
        merged.retryAfter = decision.retryAfter
        merged.refusedBy = part.indexes[decision.refusedBy] as number
      }
      if (!isRefused) merged.delay = Math.max(merged.delay, decision.delay)
      if (!isRefused) slots.push(...part.slots)
    }
    for (const slot of slots) this.#host.slots.hold(slot)
    return new StoreAdmission(
      { ...merged, remaining, resetAt },
      this.#rule.limits,
      this.#keys,
      slots.length === 0 ? null : slots,
    )
  }
}

/** What one slot of the cluster decides. */
class Part implements Asker {
  readonly shard: number
  /** Which limits of the whole. */
  readonly indexes: readonly number[]
  /** `null`: the store could not say. */
  decision: Decision | null = null
  readonly #host: CheckHost
  readonly #rule: Rule
  readonly #counters: readonly string[]
  readonly #costs: readonly number[]
  readonly #onEnd: () => void

  constructor(
    host: CheckHost,
    rule: Rule,
    indexes: readonly number[],
    shard: number,
    counters: readonly string[],
    costs: readonly number[],
    onEnd: () => void,
  ) {
    this.shard = shard
    this.indexes = indexes
    this.#host = host
    this.#rule = rule.part(indexes.reduce((bits, i) => bits | (1 << i), 0))
    this.#counters = indexes.map((i) => counters[i] as string)
    this.#costs = indexes.map((i) => costs[i] as number)
    this.#onEnd = onEnd
  }

  get slots(): Slot[] {
    return this.decision === null ? [] : this.#slotsOf(this.decision)
  }

  begin(): void {
    this.#host.batch(this.shard).add(this.#rule, this.#counters, this.#costs, true, this)
  }

  decided(decision: Decision): void {
    this.decision = decision
    this.#onEnd()
  }

  failed(): void {
    this.#onEnd()
  }

  late(decision: Decision): void {
    for (const slot of this.#slotsOf(decision)) this.#host.slots.giveBack(slot)
  }

  lost(slot: string): void {
    for (const one of this.#slotsOf({ slot, wouldRefuse: 0 })) this.#host.slots.giveBack(one)
  }

  /** Whether it has counted the request for that limit. */
  hasTaken(index: number): boolean {
    const { decision } = this
    return decision !== null && decision.refusedBy === -1 && (decision.wouldRefuse & (1 << index)) === 0
  }

  giveBack(): void {
    const { decision } = this
    if (decision === null) return
    for (const slot of this.slots) this.#host.slots.giveBack(slot)
    for (const [i, { algorithm }] of this.#rule.limits.entries()) {
      if (algorithm === 'concurrency' || !this.hasTaken(i)) continue
      this.#host.batch(this.shard).operations.push({
        type: 'back',
        key: this.#counters[i] as string,
        limit: this.#rule.textOf(i, this.#costs[i] as number, this.#host.now),
        skills: skills[algorithm],
        receipt: decision.receipts?.[i] ?? 0,
        at: decision.now,
      })
    }
  }

  #slotsOf(taken: Taken): Slot[] {
    return taken.slot === '' ? [] : slotsOf(taken, this.#rule, this.shard, this.#counters, this.#costs)
  }
}
