import { createServer, type Server } from 'node:net'
import { type Address, formatAddress } from '../config/address.ts'
import type { Config } from '../config/schema.ts'

export type Claim = { readonly ports: readonly number[] } | { readonly faults: readonly string[] }

export type Placement =
  /** The configuration with every port filled in. `keep` says that it is in force: its addresses are ours now. */
  { readonly config: Config; keep(): void } | { readonly faults: readonly string[] }

/** The addresses that the gateway listens on, from one configuration to the next. */
export class Addresses {
  #held: readonly Address[] = []
  /** Ports that were picked for `host:0`, in order: a reload keeps them. */
  #picked = new Map<string, number>()

  /** Claims what the configuration listens on beyond what is held already. */
  async place(config: Config): Promise<Placement> {
    const counts = new Map<string, number>()
    const entries = config.listeners.map(({ host, port }) => ({ kind: 'listener', host, port }))
    if (config.admin !== null) entries.push({ kind: 'admin', host: config.admin.host, port: config.admin.port })
    const wanted = entries.map(({ kind, host, port }) => {
      if (port !== 0) return { key: null, host, port }
      const count = (counts.get(kind + host) ?? 0) + 1
      counts.set(kind + host, count)
      const key = `${kind} ${host} ${count}`
      return { key, host, port: this.#picked.get(key) ?? 0 }
    })
    const claim = await claimAddresses(wanted, this.#held)
    if ('faults' in claim) return claim

    const placed = wanted.map((entry, index) => ({ ...entry, port: claim.ports[index] as number }))
    const at = <T extends Address>(entry: T, index: number): T => {
      const address = placed[index] as Address
      return { ...entry, port: address.port, address: formatAddress(address) }
    }
    return {
      config: {
        ...config,
        listeners: config.listeners.map(at),
        admin: config.admin === null ? null : at(config.admin, config.listeners.length),
      },
      keep: () => {
        this.#held = placed
        this.#picked = new Map(placed.flatMap(({ key, port }) => (key === null ? [] : [[key, port]])))
      },
    }
  }
}

/**
 * Makes sure that every address can be listened on, and picks the ports that were left open (0).
 *
 * Workers listen with SO_REUSEPORT, so that the kernel would let a second gateway share their port without a word.
 * A socket without that option is refused: that is the probe. Addresses in `held`
 * are ours already and not probed.
 */
export async function claimAddresses(wanted: readonly Address[], held: readonly Address[] = []): Promise<Claim> {
  const ports: number[] = []
  const faults: string[] = []
  const probes: Server[] = []
  for (const [index, address] of wanted.entries()) {
    const { port } = address
    ports.push(port)
    if (port !== 0 && held.some((own) => overlaps(own, address))) continue
    try {
      const probe = await listen(address)
      ports[index] = portOf(probe)
      // A probe of a picked port stays until all are picked, lest it is picked twice.
      if (port === 0) probes.push(probe)
      else await close(probe)
    } catch (error) {
      faults.push(describe(address, error as NodeJS.ErrnoException))
    }
  }
  await Promise.all(probes.map(close))
  return faults.length > 0 ? { faults } : { ports }
}

/** Says in one line why an address can't be listened on. */
export function describe(address: Address, error: NodeJS.ErrnoException): string {
  const { code = error.message } = error
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'is already in use',
    EACCES: 'may not be listened on by this user (ports below 1024 need CAP_NET_BIND_SERVICE)',
    EADDRNOTAVAIL: 'is not an address of this machine',
    ENOTFOUND: 'has a host name that can not be resolved',
    EAI_AGAIN: 'has a host name that can not be resolved now',
  }
  return `${formatAddress(address)} ${reasons[code] ?? `can not be listened on (${code})`}`
}

/** Ours on the same port, where one of the two stands for all addresses or both are the same. */
function overlaps(own: Address, other: Address): boolean {
  return own.port === other.port && (own.host === other.host || isWildcard(own.host) || isWildcard(other.host))
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === ''
}

function listen({ host, port }: Address): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => resolve(server))
  })
}

function portOf(server: Server): number {
  const address = server.address()
  return address === null || typeof address === 'string' ? 0 : address.port
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}
