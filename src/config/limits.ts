import { z } from 'zod'
import { size } from './units.ts'

export const limits = z.strictObject({
  header_size: size({ max: [16 * 1024, '16kb'] })
    .prefault('16kb')
    .describe('Most bytes of all header fields of a request together.'),
  header_count: z.int().min(1).max(100).default(100).describe('Most header fields of a request.'),
  uri_length: size({ max: [16 * 1024, '16kb'] })
    .prefault('8kb')
    .describe('Most bytes of path and query.'),
  body_size: size({ off: true }).prefault('10mb').describe('Most bytes of a request body.'),
  connections: z
    .union([z.int().min(0), z.literal(['off', false])], { error: 'must be a number of connections, or off' })
    .transform((value) => (typeof value === 'number' ? value : 0))
    .prefault(0)
    .describe('Most client connections at once per worker; 0: no limit.'),
})
