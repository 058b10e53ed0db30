import { definePlugin, z } from 'sluice'

export default definePlugin({
  name: 'tenant',
  summary: 'Tells the service which tenant is meant.',
  class: 'transformation',
  priority: 800,
  phases: ['access'],
  schema: z.strictObject({ header: z.string().min(1).default('x-tenant') }),
  injects: ({ header }) => [header],
  create: ({ header }) => ({ access: (ctx) => void ctx.headers.push(header, 'acme') }),
})
