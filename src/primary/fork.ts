import { type ChildProcess, fork } from 'node:child_process'
import type { PrimaryMessage, Topic, WorkerMessage, WorkerReport } from '../core/messages.ts'

/** How a worker answers a snapshot: it has compiled it, it can't, or it died (or was killed, being deaf) over it. */
export type Preparation =
  | { readonly outcome: 'prepared' }
  | { readonly outcome: 'refused'; readonly reason: string }
  | { readonly outcome: 'died'; readonly reason: string }

/** `dying`: killed, but not gone yet. */
export type WorkerState = 'starting' | 'active' | 'draining' | 'dying' | 'dead'

export interface ForkSettings {
  /** Absolute path of what a worker runs. */
  readonly script: string
  readonly env: NodeJS.ProcessEnv
  /** The process is up and asks for its first snapshot. */
  onReady(): void
  /** Figures, asked for or the last ones of a worker that has drained. */
  onReport(report: WorkerReport): void
  /** One of its services has something to say. */
  onService(topic: Topic, body: unknown): void
  /** Called once, when the process has ended. */
  onExit(): void
}

let forks = 0

/** One forked worker, as the primary sees it: its process, its channel, what it has answered. */
export class Fork {
  /** Never the same again, as process ids are. */
  readonly id = (forks += 1)
  readonly startedAt = Date.now()
  /** `Date.now()` when it first served a snapshot; 0 before. */
  activeSince = 0
  /** Version that it serves; 0: none yet. */
  version = 0
  /** Version that it has been told to serve. */
  activating = 0
  state: WorkerState = 'starting'
  /** Why it ended, in words; `''` while it lives. */
  reason = ''
  /** Pings sent since the last sign of life. */
  unanswered = 0
  readonly #process: ChildProcess
  /** Who waits for which answer; each gets null when the process ends. */
  readonly #waits = new Map<string, (answer: WorkerMessage | null) => void>()
  #complaint = ''
  readonly #settings: ForkSettings

  constructor(settings: ForkSettings) {
    this.#settings = settings
    this.#process = fork(settings.script, [], {
      env: settings.env,
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#process.on('message', (message) => this.#hear(message as WorkerMessage))
    this.#process.once('exit', (code, signal) =>
      this.#ended(signal === null ? `exit code ${code}` : `signal ${signal}`),
    )
    // Without an 'exit': the process could not be started, or a message could not be sent to one that is ending.
    this.#process.on('error', (error) => {
      if (this.#process.pid === undefined) this.#ended(error.message)
    })
    this.#process.once('disconnect', () => {
      // It should be ending by itself; one that can't be talked to any more is of no use.
      setTimeout(() => this.kill('lost its channel'), deafness).unref()
    })
  }

  /** 0 when the process could not be started. */
  get pid(): number {
    return this.#process.pid ?? 0
  }

  get alive(): boolean {
    return this.state !== 'dead'
  }

  /** Has it compile a snapshot beside the one it serves. Killed when it has not answered within `bound` milliseconds. */
  async prepare(version: number, snapshot: Uint8Array, bound: number): Promise<Preparation> {
    const answer = this.#wait(`snapshot ${version}`, bound)
    this.#send({ type: 'prepare', version, snapshot })
    const message = await answer
    if (message?.type === 'prepared') return { outcome: 'prepared' }
    if (message?.type === 'refused') return { outcome: 'refused', reason: message.reason }
    this.kill(`did not answer a snapshot within ${bound / 1000} s`)
    return { outcome: 'died', reason: this.reason }
  }

  /** Has it swap to the prepared snapshot; false when it died instead. Killed when it is not done within `bound`. */
  async activate(version: number, bound: number): Promise<boolean> {
    const answer = this.#wait(`active ${version}`, bound)
    this.activating = version
    this.#send({ type: 'activate', version })
    if ((await answer) !== null) return true
    this.kill(`did not swap to a snapshot within ${bound / 1000} s`)
    return false
  }

  discard(version: number): void {
    this.#send({ type: 'discard', version })
  }

  /** Asks for its figures, which come by `onReport`; false when none came within `bound` milliseconds. */
  async collect(id: number, bound: number): Promise<boolean> {
    const answer = this.#wait(`metrics ${id}`, bound)
    this.#send({ type: 'collect', id })
    return (await answer) !== null
  }

  ping(): void {
    this.unanswered += 1
    this.#send({ type: 'ping' })
  }

  reopenLogs(): void {
    this.#send({ type: 'reopen_logs' })
  }

  /** For one of its services. */
  tell(topic: Topic, body: unknown): void {
    this.#send({ type: 'service', topic, body })
  }

  /** Has it finish what is in flight and exit; killed when it is not done in time. True: it ended by itself. */
  async drain(timeout: number, slack: number): Promise<boolean> {
    if (!this.alive) return true
    this.state = 'draining'
    const ended = this.#wait('exit', timeout + slack)
    this.#send({ type: 'drain', timeout })
    await ended
    if (!this.alive) return true
    this.kill('did not end in time')
    await this.#wait('exit', slack)
    return false
  }

  /** Ends it at once. `reason` explains its end if it is not over already. */
  kill(reason: string): void {
    if (!this.alive) return
    this.state = 'dying'
    this.#complaint ||= reason
    this.reason ||= reason
    this.#process.kill('SIGKILL')
  }

  #send(message: PrimaryMessage): void {
    // The callback takes the error of a channel that closes under us; the 'exit' that follows says the rest.
    if (this.#process.connected) this.#process.send(message, () => {})
  }

  /** Resolves with the answer of that name, with null after `bound` milliseconds or when the process ends. */
  #wait(name: string, bound: number): Promise<WorkerMessage | null> {
    if (!this.alive) return Promise.resolve(null)
    return new Promise((resolve) => {
      const done = (answer: WorkerMessage | null): void => {
        clearTimeout(timer)
        this.#waits.delete(name)
        resolve(answer)
      }
      const timer = setTimeout(done, bound, null)
      this.#waits.set(name, done)
    })
  }

  #hear(message: WorkerMessage): void {
    this.unanswered = 0
    switch (message.type) {
      case 'ready':
        return this.#settings.onReady()
      case 'prepared':
      case 'refused':
        return this.#waits.get(`snapshot ${message.version}`)?.(message)
      case 'active':
        this.version = message.version
        if (this.state === 'starting') {
          this.state = 'active'
          this.activeSince = Date.now()
        }
        return this.#waits.get(`active ${message.version}`)?.(message)
      case 'metrics':
        this.#settings.onReport(message.report)
        return this.#waits.get(`metrics ${message.id}`)?.(message)
      case 'service':
        return this.#settings.onService(message.topic, message.body)
      case 'fatal':
        this.#complaint ||= message.reason
        return
      case 'pong':
      case 'drained':
        return
    }
  }

  #ended(how: string): void {
    if (!this.alive) return
    this.state = 'dead'
    this.reason = this.#complaint === '' ? how : `${this.#complaint} (${how})`
    for (const done of this.#waits.values()) done(null)
    this.#settings.onExit()
  }
}

/** Milliseconds that a process may live on without its channel. */
const deafness = 5000
