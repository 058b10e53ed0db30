import { isUtf8 } from 'node:buffer'

export interface BasicCredentials {
  readonly username: string
  readonly password: string
}

/** Characters of what stands behind `Basic `: scrypt is not fed with more. */
const longest = 2048

// eslint-disable-next-line no-control-regex
const control = /[\u0000-\u001f\u007f]/

/**
 * Reads what stands behind `Basic ` (RFC 7617 §2): base64 in its one right form, of UTF-8, with a colon and without control
 * characters. `null` for everything else, so that no two readers can take it for different users.
 */
export function readBasic(text: string): BasicCredentials | null {
  if (text.length === 0 || text.length > longest) return null
  const bytes = Buffer.from(text, 'base64')
  // The decoder skips what is no base64; what it made must lead back to the same text.
  if (bytes.toString('base64') !== text || !isUtf8(bytes)) return null
  const pair = bytes.toString('utf8')
  const colon = pair.indexOf(':')
  if (colon < 1 || control.test(pair)) return null
  return { username: pair.slice(0, colon).normalize('NFC'), password: pair.slice(colon + 1) }
}
