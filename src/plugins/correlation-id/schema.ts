import { z } from 'zod'
import { headerName } from '../fields.ts'

export const schema = z.strictObject({
  header_name: headerName.default('x-correlation-id').describe('Header that carries the id.'),
  generator: z
    .enum(['uuid', 'uuid#counter', 'tracker'])
    .default('uuid')
    .describe(
      'How an id is made when the client sends none: a random UUID each, one UUID per worker with a counter, or ' +
        '`port-process-counter-seconds`.',
    ),
  echo_downstream: z.boolean().default(true).describe('Whether the client gets the id, too.'),
})

export type Config = z.output<typeof schema>
