import { definePlugin, z } from 'sluice'

export default definePlugin({
  name: 'tenant',
  summary: 'Another one of this name.',
  class: 'transformation',
  priority: 800,
  schema: z.strictObject({}),
  create: () => ({}),
})
