import type { PrimaryLink, Topic, WorkerLink } from '../../src/core/messages.ts'
import { type Instruments, noInstruments } from '../../src/core/services/instruments.ts'
import type { Admission, Limit, LimitStoreSettings } from '../../src/core/services/limits.ts'
import { LimitLedger } from '../../src/primary/limits/ledger.ts'
import {
  answerFields,
  type Clock,
  findingFields,
  type Ruling,
  clock as realClock,
} from '../../src/services/limits/lease.ts'
import { exchangeOf } from '../../src/services/limits/lease-exchange.ts'
import { NodeLimitStore } from '../../src/services/limits/node-store.ts'
import { createLogger } from '../../src/telemetry/logger.ts'

const quiet = { info: () => {}, warn: () => {}, error: () => {} }

export function limitOf(fields: Partial<Limit> = {}): Limit {
  return {
    name: 'a',
    algorithm: 'fixed_window',
    limit: 10,
    window: 1000,
    burst: 0,
    nodelay: true,
    calendar: null,
    observe: false,
    ...fields,
  }
}

/** Both clocks in the hand of a test. They begin apart, so that one can't pass for the other. */
export class TestClock implements Clock {
  #wall = 1_700_000_000_000
  #steady = 5000

  wall(): number {
    return this.#wall
  }

  steady(): number {
    return this.#steady
  }

  /** Time passes. */
  pass(milliseconds: number): void {
    this.#wall += milliseconds
    this.#steady += milliseconds
  }

  /** The time of day is set. */
  set(milliseconds: number): void {
    this.#wall += milliseconds
  }
}

export interface NodeOptions {
  readonly clock?: Clock
  readonly settings?: Partial<LimitStoreSettings>
  readonly capacity?: number
  /** Of the primary. */
  readonly instruments?: Instruments
  /** Messages travel only when `deliver` is called. */
  readonly byHand?: boolean
}

/** A primary and its workers in one process: what they tell each other is copied and queued, as between processes. */
export class LimitNode {
  readonly ledger: LimitLedger
  readonly clock: Clock
  readonly workers = new Map<number, LimitWorker>()
  /** Messages to the primary, and from it. */
  sent = 0
  told = 0
  readonly #options: NodeOptions
  #hear: (body: unknown, worker: number) => void = () => {}
  #onLeave: (worker: number) => void = () => {}
  #last = 0

  constructor(options: NodeOptions = {}) {
    this.#options = options
    this.clock = options.clock ?? realClock
    const current = (): Iterable<number> => this.workers.keys()
    const link: PrimaryLink = {
      get workers() {
        return current()
      },
      send: (worker, _topic, body) => {
        this.told++
        this.workers.get(worker)?.queue(body as Ruling)
      },
      broadcast: () => {},
      on: (_topic: Topic, listener) => {
        this.#hear = listener
      },
      onJoin: () => {},
      onLeave: (listener) => {
        this.#onLeave = listener
      },
    }
    const log = createLogger({ role: 'primary', terminal: false })
    log.level = 'silent'
    this.ledger = new LimitLedger(link, log, options.instruments ?? noInstruments, {
      clock: this.clock,
      ...(options.capacity === undefined ? {} : { capacity: options.capacity }),
    })
  }

  worker(settings: Partial<LimitStoreSettings> = {}): LimitWorker {
    const worker = new LimitWorker(this, (this.#last += 1), { ...this.#options.settings, ...settings })
    this.workers.set(worker.id, worker)
    return worker
  }

  get isByHand(): boolean {
    return this.#options.byHand === true
  }

  hear(body: unknown, worker: number): void {
    if (!this.workers.has(worker)) return
    this.sent++
    this.#hear(body, worker)
  }

  /** A worker is killed: what it has said is still heard, or not. */
  kill(worker: LimitWorker): void {
    this.workers.delete(worker.id)
    worker.isAlive = false
    this.#onLeave(worker.id)
  }

  /** Delivers everything, in both directions, until nobody has anything to say. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      let moved = 0
      for (const worker of this.workers.values()) moved += worker.deliverUp() + worker.deliverDown()
      quiet = moved === 0 ? quiet + 1 : 0
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async close(): Promise<void> {
    for (const worker of this.workers.values()) worker.store.close()
    await this.settle()
    await this.ledger.close()
  }
}

/** A request that was admitted or refused, and when that was decided. */
export interface Decided {
  readonly admission: Admission
  /** By both clocks. */
  readonly wall: number
  readonly steady: number
}

export class LimitWorker {
  readonly id: number
  readonly store: NodeLimitStore
  isAlive = true
  /** Neither reads nor answers, as under SIGSTOP. */
  isHung = false
  readonly #node: LimitNode
  #hear: (body: unknown) => void = () => {}
  #up: unknown[] = []
  #down: Ruling[] = []
  #asks = 0
  /** When the primary decided, by ask. */
  readonly #decidedAt = new Map<number, { wall: number; steady: number }>()

  constructor(node: LimitNode, id: number, settings: Partial<LimitStoreSettings>) {
    this.#node = node
    this.id = id
    const link: WorkerLink = {
      send: (_topic, body) => {
        this.#up.push(structuredClone(body))
        if (!node.isByHand) setImmediate(() => this.deliverUp())
      },
      on: (_topic, listener) => {
        this.#hear = listener
      },
    }
    exchangeOf(link, node.clock)
    const host = { link, instruments: noInstruments, log: quiet }
    this.store = new NodeLimitStore(host, { store: 'node', onError: 'deny', timeout: 20, strict: false, ...settings })
  }

  /** From the primary. */
  queue(body: Ruling): void {
    const { answers } = body
    for (let at = 0; at < answers.length; at += answerFields + (answers[at + 5] as number) * findingFields) {
      this.#decidedAt.set(answers[at] as number, this.#now())
    }
    this.#down.push(structuredClone(body))
    if (!this.#node.isByHand) setImmediate(() => this.deliverDown())
  }

  /** Delivers what this worker has said, or only so many messages of it. */
  deliverUp(count = Infinity): number {
    if (this.isHung || !this.isAlive) return 0
    let moved = 0
    for (; moved < count && this.#up.length > 0; moved++) this.#node.hear(this.#up.shift(), this.id)
    return moved
  }

  deliverDown(count = Infinity): number {
    if (this.isHung || !this.isAlive) return 0
    let moved = 0
    for (; moved < count && this.#down.length > 0; moved++) this.#hear(this.#down.shift())
    return moved
  }

  /** Asks the store; says when it was decided, be it here or in the primary. */
  async ask(limits: readonly Limit[], keys: readonly string[], costs = limits.map(() => 1)): Promise<Decided> {
    const answer = this.store.admit(limits, keys, costs)
    if (!(answer instanceof Promise)) return { admission: answer, ...this.#now() }
    const ask = (this.#asks += 1)
    const admission = await answer
    return { admission, ...(this.#decidedAt.get(ask) ?? this.#now()) }
  }

  /** The same where no message is needed, or null. */
  take(limits: readonly Limit[], keys: readonly string[], costs = limits.map(() => 1)): Admission | null {
    const answer = this.store.admit(limits, keys, costs)
    if (!(answer instanceof Promise)) return answer
    this.#asks += 1
    return null
  }

  #now(): { wall: number; steady: number } {
    return { wall: this.#node.clock.wall(), steady: this.#node.clock.steady() }
  }
}
