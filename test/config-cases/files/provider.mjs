import { definePlugin, z } from 'sluice'

export default definePlugin({
  name: 'provider',
  summary: 'Finds out who calls.',
  class: 'security',
  priority: 1000,
  schema: z.strictObject({}),
  provides: () => ['consumer'],
  create: () => ({ access: () => undefined }),
})
