/** @fastify/http-proxy; for the full chain with the plugins of its own house for tokens, limits and log. */

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import httpProxy from '@fastify/http-proxy'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import Fastify, { type FastifyRequest } from 'fastify'
import type { ServerOptions } from './node-server.ts'

const { port, origin, kept, tls, chain } = JSON.parse(process.argv[2] as string) as ServerOptions

const app = Fastify({
  logger: chain === undefined ? false : { file: chain.log },
  bodyLimit: 16 * 1024 * 1024,
  keepAliveTimeout: 300_000,
  genReqId: () => randomUUID(),
  ...(tls === undefined ? {} : { https: { cert: readFileSync(tls.cert), key: readFileSync(tls.key) } }),
})

/** Claims of a token. */
interface User {
  readonly sub: string
  readonly role: string
}

if (chain !== undefined) {
  await app.register(jwt, {
    secret: { public: readFileSync(chain.key, 'utf8') },
    verify: {
      algorithms: ['RS256'],
      allowedIss: 'https://auth.example.com',
      allowedAud: 'api.example.com',
      cache: 10_000,
    },
  })
  app.addHook('onRequest', async (request) => {
    await request.jwtVerify()
  })
  await app.register(rateLimit, {
    max: 100_000_000,
    timeWindow: 60_000,
    cache: 10_000,
    keyGenerator: (request) => (request.user as User).sub,
  })
}

await app.register(httpProxy, {
  upstream: `http://127.0.0.1:${origin}`,
  prefix: '/api',
  rewritePrefix: '/api',
  undici: { connections: kept, pipelining: 1 },
  replyOptions: {
    rewriteRequestHeaders(request, headers) {
      const { id, ip, protocol } = request as FastifyRequest
      const user = (request as { user?: User }).user
      const added = { 'x-request-id': id, 'x-forwarded-for': ip, 'x-forwarded-proto': protocol }
      if (user === undefined) return { ...headers, ...added }
      // oxlint-disable-next-line no-unused-vars -- the token was checked here and goes no further
      const { authorization: _checked, ...rest } = headers
      return { ...rest, ...added, 'x-user-id': user.sub, 'x-user-role': user.role }
    },
  },
})
await app.listen({ port, host: '127.0.0.1' })
