import type { Admission, Limit } from '../../core/services/limits.ts'
import type { Asker, Batch, Decision, Slot } from './batch.ts'
import type { Rule } from './batch-rule.ts'
import { StoreAdmission } from './redis-store-admission.ts'
import type { Slots } from './redis-store-slots.ts'

/** What a check needs of its store. */
export interface CheckHost {
  readonly slots: Slots
  readonly now: number
  batch(shard: number): Batch
  presume(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission>
}

/** A check whose keys one call of the script decides. */
export class WholeCheck implements Asker {
  readonly #host: CheckHost
  readonly #rule: Rule
  readonly #shard: number
  readonly #keys: readonly string[]
  readonly #counters: readonly string[]
  readonly #costs: readonly number[]
  readonly #resolve: (admission: Admission | Promise<Admission>) => void

  constructor(
    host: CheckHost,
    rule: Rule,
    shard: number,
    keys: readonly string[],
    counters: readonly string[],
    costs: readonly number[],
    resolve: (admission: Admission | Promise<Admission>) => void,
  ) {
    this.#host = host
    this.#rule = rule
    this.#shard = shard
    this.#keys = keys
    this.#counters = counters
    this.#costs = costs
    this.#resolve = resolve
  }

  decided(decision: Decision): void {
    const slots = decision.slot === '' ? null : slotsOf(decision, this.#rule, this.#shard, this.#counters, this.#costs)
    for (const slot of slots ?? []) this.#host.slots.hold(slot)
    this.#resolve(new StoreAdmission(decision, this.#rule.limits, this.#keys, slots))
  }

  failed(): void {
    this.#resolve(this.#host.presume(this.#rule.limits, this.#keys, this.#costs))
  }

  late(decision: Decision): void {
    if (decision.slot !== '') this.#giveBack(decision)
  }

  lost(slot: string): void {
    this.#giveBack({ slot, wouldRefuse: 0 })
  }

  #giveBack(taken: Taken): void {
    for (const slot of slotsOf(taken, this.#rule, this.#shard, this.#counters, this.#costs))
      this.#host.slots.giveBack(slot)
  }
}

/** What of a decision says which slots were taken. */
export type Taken = Pick<Decision, 'slot' | 'wouldRefuse'>

/** The slots that a request took. */
export function slotsOf(
  taken: Taken,
  rule: Rule,
  shard: number,
  counters: readonly string[],
  costs: readonly number[],
): Slot[] {
  const slots: Slot[] = []
  const saidAt = Date.now()
  for (const [i, { algorithm, window }] of rule.limits.entries()) {
    const cost = costs[i] as number
    const isTaken = algorithm === 'concurrency' && cost > 0 && (taken.wouldRefuse & (1 << i)) === 0
    if (isTaken) slots.push({ key: counters[i] as string, shard, name: taken.slot, cost, window, saidAt })
  }
  return slots
}
