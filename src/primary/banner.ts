import { formatAddress } from '../config/address.ts'
import type { Config } from '../config/schema.ts'
import { packageVersion } from './version.ts'

export interface BannerFacts {
  readonly config: Config
  readonly workers: number
  readonly admin: string | null
}

/** What a person at a terminal sees when the gateway is up. */
export function banner({ config, workers, admin }: BannerFacts): string {
  const listeners = config.listeners.map(({ address, tls }) => `${tls === null ? 'http' : 'https'}://${address}`)
  const rows = [
    ['listeners', listeners.join('  ')],
    ['workers', String(workers)],
    ['routes', `${config.routes.length} to ${config.upstreams.length} upstreams`],
    ['stores', config.redis === null ? 'none' : `redis ${config.redis.addresses.map(formatAddress).join('  ')}`],
    ['admin', admin === null ? 'off' : `http://${admin}`],
  ]
  return ['', `  Sluice ${packageVersion}`, ...rows.map(([name, text]) => `  ${name?.padEnd(10)}${text}`), '', ''].join(
    '\n',
  )
}
