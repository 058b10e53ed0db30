import { startNodeServer } from './node-server.ts'
import type { Peer } from './peer.ts'

export const fastify: Peer = {
  name: '@fastify/http-proxy',
  isHere: true,
  install: 'npm ci',
  chain: '@fastify/jwt with its cache, @fastify/rate-limit in memory, pino log',
  looksUp: false,
  start: (setup) => startNodeServer('@fastify/http-proxy', 'fastify-server.js', setup),
}
