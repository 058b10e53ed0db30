import { definePlugin, z } from 'sluice'

/** A small plugin of an operator, for the plugin chain workload. */
export default definePlugin({
  name: 'field',
  summary: 'Adds a field to the request.',
  class: 'transformation',
  priority: 700,
  schema: z.strictObject({ field: z.string().describe('Name of the field.') }),
  injects: ({ field }) => [field],
  create: ({ field }) => ({
    access(ctx) {
      ctx.headers.push(field, '1')
    },
  }),
})
