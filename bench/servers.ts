import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  createFolder,
  freePort,
  gatewayCore,
  isInstalled,
  loadCore,
  type Started,
  startProcess,
  untilReady,
} from './processes.ts'

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

export async function startOrigin(): Promise<Origin> {
  const started = startProcess(loadCore, process.execPath, [join(import.meta.dirname, 'origin.js')])
  const port = await new Promise<number>((resolve, reject) => {
    started.process.stdout?.once('data', (line: Buffer) => resolve(Number(line.toString())))
    started.process.once('close', () => reject(new Error(`the origin did not start\n${started.stderr()}`)))
  })
  return { port, stop: () => started.stop() }
}

/** Names of the proxies that can be compared on this machine, the gateway first. */
export function rivals(): string[] {
  return ['sluice', ...['nginx', 'haproxy'].filter(isInstalled)]
}

export async function startProxy(name: string, originPort: number): Promise<Proxy> {
  if (name === 'sluice') return startGateway(join(root, 'bench/configs/passthrough.yaml'), originPort)
  return startRival(name, name === 'nginx' ? 'nginx.conf' : 'haproxy.cfg', originPort)
}

/** nginx or HAProxy with a file of bench/configs, in which `{{port}}` and the like are filled in. */
export async function startRival(
  name: string,
  file: string,
  originPort: number,
  more: Readonly<Record<string, string>> = {},
  credential: string | null = null,
): Promise<Proxy> {
  const port = await freePort()
  const folder = createFolder()
  const path = join(folder, file)
  const template = readFileSync(join(root, 'bench/configs', file), 'utf8')
  const values: Record<string, string> = { folder, port: String(port), origin: String(originPort), ...more }
  writeFileSync(
    path,
    template.replaceAll(/\{\{(\w+)\}\}/g, (_match, key: string) => values[key] as string),
  )
  const args = name === 'nginx' ? ['-p', folder, '-c', path] : ['-db', '-f', path]
  const started = startProcess(gatewayCore, name, args, {}, join(folder, 'stdout'))
  return {
    name,
    port,
    started,
    readyAfter: await untilReady(started, `http://127.0.0.1:${port}/api/ready`, credential),
  }
}

/** The gateway with one worker. The configuration takes its ports from the environment. */
export async function startGateway(
  configPath: string,
  originPort: number,
  env: Readonly<Record<string, string>> = {},
  credential: string | null = null,
  /** Of the engine; the worker inherits them. */
  flags: readonly string[] = [],
): Promise<Proxy> {
  const main = join(root, 'dist/main.js')
  if (!existsSync(main)) throw new Error('dist/main.js is missing: run `npm run build`')
  const port = await freePort()
  const adminPort = await freePort()
  const started = startProcess(
    gatewayCore,
    process.execPath,
    [...flags, main, 'start', '-c', configPath, '--workers', '1'],
    {
      BENCH_PORT: String(port),
      BENCH_ADMIN_PORT: String(adminPort),
      BENCH_ORIGIN_PORT: String(originPort),
      ...env,
    },
  )
  started.process.stdout?.resume()
  const readyAfter = await untilReady(started, `http://127.0.0.1:${adminPort}/health/ready`)
  await untilReady(started, `http://127.0.0.1:${port}/api/svc1/ready`, credential)
  return { name: 'sluice', port, started, readyAfter }
}
