import type { Proxy } from '../servers.ts'

/** What a workload wants of everybody who is compared. */
export interface Setup {
  /** Port of the origin. */
  readonly origin: number
  /** Idle connections to the origin that are kept; 256 where nothing is said, as the gateway does by default. */
  readonly kept?: number
  /** PEM files, `both` with certificate and key: TLS towards the clients. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly both: string }
  /** The full chain, as far as it can: the folder with public.pem and jwks.json, and a token that is good. */
  readonly chain?: { readonly folder: string; readonly credential: string }
  /** Path prefixes, each a route; without: one, `/api/`. */
  readonly prefixes?: readonly string[]
}

/** Somebody with whom the gateway is compared. */
export interface Peer {
  readonly name: string
  readonly isHere: boolean
  /** How to get it. */
  readonly install: string
  /** What it does of the full chain, in a few words; `null`: nothing of it. */
  readonly chain: string | null
  /** Whether it looks up one of ten thousand routes, in place of trying them one after another. */
  readonly looksUp: boolean
  readonly start: (setup: Setup) => Promise<Proxy>
}

export const kept = 256
