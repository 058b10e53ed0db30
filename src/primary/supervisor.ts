import type { WorkerReport } from '../core/messages.ts'
import type { Log } from '../telemetry/logger.ts'
import { type Bounds, defaultBounds } from './bounds.ts'
import { Fork, type WorkerState } from './fork.ts'
import type { Link } from './link.ts'

/** A packed snapshot and its number. */
export interface Packed {
  readonly version: number
  readonly bytes: Uint8Array
}

export interface SupervisorSettings {
  /** Absolute path of what a worker runs. */
  readonly script: string
  readonly env: NodeJS.ProcessEnv
  readonly log: Log
  /** Services talk to workers through it. */
  readonly link: Link
  /** Called at most once: no worker can be kept alive, and none is. */
  onHopeless(reason: string): void
  /** Figures of a worker. */
  onReport(report: WorkerReport): void
  /** A worker has ended. */
  onGone(pid: number): void
  readonly bounds?: Partial<Bounds>
}

/** A worker's place: who is in it now, and what became of those before. */
interface Slot {
  worker: Fork
  /** Forks after the first. */
  restarts: number
  /** Deaths in a row that came too soon. */
  early: number
  /** Those of them that never served. */
  stillborn: number
  respawn: NodeJS.Timeout | undefined
}

export interface WorkerStatus {
  readonly pid: number
  readonly state: WorkerState | 'hung'
  readonly restarts: number
  readonly version: number
  /** Seconds since its fork. */
  readonly uptime: number
}

/** What became of a candidate snapshot: every worker has compiled it, or not and why. */
export type Staging =
  | { readonly outcome: 'staged'; readonly commit: () => Promise<void> }
  | { readonly outcome: 'refused' | 'died'; readonly reasons: readonly string[] }

/** Keeps the workers alive and on one snapshot. */
export class Supervisor {
  readonly #settings: SupervisorSettings
  readonly #bounds: Bounds
  readonly #log: Log
  readonly #ping: NodeJS.Timeout
  #slots: Slot[] = []
  /** Beyond the wanted number, on their way out. */
  readonly #leaving = new Set<Fork>()
  /** Workers that are being brought to the current version. */
  readonly #installs = new Map<Fork, Promise<void>>()
  #current: Packed
  #stopping = false
  #served = false
  #collection = 0
  #restarts = 0
  #onServing: () => void = () => {}

  /** The workers of `current` are forked by `resize`. */
  constructor(settings: SupervisorSettings, current: Packed) {
    this.#settings = settings
    this.#bounds = { ...defaultBounds, ...settings.bounds }
    this.#log = settings.log
    this.#current = current
    this.#ping = setInterval(() => this.#pingAll(), this.#bounds.ping).unref()
  }

  /** Forks or drains workers until there are `count`; those that leave have `timeout` milliseconds to finish. */
  resize(count: number, timeout: number): void {
    for (const { worker, respawn } of this.#slots.splice(count)) {
      clearTimeout(respawn)
      this.#leaving.add(worker)
      void worker.drain(timeout, this.#bounds.slack)
    }
    while (this.#slots.length < count) {
      this.#slots.push({ worker: this.#fork(), restarts: 0, early: 0, stillborn: 0, respawn: undefined })
    }
  }

  /** Workers forked in place of dead ones, since the start. */
  get restarts(): number {
    return this.#restarts
  }

  /** Resolves when every worker serves the current snapshot. */
  async serving(): Promise<void> {
    while (!this.ready) await new Promise<void>((resolve) => (this.#onServing = resolve))
  }

  /** Whether every worker serves the current snapshot, or is just swapping to it. */
  get ready(): boolean {
    if (this.#stopping || this.#slots.length === 0) return false
    return this.#slots.every(({ worker }) => worker.state === 'active' && worker.activating === this.#current.version)
  }

  /**
   * Has every worker compile a snapshot, without serving it. `commit` makes all of them swap to it; if one can't
   * compile it, none will. One worker tries it alone first: a snapshot that kills costs one worker and not all.
   */
  async stage(candidate: Packed): Promise<Staging> {
    const { version } = candidate
    // A worker that is still being brought up would mistake one snapshot for the other.
    for (const [worker, install] of this.#installs) if (worker.state === 'active') await install
    const workers = this.#slots.map((slot) => slot.worker).filter((worker) => worker.state === 'active')
    if (workers.length === 0) return { outcome: 'died', reasons: ['no worker is running'] }
    const prepare = (worker: Fork) => worker.prepare(version, candidate.bytes, this.#bounds.prepare)
    const answers = await Promise.all(workers.slice(0, 1).map(prepare))
    if (answers[0]?.outcome === 'prepared') answers.push(...(await Promise.all(workers.slice(1).map(prepare))))

    const failed = answers.filter((answer) => answer.outcome !== 'prepared')
    if (failed.length === 0) return { outcome: 'staged', commit: () => this.#commit(candidate, workers) }
    for (const worker of workers) worker.discard(version)
    // All workers refuse for the same reasons as a rule: each is told once.
    const reasons = [...new Set(failed.map((answer) => answer.reason))]
    return { outcome: failed.some((answer) => answer.outcome === 'refused') ? 'refused' : 'died', reasons }
  }

  /** Asks all workers for their figures; resolves with how many gave none within `bound` milliseconds. */
  async collect(bound: number): Promise<number> {
    const id = (this.#collection += 1)
    const answers = await Promise.all(this.#slots.map(({ worker }) => worker.collect(id, bound)))
    return answers.filter((came) => !came).length
  }

  status(): WorkerStatus[] {
    return this.#slots.map(({ worker, restarts }) => ({
      pid: worker.pid,
      state: worker.alive && worker.unanswered >= this.#bounds.hung ? 'hung' : worker.state,
      restarts,
      version: worker.version,
      uptime: Math.round((Date.now() - worker.startedAt) / 1000),
    }))
  }

  reopenLogs(): void {
    for (const { worker } of this.#slots) worker.reopenLogs()
  }

  /** Ends all workers, each when what it has in flight is finished, at the latest after `timeout` milliseconds. */
  async drain(timeout: number): Promise<void> {
    this.#stop()
    const ended = await Promise.all(this.#all().map((worker) => worker.drain(timeout, this.#bounds.slack)))
    const killed = ended.filter((byItself) => !byItself).length
    if (killed > 0) this.#log.warn({ killed }, 'some workers did not end in time')
  }

  /** Ends all workers at once. */
  kill(): void {
    this.#stop()
    for (const worker of this.#all()) worker.kill('killed at shutdown')
  }

  #all(): Fork[] {
    return [...this.#slots.map((slot) => slot.worker), ...this.#leaving]
  }

  #stop(): void {
    this.#stopping = true
    clearInterval(this.#ping)
    for (const { respawn } of this.#slots) clearTimeout(respawn)
  }

  #fork(): Fork {
    const settings = this.#settings
    const start = setTimeout(
      () => worker.kill(`did not start within ${this.#bounds.start / 1000} s`),
      this.#bounds.start,
    )
    const worker = new Fork({
      script: settings.script,
      env: settings.env,
      onReport: (report) => {
        settings.onReport(report)
        // Its last words may arrive after the news of its end.
        if (!worker.alive) settings.onGone(worker.pid)
      },
      onService: (topic, body) => settings.link.hear(worker.id, topic, body),
      onReady: () => {
        clearTimeout(start)
        settings.link.join(worker)
        void this.#install(worker)
      },
      onExit: () => {
        clearTimeout(start)
        settings.onGone(worker.pid)
        settings.link.leave(worker.id)
        this.#bury(worker)
      },
    })
    return worker
  }

  #install(worker: Fork): Promise<void> {
    const running = this.#installs.get(worker)
    if (running !== undefined) return running
    const install = this.#bringUp(worker).finally(() => this.#installs.delete(worker))
    this.#installs.set(worker, install)
    return install
  }

  /** Brings a worker to the current version, also when that changes meanwhile. */
  async #bringUp(worker: Fork): Promise<void> {
    while (worker.alive && worker.version !== this.#current.version) {
      const { version, bytes } = this.#current
      const answer = await worker.prepare(version, bytes, this.#bounds.prepare)
      if (answer.outcome === 'refused') {
        // It is what all the others serve: nothing but the end of this worker can follow.
        worker.kill(answer.reason)
        if (!this.#served) this.#giveUp(answer.reason)
      }
      if (answer.outcome !== 'prepared') return
      if (version === this.#current.version) await worker.activate(version, this.#bounds.activate)
    }
    if (!worker.alive) return
    this.#served = true
    this.#log.debug({ worker: worker.pid, version: worker.version }, 'worker serves')
    this.#onServing()
  }

  async #commit(candidate: Packed, workers: readonly Fork[]): Promise<void> {
    this.#current = candidate
    const swaps = workers.map((worker) => worker.activate(candidate.version, this.#bounds.activate))
    // Workers that came up while the others compiled were left out of it.
    const late = this.#slots.filter(({ worker }) => worker.state === 'active' && !workers.includes(worker))
    await Promise.all([...swaps, ...late.map(({ worker }) => this.#install(worker))])
  }

  #bury(worker: Fork): void {
    this.#leaving.delete(worker)
    const slot = this.#slots.find((one) => one.worker === worker)
    if (this.#stopping || slot === undefined) return
    const served = worker.activeSince === 0 ? 0 : Date.now() - worker.activeSince
    slot.early = served >= this.#bounds.stable ? 0 : slot.early + 1
    slot.stillborn = worker.activeSince === 0 ? slot.stillborn + 1 : 0
    if (slot.stillborn >= this.#bounds.stillborn && !this.#slots.some((other) => other.worker.state === 'active')) {
      return this.#giveUp(`workers die before they can serve: ${worker.reason}`)
    }
    const wait = this.#backoff(slot.early)
    this.#log.error({ worker: worker.pid, reason: worker.reason, respawn_in_ms: wait }, 'worker died')
    slot.respawn = setTimeout(() => this.#respawn(slot), wait)
  }

  #respawn(slot: Slot): void {
    slot.restarts += 1
    this.#restarts += 1
    try {
      slot.worker = this.#fork()
    } catch (error) {
      // No memory or no process left: those that still serve must not go down with it.
      this.#log.error({ reason: (error as Error).message }, 'worker could not be forked')
      slot.respawn = setTimeout(() => this.#respawn(slot), this.#bounds.longest)
    }
  }

  /** None after a first early death; then doubling, with jitter, so that the workers don't die in step. */
  #backoff(early: number): number {
    if (early < 2) return 0
    const most = Math.min(this.#bounds.longest, this.#bounds.backoff * 2 ** (early - 2))
    return Math.round(most * (0.5 + Math.random() / 2))
  }

  #giveUp(reason: string): void {
    if (this.#stopping) return
    this.kill()
    this.#settings.onHopeless(reason)
  }

  #pingAll(): void {
    const { hung, lost } = this.#bounds
    for (const { worker } of this.#slots) {
      if (worker.state !== 'active') continue
      if (worker.unanswered === hung) this.#log.warn({ worker: worker.pid }, 'worker does not answer')
      if (worker.unanswered >= lost) worker.kill(`did not answer for ${(lost * this.#bounds.ping) / 1000} s`)
      else worker.ping()
    }
  }
}
