import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'

/** `SLUICE_MAIN` names the command of another build to be tested. */
const main = process.env['SLUICE_MAIN'] ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export interface GatewayOptions {
  readonly workers?: number
  readonly env?: Readonly<Record<string, string>>
  /** Further files beside the configuration, by relative path. */
  readonly files?: Readonly<Record<string, string>>
}

/** A line of the control log. */
export interface LogLine {
  readonly level: string
  readonly role: string
  readonly pid: number
  readonly msg: string
  readonly [field: string]: unknown
}

export interface Status {
  readonly state: string
  readonly uptime: number
  readonly configuration: { readonly version: number; readonly hash: string; readonly age: number }
  readonly workers: readonly { pid: number; state: string; restarts: number; version: number }[]
  readonly [field: string]: unknown
}

export interface ReloadAnswer {
  readonly status: number
  readonly outcome: string
  readonly version: number
  readonly hash: string
  readonly faults: readonly string[]
}

/** A configuration with one route for everything, to one service. */
export function oneRoute(target: string, more: object = {}): object {
  return {
    routes: [{ name: 'all', upstream: 'service' }],
    upstreams: [{ name: 'service', targets: [{ target }] }],
    ...more,
  }
}

const running = new Set<RunningGateway>()
process.on('exit', () => {
  for (const gateway of running) gateway.kill()
})

/**
 * Starts the built gateway with a configuration (YAML text, or an object) in a folder of its own, and waits until it
 * is ready. `listeners` and `admin` are added on free ports where they don't stand in it.
 */
export async function startGateway(config: string | object, options: GatewayOptions = {}): Promise<RunningGateway> {
  for (let tries = 3; ; tries--) {
    const gateway = launchGateway(config, options)
    try {
      await gateway.waitForLog('ready')
      return gateway
    } catch (error) {
      // Between the choice of a free port and listening on it an outgoing connection of another test may have taken it.
      if (tries === 1 || !gateway.output().includes("can't listen on")) throw error
      await gateway.dispose()
    }
  }
}

/** The same without waiting: for starts that fail. */
export function launchGateway(config: string | object, options: GatewayOptions = {}): RunningGateway {
  if (!existsSync(main)) throw new Error(`${main} is missing: run "npm run build" first`)
  const gateway = new RunningGateway(config, options)
  running.add(gateway)
  return gateway
}

/** For `afterEach`: ends every gateway that is still running, and removes its folder. */
export async function stopGateways(): Promise<void> {
  await Promise.all([...running].map((gateway) => gateway.dispose()))
}

/** A gateway as its operator sees it: a process, a file, a log, an admin port. */
export class RunningGateway {
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  readonly file = join(this.folder, 'sluice.yaml')
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>
  readonly #process: ChildProcess
  #output = ''
  #errors = ''
  #hasEnded = false
  #watchers: (() => void)[] = []

  constructor(config: string | object, { workers, env = {}, files = {} }: GatewayOptions) {
    for (const [path, content] of Object.entries(files)) this.write(path, content)
    writeFileSync(this.file, textOf(config))
    const args = [main, 'start', '-c', this.file, ...(workers === undefined ? [] : ['--workers', String(workers)])]
    this.#process = spawn(process.execPath, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString()
      for (const watcher of this.#watchers) watcher()
    })
    this.#process.stderr?.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()))
    this.ended = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        const ended = (): void => {
          this.#hasEnded = true
          for (const watcher of this.#watchers) watcher()
          resolve(code ?? signal ?? -1)
        }
        // With 'close' everything that was written has been read; workers that outlive a killed primary hold it up.
        const patience = setTimeout(ended, 500)
        this.#process.once('close', () => {
          clearTimeout(patience)
          ended()
        })
      })
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  /** Addresses in the order of the configuration's listeners. */
  get addresses(): string[] {
    return this.logs()
      .filter(({ msg }) => msg === 'listening')
      .map(({ address }) => String(address))
  }

  get port(): number {
    return portOf(this.addresses[0])
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get adminPort(): number {
    return portOf(this.logs().findLast(({ msg }) => msg === 'admin listening')?.address)
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.adminPort}`
  }

  /** Everything on stdout that is a line of the control log. */
  logs(): LogLine[] {
    return this.#lines().filter((line) => 'msg' in line) as LogLine[]
  }

  /** Everything on stdout that is a line of the access log. */
  accessLog(): Record<string, unknown>[] {
    return this.#lines().filter((line) => !('msg' in line))
  }

  /** All output, for messages of failed tests. */
  output(): string {
    return this.#output + this.#errors
  }

  get stderr(): string {
    return this.#errors
  }

  /** Resolves with the first line of the control log with that `msg` and fields; rejects when the process ends first. */
  waitForLog(msg: string, fields: Readonly<Record<string, unknown>> = {}, after = 0): Promise<LogLine> {
    return this.waitFor(`the log line "${msg}"`, () =>
      this.logs()
        .slice(after)
        .find((line) => line.msg === msg && Object.entries(fields).every(([key, value]) => line[key] === value)),
    )
  }

  /** Resolves with what `look` finds as soon as it finds something; it is called whenever the gateway wrote something. */
  waitFor<T>(what: string, look: () => T | undefined, timeout = 20_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#watchers = this.#watchers.filter((watcher) => watcher !== check)
      }
      const check = (): void => {
        const found = look()
        if (found === undefined && !this.#hasEnded) return
        done()
        if (found !== undefined) resolve(found)
        else reject(new Error(`the gateway ended before ${what}:\n${this.output()}`))
      }
      const timer = setTimeout(() => {
        done()
        reject(new Error(`${what} did not come within ${timeout} ms:\n${this.output().slice(-4000)}`))
      }, timeout)
      this.#watchers.push(check)
      check()
    })
  }

  /** Asks for the status until it is as wanted. */
  async until(what: string, isSo: (status: Status) => boolean, timeout = 20_000): Promise<Status> {
    const end = Date.now() + timeout
    for (;;) {
      const status = await this.status()
      if (isSo(status)) return status
      if (Date.now() > end)
        throw new Error(`not ${what} within ${timeout} ms: ${JSON.stringify(status)}\n${this.output().slice(-4000)}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Whether somebody accepts connections on the first listener's port. */
  accepts(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect({ port: this.port, host: '127.0.0.1' })
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  }

  async status(): Promise<Status> {
    const { body } = await request(`${this.adminUrl}/status`)
    return (await body.json()) as Status
  }

  async metrics(): Promise<string> {
    const { body } = await request(`${this.adminUrl}/metrics`)
    return body.text()
  }

  async workerPids(): Promise<number[]> {
    return (await this.status()).workers.map(({ pid }) => pid)
  }

  /** Replaces the configuration file, as an editor does. Free ports stay as they are. */
  configure(config: string | object): void {
    writeFileSync(`${this.file}.new`, textOf(config))
    renameSync(`${this.file}.new`, this.file)
  }

  /** Writes a file beside the configuration. */
  write(path: string, content: string): void {
    const file = join(this.folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }

  /** Replaces the configuration and reloads by the admin port. */
  async reload(config: string | object): Promise<ReloadAnswer> {
    this.configure(config)
    return this.postReload()
  }

  async postReload(): Promise<ReloadAnswer> {
    const { statusCode, body } = await request(`${this.adminUrl}/reload`, { method: 'POST', headersTimeout: 60_000 })
    return { status: statusCode, ...((await body.json()) as Omit<ReloadAnswer, 'status'>) }
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name)
  }

  /** Stops as an operator would; resolves with the exit code. */
  stop(): Promise<number | string> {
    this.signal('SIGTERM')
    return this.ended
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  /** Stops it however, and removes its folder. */
  async dispose(): Promise<void> {
    running.delete(this)
    if (!this.#hasEnded) {
      const patience = setTimeout(() => this.kill(), 5000)
      await this.stop()
      clearTimeout(patience)
    }
    rmSync(this.folder, { recursive: true, force: true })
  }

  #lines(): Record<string, unknown>[] {
    return this.#output.split('\n').flatMap((line) => {
      if (!line.startsWith('{') || !line.endsWith('}')) return []
      return [JSON.parse(line) as Record<string, unknown>]
    })
  }
}

/** An object is written as JSON, which is YAML too. */
function textOf(config: string | object): string {
  if (typeof config !== 'string') {
    return JSON.stringify(
      { listeners: [{ address: '127.0.0.1:0' }], admin: { address: '127.0.0.1:0' }, ...config },
      null,
      2,
    )
  }
  const listeners = /^ *"?listeners"?:/m.test(config) ? '' : 'listeners: [{ address: "127.0.0.1:0" }]\n'
  const admin = /^ *"?admin"?:/m.test(config) ? '' : 'admin: { address: "127.0.0.1:0" }\n'
  return config + (config.endsWith('\n') || config === '' ? '' : '\n') + listeners + admin
}

function portOf(address: unknown): number {
  if (typeof address !== 'string') throw new Error('the gateway does not listen there')
  return Number(address.slice(address.lastIndexOf(':') + 1))
}
