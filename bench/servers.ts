import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createFolder, freePort, gatewayCore, loadCore, type Started, startProcess, untilReady } from './processes.ts'

/** The folder of the repository; this file runs from .cache/bench/bench. */
export const root = join(import.meta.dirname, '../../..')

/** A proxy that is up. */
export interface Proxy {
  readonly name: string
  readonly port: number
  readonly started: Started
  /** Milliseconds from its start until it served the first request. */
  readonly readyAfter: number
}

export interface Origin {
  readonly port: number
  stop(): Promise<void>
}

/** The upstream of everything that is measured. */
export async function startOrigin(): Promise<Origin> {
  const started = startProcess(loadCore, process.execPath, [join(import.meta.dirname, 'origin.js')])
  const port = await new Promise<number>((resolve, reject) => {
    started.process.stdout?.once('data', (line: Buffer) => resolve(Number(line.toString())))
    started.process.once('close', () => reject(new Error(`the origin did not start\n${started.stderr()}`)))
  })
  return { port, stop: () => started.stop() }
}

/** The text of a file of bench/configs with its `{{marks}}` filled in. */
export function fillConfig(file: string, values: Readonly<Record<string, string>>): string {
  const template = readFileSync(join(root, 'bench/configs', file), 'utf8')
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_match, key: string) => {
    const value = values[key]
    if (value === undefined) throw new Error(`bench/configs/${file}: nothing to put in place of ${key}`)
    return value
  })
}

/** How a command is started that takes its configuration by file. */
export interface Launch {
  readonly name: string
  readonly command: string
  readonly args: (configPath: string, folder: string) => readonly string[]
  readonly config: string
  readonly values: Readonly<Record<string, string>>
  readonly env?: NodeJS.ProcessEnv
  readonly secure?: boolean
  readonly credential?: string | null
}

/** Starts a proxy on the core of those who are measured, with a file of bench/configs and a folder of its own. */
export async function launch(job: Launch): Promise<Proxy> {
  const { name, command, args, config, values, env = {}, secure = false, credential = null } = job
  const port = await freePort()
  const folder = createFolder()
  const path = join(folder, config)
  writeFileSync(path, fillConfig(config, { folder, port: String(port), ...values }))
  const started = startProcess(gatewayCore, command, args(path, folder), env, join(folder, 'stdout'))
  const url = `${secure ? 'https' : 'http'}://127.0.0.1:${port}/api/svc1/ready`
  return { name, port, started, readyAfter: await untilReady(started, url, credential) }
}

/** How the gateway is started. */
export interface GatewayOptions {
  readonly workers?: number
  readonly core?: number | null
  readonly secure?: boolean
  /** dist/main.js of another commit. */
  readonly main?: string
}

/** The gateway, with one worker. The configuration takes its ports from the environment. */
export async function startGateway(
  configPath: string,
  originPort: number,
  env: Readonly<Record<string, string>> = {},
  credential: string | null = null,
  /** Of the engine; the workers inherit them. */
  flags: readonly string[] = [],
  options: GatewayOptions = {},
): Promise<Proxy> {
  const { workers = 1, core = gatewayCore, secure = false, main = join(root, 'dist/main.js') } = options
  if (!existsSync(main)) throw new Error(`${main} is missing: run \`npm run build\``)
  const port = await freePort()
  const adminPort = await freePort()
  const args = [...flags, main, 'start', '-c', configPath, '--workers', String(workers)]
  const started = startProcess(core, process.execPath, args, {
    BENCH_PORT: String(port),
    BENCH_ADMIN_PORT: String(adminPort),
    BENCH_ORIGIN_PORT: String(originPort),
    ...env,
  })
  started.process.stdout?.resume()
  const readyAfter = await untilReady(started, `http://127.0.0.1:${adminPort}/health/ready`)
  await untilReady(started, `${secure ? 'https' : 'http'}://127.0.0.1:${port}/api/svc1/ready`, credential)
  return { name: 'sluice', port, started, readyAfter }
}
