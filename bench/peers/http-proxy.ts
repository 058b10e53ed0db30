import { startNodeServer } from './node-server.ts'
import type { Peer } from './peer.ts'

export const httpProxy: Peer = {
  name: 'http-proxy',
  isHere: true,
  install: 'npm ci',
  chain: null,
  looksUp: false,
  start: (setup) => startNodeServer('http-proxy', 'http-proxy-server.js', setup),
}
