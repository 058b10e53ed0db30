import { z } from 'zod'
import { address } from './address.ts'

const settings = z.strictObject({
  address: address.prefault('127.0.0.1:9080').describe('Host and port of the admin port.'),
  token: z
    .string()
    .min(1)
    .optional()
    .describe('Bearer token that every request must carry. Required where the address is not on loopback.'),
})

/** The admin port: `off`, an address, or an object. */
export const admin = z.union(
  [settings, z.literal(['off', false]), address.transform((bound) => ({ address: bound }))],
  {
    error: 'must be a mapping with "address" and "token", an address, or off',
  },
)
