import { setImmediate } from 'node:timers'
import { Piscina } from 'piscina'
import type { Kept, PluginLog } from '../core/plugin.ts'
import type { Counter, Distribution, Instruments } from '../core/services/instruments.ts'
import type { TokenFault } from '../core/services/tokens.ts'
import type { VerificationKey } from '../core/verification-key.ts'
import { type Batch, verifyBatch } from './jwt-batch.ts'
import { costOf, signatureBytes } from './jwt-signature.ts'
import { tokenFaults } from './token-faults.ts'

export interface PoolSettings {
  readonly threads: number
  /** Microseconds of work per thread that may wait; what is beyond is refused. */
  readonly maxWork: number
  /**
   * Microseconds: a tick with less work than that does it on the event loop, for a message to a thread and back costs the loop
   * as much.
   */
  readonly inlineWork: number
  /** Milliseconds after which a thread that says nothing is given up. */
  readonly patience: number
}

/**
 * One thread: there is a worker process per core, and each has its own pool. 100 ms of work are 4,000 RS256 tokens, 1,400
 * with ES256: more than a burst of new clients, less than anybody would wait for.
 */
const defaults: PoolSettings = { threads: 1, maxWork: 100_000, inlineWork: 35, patience: 5_000 }

/** Milliseconds between two starts of threads, so that threads that can't run don't keep the process busy with starting them. */
const restartInterval = 1_000

/** The key that verified the token, `null` when none did. */
export type Verification = VerificationKey | null | TokenFault

interface Check {
  readonly keys: readonly VerificationKey[]
  readonly firstRow: number
  readonly settle: (verification: Verification) => void
}

/** What is collected until the tick ends, then what waits for a thread. */
interface Round {
  readonly batch: Batch
  readonly checks: Check[]
  readonly keyIndexes: Map<VerificationKey, number>
  work: number
  /** `performance.now()`. */
  sentAt: number
}

/** Node runs no TypeScript in threads: the sources use the build's, from `src/services/` on the way from `dist/services/`. */
const script = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/services/jwt-thread.js' : './jwt-thread.js',
  import.meta.url,
).href

/**
 * Verifies signatures in threads, so that the event loop goes on meanwhile. All verifications of a tick travel in one message, for a
 * message costs more than a verification with RSA; one such alone is done here. What waits is bounded by the time that it will take: a flood gets 503,
 * it doesn't make everybody wait. Threads start with the first need. A thread that dies or hangs fails what it had, and others
 * are started.
 */
export class VerificationPool implements Kept {
  readonly #settings: PoolSettings
  readonly #log: PluginLog
  readonly #rejected: Counter
  readonly #batchSizes: Distribution
  #threads: Piscina | null = null
  #startedAt = -Infinity
  #round: Round | null = null
  /** Sent and not answered, the oldest first. */
  readonly #sent = new Set<Round>()
  #watch: NodeJS.Timeout | undefined
  #work = 0
  #waiting = 0

  constructor(instruments: Instruments, log: PluginLog, settings: Partial<PoolSettings> = {}) {
    this.#settings = { ...defaults, ...settings }
    this.#log = log
    this.#rejected = instruments.counter(
      'sluice_token_verifications_rejected_total',
      'Tokens that were not verified because too many waited.',
    )
    this.#batchSizes = instruments.distribution(
      'sluice_token_batch_size',
      'Verifications that one message to a thread carried.',
      [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    )
  }

  /** Verifications that wait for a thread or its answer. */
  get waiting(): number {
    return this.#waiting
  }

  /**
   * Which of `keys` signed the token. The caller has made sure that they are meant for the algorithm. At once when too many wait;
   * never rejects.
   */
  verify(token: string, algorithm: string, keys: readonly VerificationKey[]): Promise<Verification> | TokenFault {
    const work = costOf(algorithm, signatureBytes(token)) * keys.length
    if (this.#work + work > this.#settings.maxWork * this.#settings.threads && this.#work > 0) {
      this.#rejected.add(1)
      return tokenFaults.overloaded
    }
    const round = (this.#round ??= this.#beginRound())
    const { batch, checks, keyIndexes } = round
    const firstRow = batch.tokens.length
    for (const key of keys) {
      let index = keyIndexes.get(key)
      if (index === undefined) {
        index = batch.keys.push(key.key) - 1
        keyIndexes.set(key, index)
      }
      batch.tokens.push(token)
      batch.algorithms.push(algorithm)
      batch.keyIndexes.push(index)
    }
    round.work += work
    this.#work += work
    this.#waiting += keys.length
    return new Promise((settle) => checks.push({ keys, firstRow, settle }))
  }

  /** Ends the threads; the next need starts others. What waits is told that it can't be verified. */
  close(): void {
    const round = this.#round
    this.#round = null
    if (round !== null) this.#fail(round)
    this.#dropThreads()
    this.#startedAt = -Infinity
  }

  #beginRound(): Round {
    // Behind the poll phase: whatever this turn of the event loop brings comes along.
    setImmediate(() => this.#send())
    const batch: Batch = { tokens: [], algorithms: [], keyIndexes: [], keys: [] }
    return { batch, checks: [], keyIndexes: new Map(), work: 0, sentAt: 0 }
  }

  #send(): void {
    const round = this.#round
    if (round === null) return
    this.#round = null
    if (round.work < this.#settings.inlineWork) {
      this.#settle(round, verifyBatch(round.batch))
      return
    }
    const threads = this.#openThreads()
    if (threads === null) {
      this.#fail(round)
      return
    }
    round.sentAt = performance.now()
    this.#sent.add(round)
    this.#batchSizes.record(round.batch.tokens.length)
    this.#watch ??= setTimeout(() => this.#checkAge(), this.#settings.patience).unref()
    threads.run(round.batch).then(
      (results: Uint8Array) => this.#settle(round, results),
      (error: Error) => this.#lose(round, threads, error.message),
    )
  }

  #openThreads(): Piscina | null {
    if (this.#threads !== null) return this.#threads
    const now = performance.now()
    if (now - this.#startedAt < restartInterval) return null
    this.#startedAt = now
    const { threads: count } = this.#settings
    const threads = new Piscina({
      filename: script,
      minThreads: count,
      maxThreads: count,
      // One is worked on, one lies ready: a thread need not wait for this process's attention.
      concurrentTasksPerWorker: 2,
      recordTiming: false,
    })
    threads.on('error', (error: Error) => this.#lose(null, threads, error.message))
    this.#threads = threads
    return threads
  }

  #settle(round: Round, results: Uint8Array): void {
    if (!this.#forget(round)) return
    for (const { keys, firstRow, settle } of round.checks) {
      let found: VerificationKey | null = null
      for (let i = 0; i < keys.length && found === null; i++) {
        if (results[firstRow + i] === 1) found = keys[i] as VerificationKey
      }
      settle(found)
    }
  }

  /** Something went wrong in these threads: they are given up with all that they had. */
  #lose(round: Round | null, threads: Piscina, reason: string): void {
    if (round !== null) this.#fail(round)
    if (threads !== this.#threads) return
    this.#log.error('threads that verify tokens have failed and are replaced', { reason })
    this.#dropThreads()
  }

  #dropThreads(): void {
    const threads = this.#threads
    this.#threads = null
    clearTimeout(this.#watch)
    this.#watch = undefined
    for (const round of this.#sent) this.#fail(round)
    threads?.destroy().catch((error: Error) => this.#log.error('threads did not end', { reason: error.message }))
  }

  #checkAge(): void {
    this.#watch = undefined
    const [oldest] = this.#sent
    if (oldest === undefined || this.#threads === null) return
    const left = oldest.sentAt + this.#settings.patience - performance.now()
    if (left > 0) this.#watch = setTimeout(() => this.#checkAge(), left).unref()
    else this.#lose(oldest, this.#threads, `no answer within ${this.#settings.patience} ms`)
  }

  #fail(round: Round): void {
    if (!this.#forget(round)) return
    for (const { settle } of round.checks) settle(tokenFaults.poolUnavailable)
  }

  /** False: it was settled before. */
  #forget(round: Round): boolean {
    if (round.sentAt !== 0 && !this.#sent.delete(round)) return false
    this.#work -= round.work
    this.#waiting -= round.batch.tokens.length
    return true
  }
}
