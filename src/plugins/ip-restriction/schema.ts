import { z } from 'zod'
import { isAddressBlock } from '../../core/address-set.ts'

const block = z.string().refine(isAddressBlock, 'must be an IP address or a block such as 10.0.0.0/8 or fd00::/8')

export const schema = z
  .strictObject({
    allow: z
      .array(block)
      .default([])
      .describe('Addresses and blocks that may come in; empty: all that are not denied.'),
    deny: z.array(block).default([]).describe('Addresses and blocks that may not, whatever `allow` says.'),
    status: z.int().min(400).max(599).default(403).describe('Status of the refusal.'),
    message: z.string().min(1).optional().describe('What the refusal says in place of the usual sentence.'),
  })
  .refine(({ allow, deny }) => allow.length > 0 || deny.length > 0, 'must name addresses in "allow" or "deny"')

export type Config = z.output<typeof schema>
