import type { Proxy } from '../servers.ts'
import { caddy } from './caddy.ts'
import { fastify } from './fastify.ts'
import { haproxy } from './haproxy.ts'
import { httpProxy } from './http-proxy.ts'
import { nginx } from './nginx.ts'
import type { Peer } from './peer.ts'
import { startSluice } from './sluice.ts'

/** Everybody with whom the gateway is compared, in the order of the tables. */
export const peers: readonly Peer[] = [haproxy, nginx, caddy, fastify, httpProxy]

/** The gateway and the two fastest of its peers, as far as they are installed. */
export function rivals(): string[] {
  return ['sluice', ...[nginx, haproxy].filter(({ isHere }) => isHere).map(({ name }) => name)]
}

/** One of `rivals` with the pass-through workload. */
export function startProxy(name: string, origin: number): Promise<Proxy> {
  const peer = peers.find((one) => one.name === name)
  return peer === undefined ? startSluice({ origin }) : peer.start({ origin })
}
