import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type UpstreamHandler = (req: IncomingMessage, res: ServerResponse) => void

export interface TestUpstream {
  readonly port: number
  /** `127.0.0.1:port` */
  readonly address: string
  readonly url: string
  readonly server: Server
  /** Requests seen so far. */
  readonly requests: number
  close(): Promise<void>
}

/** What the default handler answers. */
export interface Echo {
  readonly method: string
  readonly url: string
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: string
}

const running = new Set<TestUpstream>()

/** A service on a free port. Without a handler it answers with what it got, as JSON (`Echo`). */
export async function startUpstream(handler: UpstreamHandler = echo): Promise<TestUpstream> {
  let requests = 0
  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    requests += 1
    handler(req, res)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', 1024, resolve)
  })
  const { port } = server.address() as AddressInfo
  const upstream: TestUpstream = {
    port,
    address: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}`,
    server,
    get requests() {
      return requests
    },
    close() {
      running.delete(upstream)
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
  running.add(upstream)
  return upstream
}

/** For `afterEach`: ends every service that is still running. */
export async function stopUpstreams(): Promise<void> {
  await Promise.all([...running].map((upstream) => upstream.close()))
}

/** Answers every request with the same small text. */
export function answer(text: string): UpstreamHandler {
  return (_req, res) => {
    res.setHeader('content-type', 'text/plain')
    res.end(text)
  }
}

function echo(req: IncomingMessage, res: ServerResponse): void {
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', () => {
    const body: Echo = {
      method: req.method ?? '',
      url: req.url ?? '',
      headers: req.headers,
      body: Buffer.concat(chunks).toString('latin1'),
    }
    res.setHeader('content-type', 'application/json')
    res.end(JSON.stringify(body))
  })
}
