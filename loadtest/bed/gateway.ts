import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { root, type Started, startProcess } from './process.ts'

export interface ReloadAnswer {
  readonly outcome: string
  readonly hash: string
  readonly faults: readonly string[]
  /** Milliseconds. */
  readonly took: number
}

interface Status {
  readonly state: string
  readonly configuration: { readonly hash: string }
  readonly workers: readonly { readonly pid: number; readonly state: string }[]
}

const patience = 60_000
/** `SLUICE_MAIN` names the command of another build. */
const main = process.env['SLUICE_MAIN'] ?? join(root, 'dist/main.js')

/** The built gateway as its operator sees it: a process, a file, an admin port. */
export class Gateway {
  readonly #started: Started
  readonly #file: string
  readonly #admin: string

  private constructor(started: Started, file: string, adminPort: number) {
    this.#started = started
    this.#file = file
    this.#admin = `http://127.0.0.1:${adminPort}`
  }

  /** Starts it and waits until all workers serve. */
  static async start(folder: string, config: object, workers: number, adminPort: number): Promise<Gateway> {
    if (!existsSync(main)) throw new Error(`${main} is missing: run \`npm run build\``)
    const file = join(folder, 'sluice.json')
    writeFileSync(file, JSON.stringify(config, null, 2))
    const started = startProcess(process.execPath, [main, 'start', '-c', file, '--workers', String(workers)])
    const gateway = new Gateway(started, file, adminPort)
    await gateway.untilReady()
    return gateway
  }

  get pid(): number {
    return this.#started.pid
  }

  /** Lines of its log that are warnings and worse: the last of them. */
  complaints(): string[] {
    const lines = this.#started.output().split('\n')
    return lines.filter((line) => !/^\{.*"level":"(info|debug)"/.test(line) && line !== '').slice(-50)
  }

  async untilReady(): Promise<void> {
    const end = performance.now() + patience
    while (performance.now() < end) {
      if (this.#started.hasEnded) throw new Error(`the gateway ended by itself\n${this.#tail()}`)
      const answer = await fetch(`${this.#admin}/health/ready`).catch(() => null)
      await answer?.arrayBuffer()
      if (answer?.status === 200) return
      await delay(20)
    }
    throw new Error(`the gateway was not ready within ${patience / 1000} s\n${this.#tail()}`)
  }

  async status(): Promise<Status> {
    return (await (await fetch(`${this.#admin}/status`)).json()) as Status
  }

  async workerPids(): Promise<number[]> {
    return (await this.status()).workers.filter(({ state }) => state === 'active').map(({ pid }) => pid)
  }

  /** Replaces the file and reloads. That the file changed may lead to the reload first: then this says `unchanged`. */
  async reload(config: object): Promise<ReloadAnswer> {
    const begun = performance.now()
    writeFileSync(`${this.#file}.new`, JSON.stringify(config, null, 2))
    renameSync(`${this.#file}.new`, this.#file)
    const answer = await fetch(`${this.#admin}/reload`, { method: 'POST', signal: AbortSignal.timeout(patience) })
    return { ...((await answer.json()) as Omit<ReloadAnswer, 'took'>), took: performance.now() - begun }
  }

  /** Stops it as an operator does: exit code, or the signal that it took. */
  stop(): Promise<number | string> {
    return this.#started.stop(40_000)
  }

  #tail(): string {
    return this.#started.output().slice(-4000)
  }
}
