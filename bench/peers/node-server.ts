import { join } from 'node:path'
import { createFolder, freePort, gatewayCore, startProcess, untilReady } from '../processes.ts'
import type { Proxy } from '../servers.ts'
import { kept, type Setup } from './peer.ts'

/** What the one-process servers in this folder are told, as JSON. */
export interface ServerOptions {
  readonly port: number
  readonly origin: number
  readonly kept: number
  readonly tls?: { readonly cert: string; readonly key: string }
  /** PEM file with the key of the tokens, and where log lines go. */
  readonly chain?: { readonly key: string; readonly log: string }
}

/** Starts a server of this folder in a process of its own. */
export async function startNodeServer(name: string, file: string, setup: Setup): Promise<Proxy> {
  const port = await freePort()
  const { origin, tls, chain } = setup
  const options: ServerOptions = {
    port,
    origin,
    kept: setup.kept ?? kept,
    ...(tls === undefined ? {} : { tls }),
    ...(chain === undefined
      ? {}
      : { chain: { key: join(chain.folder, 'public.pem'), log: join(createFolder(), 'access.log') } }),
  }
  const started = startProcess(
    gatewayCore,
    process.execPath,
    [join(import.meta.dirname, file), JSON.stringify(options)],
    { NODE_ENV: 'production' },
  )
  started.process.stdout?.resume()
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/api/svc1/ready`
  return { name, port, started, readyAfter: await untilReady(started, url, chain?.credential ?? null) }
}
