import { definePlugin, reject, setHeader, z } from 'sluice'

/** Tells services which tenant a request is for: the first label of the host, `acme.api.example.com` → `acme`. */
export default definePlugin({
  name: 'tenant',
  summary: 'Names the tenant of a request by its host.',
  class: 'security', // fails closed: a request whose tenant can't be told is refused
  priority: 850,
  schema: z.strictObject({
    header: z.string().default('X-Tenant').describe('Header field that services get.'),
    known: z.array(z.string()).min(1).describe('Tenants that are let in.'),
  }),
  // Clients can't send it themselves: it is removed from their requests, on every route.
  injects: ({ header }) => [header.toLowerCase()],

  // Runs once per route and reload. What is decided here needn't be decided per request.
  create({ header, known }) {
    const name = header.toLowerCase()
    const tenants = new Set(known)
    const unknown = reject('route_not_found', { message: 'There is no such tenant.', detail: 'unknown tenant' })

    return {
      access(ctx) {
        const tenant = ctx.hostname.slice(0, ctx.hostname.indexOf('.'))
        if (!tenants.has(tenant)) return unknown
        setHeader(ctx.headers, name, tenant)
        return undefined
      },
    }
  },
})
