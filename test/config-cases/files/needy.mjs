import { ConfigFault, definePlugin, z } from 'sluice'

export default definePlugin({
  name: 'needy',
  summary: 'Needs a consumer.',
  class: 'security',
  priority: 900,
  schema: z.strictObject({ param: z.string().optional() }),
  requires: () => ['consumer'],
  create({ param }, { route }) {
    if (param !== undefined && !route.paramNames.includes(param)) {
      throw new ConfigFault(`no path of the route has a parameter {${param}}`, ['param'])
    }
    return { access: () => undefined }
  },
})
