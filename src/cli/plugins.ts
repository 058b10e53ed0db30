import { placeOwn } from '../config/effective-plugins.ts'
import { builtInPlugins, loadRegistry, type PluginRegistry } from '../config/registry.ts'
import type { Config, PluginEntry } from '../config/schema.ts'
import { loadOrTell } from './load.ts'
import { columns, type Output, styled } from './output.ts'

interface Line {
  readonly order: number
  readonly name: string
  readonly class: string
  readonly phases: readonly string[]
  /** Kong's. */
  readonly priority: number
  readonly summary: string
  /** The operator's module, or `null`. */
  readonly use: string | null
}

/** All plugins in the order in which a request meets them; with a file, the operator's own in their places. */
export async function plugins(file: string | undefined, json: boolean, output: Output): Promise<number> {
  let registry = builtInPlugins
  let own: PluginEntry[] = []
  if (file !== undefined) {
    const loaded = await loadOrTell(file, output)
    if (loaded === null) return 1
    registry = await loadRegistry(loaded.config)
    own = ownEntries(loaded.config)
  }
  const lines = linesOf(registry, own)
  if (json) output.out(`${JSON.stringify(lines, null, 2)}\n`)
  else write(lines, output)
  return 0
}

/** The first entry of each of the operator's own plugins. */
function ownEntries(config: Config): PluginEntry[] {
  const entries = [config, ...config.upstreams, ...config.routes].flatMap((part) => part.plugins)
  const first = new Map<string, PluginEntry>()
  for (const entry of entries) if (entry.use !== null && !first.has(entry.name)) first.set(entry.name, entry)
  return [...first.values()]
}

function linesOf({ builtIn, modules }: PluginRegistry, own: readonly PluginEntry[]): Line[] {
  const { order } = placeOwn(
    own,
    builtIn.map((plugin) => plugin.name),
  )
  return order.flatMap((name, i): Line[] => {
    const entry = own.find((candidate) => candidate.name === name)
    const use = entry?.use ?? null
    const plugin = use === null ? builtIn.find((candidate) => candidate.name === name) : modules.get(use)
    if (plugin === undefined) return []
    const { class: kind, phases = [], priority, summary } = plugin
    return [{ order: i + 1, name, class: kind, phases, priority, summary, use }]
  })
}

function write(lines: readonly Line[], output: Output): void {
  const rows = lines.map((one) => [
    String(one.order),
    one.name,
    one.class,
    one.phases.length === 0 ? '-' : one.phases.join(','),
    String(one.priority),
    one.use === null ? one.summary : `${one.summary} (${one.use})`,
  ])
  const [head = '', ...rest] = columns([['ORDER', 'NAME', 'CLASS', 'PHASES', 'KONG', 'SUMMARY'], ...rows]).split('\n')
  output.out(`${styled(output, 'bold', head)}\n${rest.join('\n')}`)
}
