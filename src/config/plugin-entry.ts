import { z } from 'zod'
import { duration } from './units.ts'

const settings = z.strictObject({
  name: z.string().min(1).optional().describe('A plugin that Sluice brings, or how a module of yours is called here.'),
  use: z.string().min(1).optional().describe('JavaScript module of your own with a plugin as its default export.'),
  config: z.unknown().optional().describe('Settings of the plugin; see its own page.'),
  enabled: z
    .boolean()
    .default(true)
    .describe('`false` takes away what the top level or the upstream puts on the route.'),
  timeout: duration().optional().describe('Most time that one run of its access step may take.'),
  on_timeout: z
    .enum(['fail', 'skip'])
    .default('fail')
    .describe('What happens then: answer 504, or go on without it (never for plugins that guard access).'),
  before: z.string().optional().describe('Only with `use`: run it just before the plugin of this name.'),
  after: z.string().optional().describe('Only with `use`: run it just after the plugin of this name.'),
})

/** One plugin: its bare name, or an object. */
export const pluginEntry = z.union(
  [
    settings,
    z
      .string()
      .min(1)
      .transform((name) => settings.parse({ name })),
  ],
  {
    error: 'must be the name of a plugin, or a mapping with "name" or "use"',
  },
)

export const pluginEntries = z.array(pluginEntry).prefault([])
