import { isIP } from 'node:net'
import { z } from 'zod'
import { isHostName } from './host.ts'

export interface Address {
  /** Name or IP address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
}

/** `host:port`, `[::1]:port`; `null` when `text` is not that. `:port` and `*:port` mean every address. */
export function parseAddress(text: string): Address | null {
  const match = /^(?:\[([^[\]]*)\]|([^[\]:]*)):(\d{1,5})$/.exec(text)
  if (match === null) return null
  const [, ipv6, name = '', digits] = match
  const port = Number(digits)
  if (port > 65_535) return null
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? { host: ipv6.toLowerCase(), port } : null
  if (name === '' || name === '*') return { host: '0.0.0.0', port }
  return isHostName(name.toLowerCase()) ? { host: name.toLowerCase(), port } : null
}

/** `127.0.0.1:8080`, `[::1]:8080`. */
export function formatAddress({ host, port }: Address): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

/** Whether only this machine reaches `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** An address to listen on. */
export const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text)
  if (parsed !== null) return parsed
  context.addIssue('must be an address such as 127.0.0.1:8080, [::1]:8080 or :8080')
  return z.NEVER
})

/** Parsed by hand: `URL` normalises what had better be refused. */
const authorityPattern = /^(\[[^[\]]*\]|[^[\]:]*)(?::(\d{1,5}))?$/

/** `host` or `host:port` of something to connect to; `null` when it is neither. */
export function parseTarget(text: string, defaultPort: number): Address | null {
  const match = authorityPattern.exec(text)
  if (match === null) return null
  const [, bracketed = '', digits] = match
  const isBracketed = bracketed.startsWith('[')
  const host = (isBracketed ? bracketed.slice(1, -1) : bracketed).toLowerCase()
  const port = digits === undefined ? defaultPort : Number(digits)
  if (port < 1 || port > 65_535) return null
  return (isBracketed ? isIP(host) === 6 : isHostName(host)) ? { host, port } : null
}
