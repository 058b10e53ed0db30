import { spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, type Started, startProcess } from './process.ts'

/** Version of redis-server; `null` when it is not installed. */
export function redisVersion(): string | null {
  const { stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
  return /v=([\d.]+)/.exec(stdout ?? '')?.[1] ?? null
}

/** A Redis of its own that writes nothing to disk. */
export class Redis {
  readonly url: string
  readonly #args: readonly string[]
  #started: Started

  private constructor(port: number, args: readonly string[], started: Started) {
    this.url = `redis://127.0.0.1:${port}`
    this.#args = args
    this.#started = started
  }

  static async start(folder: string): Promise<Redis> {
    const port = await freePort()
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no']
    return new Redis(port, args, await startServer(args))
  }

  get pid(): number {
    return this.#started.pid
  }

  freeze(): void {
    this.#started.signal('SIGSTOP')
  }

  thaw(): void {
    this.#started.signal('SIGCONT')
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    this.#started.signal('SIGKILL')
    await this.#started.ended
  }

  /** Starts it again on its port, with nothing in it. */
  async revive(): Promise<void> {
    this.#started = await startServer(this.#args)
  }

  async stop(): Promise<void> {
    await this.#started.stop()
  }
}

async function startServer(args: readonly string[]): Promise<Started> {
  const started = startProcess('redis-server', args)
  for (let tries = 0; !started.output().includes('Ready to accept connections'); tries++) {
    if (started.hasEnded || tries > 1000) throw new Error(`redis-server did not start\n${started.output()}`)
    await delay(20)
  }
  return started
}
