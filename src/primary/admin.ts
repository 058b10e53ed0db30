import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import { type Address, formatAddress } from '../config/address.ts'
import { type AdminSource, type Endpoint, refuse, send } from './admin-endpoint.ts'
import { revocationEndpoints } from './admin-revocations.ts'
import { describe } from './claim.ts'

export type { AdminSource }

export interface AdminSettings extends Address {
  readonly token: string | null
}

/** A change of the admin port that is ready to happen, or to be given up. */
export type AdminChange = { commit(): void; discard(): void } | { readonly fault: string }

/** What each path does, by method. */
const endpoints: Readonly<Record<string, Readonly<Record<string, Endpoint>>>> = {
  '/health/live': { GET: { open: true, run: (_source, res) => send(res, 200, { status: 'live' }) } },
  '/health/ready': {
    GET: {
      open: true,
      run(source, res) {
        const status = source.state()
        send(res, status === 'ready' ? 200 : 503, { status })
      },
    },
  },
  '/metrics': {
    GET: {
      async run(source, res) {
        res.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8')
        res.end(await source.metrics())
      },
    },
  },
  '/status': { GET: { run: async (source, res) => send(res, 200, await source.status()) } },
  '/reload': {
    POST: {
      async run(source, res) {
        const result = await source.reload()
        send(res, reloadStatus[result.outcome], result)
      },
    },
  },
  '/revocations': revocationEndpoints,
}

/** 422: the file is wrong. 409: it is right and could not be put in force. */
const reloadStatus = { activated: 200, unchanged: 200, invalid: 422, refused: 409 } as const

/** Most bytes of a request body that nobody wants. */
const mostBody = 64 * 1024

/** The admin port: health, metrics, status, reload, revocations. Plain HTTP, by default on loopback. */
export class Admin {
  readonly #source: AdminSource
  #settings: AdminSettings | null = null
  #server: Server | null = null

  constructor(source: AdminSource) {
    this.#source = source
  }

  /** Gets ready for other settings: a new address is listened on at once, the old one closed by `commit`. */
  async stage(wanted: AdminSettings | null): Promise<AdminChange> {
    const current = this.#settings
    const stays = wanted !== null && current !== null && wanted.host === current.host && wanted.port === current.port
    let server = stays ? this.#server : null
    if (wanted !== null && !stays) {
      try {
        server = await this.#listen(wanted)
      } catch (error) {
        return { fault: `admin: ${describe(wanted, error as NodeJS.ErrnoException)}` }
      }
    }
    return {
      commit: () => {
        if (!stays) close(this.#server)
        this.#server = server
        this.#settings = wanted
      },
      discard: () => {
        if (!stays) close(server)
      },
    }
  }

  /** `host:port`, or null when there is no admin port. */
  get address(): string | null {
    return this.#settings === null ? null : formatAddress(this.#settings)
  }

  close(): void {
    close(this.#server)
    this.#server?.closeAllConnections()
    this.#server = null
  }

  #listen(settings: AdminSettings): Promise<Server> {
    const server = createServer(
      { maxHeaderSize: 8192, headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 5000 },
      (req, res) => void this.#answer(req, res),
    )
    server.maxConnections = 256
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: settings.host, port: settings.port, exclusive: true }, () => resolve(server))
    })
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    res.setHeader('cache-control', 'no-store')
    try {
      const [path = '', query = ''] = (req.url ?? '').split('?', 2)
      const methods = Object.hasOwn(endpoints, path) ? endpoints[path] : undefined
      const endpoint = methods?.[req.method === 'HEAD' ? 'GET' : (req.method ?? '')]
      const token = this.#settings?.token ?? null
      if (methods?.['GET']?.open !== true) {
        if (token === null && !isLocalCall(req))
          return refuse(res, 403, 'forbidden_host', 'Call the admin port by its address.')
        if (token !== null && !holdsToken(req, token)) {
          res.setHeader('www-authenticate', 'Bearer realm="sluice admin"')
          return refuse(res, 401, 'unauthorized', 'A valid bearer token is required.')
        }
      }
      if (methods === undefined) return refuse(res, 404, 'not_found', 'There is no such endpoint.')
      if (endpoint === undefined) {
        const allowed = Object.keys(methods).flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
        res.setHeader('allow', allowed.join(', '))
        return refuse(res, 405, 'method_not_allowed', 'The endpoint does not serve this method.')
      }
      const body = await readBody(req, endpoint.body ?? mostBody)
      if (body === null) return refuse(res, 413, 'body_too_large', 'The request body is too large.')
      await endpoint.run(this.#source, res, { query: new URLSearchParams(query), body })
    } catch {
      if (!res.headersSent) refuse(res, 500, 'internal_error', 'The endpoint failed.')
      else res.destroy()
    }
  }
}

/**
 * Without a token, being on this machine is the only credential, and a browser on it has that too. So a host name
 * that somebody else may have pointed here (DNS rebinding) and requests that come from a web page are refused.
 */
function isLocalCall(req: IncomingMessage): boolean {
  if (req.headers.origin !== undefined || req.headers['sec-fetch-site'] === 'cross-site') return false
  const host = (req.headers.host ?? '')
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
  return host === 'localhost' || host.endsWith('.localhost') || isIP(host) !== 0
}

/** Compares digests, so that neither length nor content of the token shows in the time it takes. */
function holdsToken(req: IncomingMessage, token: string): boolean {
  const [, given = ''] = /^Bearer +(\S+) *$/i.exec(req.headers.authorization ?? '') ?? []
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(token))
}

/** The body; `null` when it is longer than allowed. */
async function readBody(req: IncomingMessage, most: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length
    if (size > most) return null
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

function close(server: Server | null): void {
  server?.close()
  server?.closeIdleConnections()
}
