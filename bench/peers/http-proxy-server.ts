/** http-proxy with kept connections to the origin and the fields that all others add, too. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import httpProxy from 'http-proxy'
import type { ServerOptions } from './node-server.ts'

const { port, origin, kept, tls } = JSON.parse(process.argv[2] as string) as ServerOptions

const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${origin}`,
  agent: new Agent({ keepAlive: true, maxFreeSockets: kept }),
  xfwd: true,
})
proxy.on('error', (_error, _req, res) => {
  if ('writeHead' in res && !res.headersSent) res.writeHead(502)
  res.end()
})

function handle(req: IncomingMessage, res: ServerResponse): void {
  if (req.url?.startsWith('/api/') !== true) {
    res.writeHead(404).end()
    return
  }
  req.headers['x-request-id'] = randomUUID()
  proxy.web(req, res)
}

const server =
  tls === undefined
    ? createServer(handle)
    : createSecureServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, handle)
server.keepAliveTimeout = 300_000
server.listen(port, '127.0.0.1')
