import { caddy } from './caddy.ts'
import { fastify } from './fastify.ts'
import { haproxy } from './haproxy.ts'
import { httpProxy } from './http-proxy.ts'
import { nginx } from './nginx.ts'
import type { Peer } from './peer.ts'

/** Everybody with whom the gateway is compared, in the order of the tables. */
export const peers: readonly Peer[] = [haproxy, nginx, caddy, fastify, httpProxy]

/** The two fastest of them, as far as they are installed. */
export const rivals: readonly Peer[] = [nginx, haproxy].filter(({ isHere }) => isHere)
