import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { z } from 'zod'

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** Whether `text` (lower-case) is a DNS name or an IPv4 address. */
export function isHostName(text: string): boolean {
  if (text.length > 253) return false
  const labels = text.split('.')
  // What ends in a number is an IPv4 address or nothing (RFC 3986 §3.2.2 reads it as one).
  if (/^\d+$/.test(labels.at(-1) as string)) return isIP(text) === 4
  return labels.every((part) => label.test(part))
}

/** A host that requests are for: `api.example.com`, `*.example.org`, `192.0.2.1`, `[2001:db8::1]`. Lower-case when parsed. */
export const hostPattern = z.string().transform((text, context) => {
  const lower = toAscii(text.toLowerCase())
  const isWildcard = lower.startsWith('*.')
  const name = isWildcard ? lower.slice(2) : lower
  if (/^\[.*\]$/.test(lower) && isIP(lower.slice(1, -1)) === 6) return lower
  if (lower === '*') context.addIssue('must be a host name: leave "hosts" out to take every host')
  else if (/:\d*$/.test(lower)) context.addIssue('must be a host name without a port')
  else if (lower.includes('/')) context.addIssue('must be a host name, not a URL or path')
  else if (!isHostName(name) || (isWildcard && isIP(name) !== 0)) {
    context.addIssue('must be a host name such as api.example.com, or *.example.com for everything below it')
  } else return lower
  return z.NEVER
})

/** Names in other scripts as they stand in a Host field; unchanged where that fails. */
function toAscii(text: string): string {
  const wildcard = text.startsWith('*.') ? '*.' : ''
  // eslint-disable-next-line no-control-regex
  return /^[\u0000-\u007f]*$/.test(text) ? text : wildcard + domainToASCII(text.slice(wildcard.length))
}
