import { z } from 'zod'
import { isAddressBlock } from '../core/address-set.ts'

/** `10.0.0.0/8`, `fd00::/8`, or a single address, which becomes a block of one; `null` when it is none of these. */
export function parseCidr(text: string): string | null {
  if (!isAddressBlock(text)) return null
  const [address = '', prefix = address.includes(':') ? 128 : 32] = text.split('/')
  return `${address}/${Number(prefix)}`
}

/** A block of IP addresses. */
export const cidr = z.string().transform((text, context) => {
  const parsed = parseCidr(text)
  if (parsed !== null) return parsed
  context.addIssue('must be an IP address or a block such as 10.0.0.0/8 or fd00::/8')
  return z.NEVER
})
