import type { RedisReply } from '../redis.ts'
import type { Rule } from './batch-rule.ts'
import { skills } from './scripts.ts'

/** What the script said of one request. Arrays are in the order of the rule's limits. */
export interface Decision {
  /** Index of the limit that refused, or -1. */
  readonly refusedBy: number
  readonly remaining: readonly number[]
  readonly resetAt: readonly number[]
  readonly retryAfter: number
  readonly delay: number
  readonly wouldRefuse: number
  /** Name of the slots that it holds; `''`: none. */
  readonly slot: string
  /** Redis's time, and what the script needs to give back what was taken; `null` when nobody asked for them. */
  readonly now: number
  readonly receipts: readonly number[] | null
}

/** Who waits for a check. One of the first two is called, once. */
export interface Asker {
  decided(decision: Decision): void
  failed(): void
  /** What the store said after all, when it was too late. */
  late(decision: Decision): void
  /** It will never be known what the store said; what it took may be held under that name of slots. */
  lost(slot: string): void
}

/** A request in flight, as one limit counts it. */
export interface Slot {
  readonly key: string
  /** Slot of the key in a cluster, 0 elsewhere. */
  readonly shard: number
  readonly name: string
  readonly cost: number
  /** Milliseconds after which it counts as free when nothing is heard of it. */
  readonly window: number
  /** When its store heard of it last. */
  saidAt: number
}

/** What is not a check. It is done before the checks of its batch. */
export type Operation =
  | { readonly type: 'release' | 'hold'; readonly slot: Slot }
  | {
      readonly type: 'back'
      readonly key: string
      /** As the script reads it, and what that takes. */
      readonly limit: string
      readonly skills: number
      readonly receipt: number
      /** Redis's time when it was taken. */
      readonly at: number
    }

/** Checks with the same limits and costs: their text is sent and read once. */
interface Group {
  readonly rule: Rule
  readonly costs: readonly number[]
  readonly receipts: boolean
  readonly keys: string[]
  readonly askers: Asker[]
}

interface Command {
  readonly bits: number
  readonly keys: readonly string[]
  readonly args: readonly (string | number)[]
}

/** What one call of the script does: all checks of a tick. */
export class Batch {
  /** What the names of its slots begin with. */
  readonly name: string
  readonly operations: Operation[] = []
  checks = 0
  readonly #groups: Group[] = []

  constructor(name: string) {
    this.name = name
  }

  get size(): number {
    return this.checks + this.operations.length
  }

  /** `counters`: the full names of the keys. */
  add(rule: Rule, counters: readonly string[], costs: readonly number[], receipts: boolean, asker: Asker): void {
    const group = this.#groupOf(rule, costs, receipts)
    for (const counter of counters) group.keys.push(counter)
    group.askers.push(asker)
    this.checks++
  }

  /** What the script must be able to do, and what it is called with. `now`: by Redis's clock, more or less. */
  command(now: number): Command {
    const args: (string | number)[] = [this.name]
    let keys: string[] = []
    let bits = 0
    for (const operation of this.operations) {
      bits |= operation.type === 'back' ? skills.back | operation.skills : skills.slots
      keys.push(operation.type === 'back' ? operation.key : operation.slot.key)
      args.push(operation.type, ...argumentsOf(operation))
    }
    for (const { rule, costs, receipts, keys: own, askers } of this.#groups) {
      bits |= rule.skills
      args.push('check', rule.text(costs, now), askers.length, receipts ? 1 : 0)
      keys = keys.length === 0 ? own : keys.concat(own)
    }
    return { bits, keys, args }
  }

  /** Hands the script's reply to those who asked. Gives Redis's time, or `null`: that was no such reply, nobody was told. */
  deliver(reply: RedisReply): number | null {
    return this.#read(reply, (asker, decision) => asker.decided(decision))
  }

  /** The same for those who were told that they failed. */
  deliverLate(reply: RedisReply): void {
    this.#read(reply, (asker, decision) => asker.late(decision))
  }

  fail(): void {
    for (const { askers } of this.#groups) {
      for (const asker of askers) asker.failed()
    }
  }

  /** For those who were told that they failed: there will be no reply. */
  lose(): void {
    let slot = 0
    for (const { rule, askers } of this.#groups) {
      for (const asker of askers) {
        slot++
        if (rule.hasSlots) asker.lost(this.name + slot)
      }
    }
  }

  #read(reply: RedisReply, tell: (asker: Asker, decision: Decision) => void): number | null {
    if (!Buffer.isBuffer(reply) || reply.length === 0 || reply.length % 8 !== 0) return null
    const reader = new Reader(reply, this.name)
    for (const { rule, receipts, askers } of this.#groups) {
      for (const asker of askers) tell(asker, reader.next(rule, receipts))
    }
    return reader.now
  }

  #groupOf(rule: Rule, costs: readonly number[], receipts: boolean): Group {
    for (const group of this.#groups) {
      if (group.rule === rule && group.receipts === receipts && areSame(group.costs, costs)) return group
    }
    const group = { rule, costs, receipts, keys: [], askers: [] }
    this.#groups.push(group)
    return group
  }
}

function areSame(a: readonly number[], b: readonly number[]): boolean {
  if (a === b) return true
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function argumentsOf(operation: Operation): (string | number)[] {
  if (operation.type === 'back') return [operation.limit, operation.receipt, operation.at]
  const { name, cost, window } = operation.slot
  return operation.type === 'release' ? [name, cost] : [name, cost, window]
}

/** Reads the script's reply check by check; scripts.ts says what is in it. */
class Reader {
  /** Redis's time. */
  readonly now: number
  readonly #reply: Buffer
  readonly #name: string
  #at = 0
  #slot = 0

  constructor(reply: Buffer, name: string) {
    this.#reply = reply
    this.#name = name
    this.now = this.#number()
  }

  next({ limits, hasSlots }: Rule, withReceipts: boolean): Decision {
    this.#slot++
    const isPlain = this.#number() === 0
    const refusedBy = isPlain ? -1 : this.#number()
    const retryAfter = isPlain ? 0 : this.#number()
    const delay = isPlain ? 0 : this.#number()
    const wouldRefuse = isPlain ? 0 : this.#number()
    const remaining: number[] = []
    const resetAt: number[] = []
    const receipts: number[] | null = withReceipts ? [] : null
    for (let i = 0; i < limits.length; i++) {
      remaining.push(this.#number())
      resetAt.push(this.#number())
      receipts?.push(this.#number())
    }
    return {
      refusedBy,
      remaining,
      resetAt,
      retryAfter: retryAfter === -1 ? Number.POSITIVE_INFINITY : retryAfter,
      delay,
      wouldRefuse,
      slot: hasSlots && refusedBy === -1 ? this.#name + this.#slot : '',
      now: this.now,
      receipts,
    }
  }

  #number(): number {
    const at = this.#at
    this.#at = at + 8
    return at < this.#reply.length ? this.#reply.readDoubleLE(at) : 0
  }
}
