import { resolve } from 'node:path'
import { serialize } from 'node:v8'
import type { z } from 'zod'
import type { Plugin } from '../core/plugin.ts'
import { plugins as builtIn } from '../plugins/index.ts'
import { formatPath, type Path } from './fault.ts'
import { laterPlugins } from './later.ts'
import { didYouMean } from './nearest.ts'
import { parseAt } from './parse.ts'
import { pluginEntry } from './plugin-entry.ts'
import { loadModule, type PluginRegistry } from './registry.ts'
import type { Report } from './report.ts'
import type { PluginEntry } from './schema.ts'

type EntrySettings = z.output<typeof pluginEntry>

/** What became of every plugin entry of a file. */
export interface ResolvedPlugins {
  readonly registry: PluginRegistry
  /** By the path (formatted) of the entry; those with faults are missing. */
  readonly entries: ReadonlyMap<string, PluginEntry>
}

interface Found {
  readonly place: Path
  /** Where its name stands: the entry itself where it is a bare name. */
  readonly namePlace: Path
  readonly settings: EntrySettings
}

interface Own {
  readonly file: string
  readonly plugin: Plugin
}

/**
 * Finds the plugin of every entry and lets it parse its configuration. Works on the data of the file, not on what the
 * schema made of it, so that a fault elsewhere hides none here.
 */
export async function resolvePlugins(value: unknown, dir: string, report: Report): Promise<ResolvedPlugins> {
  const found = entriesIn(value)
  const modules = new Map<string, Plugin | null>()
  const own = await loadOwn(found, dir, modules, report)
  const registry = {
    builtIn,
    modules: new Map([...modules].filter((pair): pair is [string, Plugin] => pair[1] !== null)),
  }

  const entries = new Map<string, PluginEntry>()
  const seen = new Set<string>()
  for (const one of found) {
    const { place, namePlace } = one
    const entry = resolveEntry(one, dir, registry, own, report)
    if (entry === null) continue
    const key = `${formatPath(place.slice(0, -1))} ${entry.name}`
    if (seen.has(key)) report.fault(namePlace, `plugin "${entry.name}" stands here twice`)
    else seen.add(key)
    entries.set(formatPath(place), entry)
  }
  return { registry, entries }
}

/** Every entry that is one, wherever entries may stand. What is none, the schema reports. */
function entriesIn(value: unknown): Found[] {
  const found: Found[] = []
  const take = (list: unknown, place: Path): void => {
    if (!Array.isArray(list)) return
    list.forEach((input, index) => {
      const { success, data: settings } = pluginEntry.safeParse(input)
      if (!success) return
      const key = settings.name !== undefined ? 'name' : 'use'
      const own = [...place, index]
      found.push({ place: own, namePlace: typeof input === 'string' ? own : [...own, key], settings })
    })
  }
  const root = asRecord(value)
  take(root['plugins'], ['plugins'])
  for (const [index, upstream] of asList(root['upstreams']).entries()) {
    take(asRecord(upstream)['plugins'], ['upstreams', index, 'plugins'])
  }
  for (const [index, route] of asList(root['routes']).entries()) {
    const { plugins, upstream } = asRecord(route)
    take(plugins, ['routes', index, 'plugins'])
    take(asRecord(upstream)['plugins'], ['routes', index, 'upstream', 'plugins'])
  }
  return found
}

/** Loads the operator's own modules. The result maps the name that an entry gives (or the plugin's) to the module. */
async function loadOwn(
  found: readonly Found[],
  dir: string,
  modules: Map<string, Plugin | null>,
  report: Report,
): Promise<Map<string, Own>> {
  const own = new Map<string, Own>()
  for (const { place, namePlace, settings } of found) {
    if (settings.use === undefined) continue
    const file = resolve(dir, settings.use)
    report.files.add(file)
    if (!modules.has(file)) {
      try {
        modules.set(file, await loadModule(file))
      } catch (error) {
        modules.set(file, null)
        report.fault([...place, 'use'], `the module ${settings.use} ${(error as Error).message}`)
      }
    }
    const plugin = modules.get(file)
    if (plugin === null || plugin === undefined) continue
    const name = settings.name ?? plugin.name
    const other = own.get(name)
    if (builtIn.some((known) => known.name === name)) {
      report.fault(namePlace, `plugin "${name}" is one that Sluice brings: give the module another "name"`)
    } else if (other !== undefined && other.file !== file) {
      report.fault(namePlace, `plugin "${name}" is another module elsewhere: give one of them another "name"`)
    } else {
      own.set(name, { file, plugin })
    }
  }
  return own
}

function resolveEntry(
  { place, namePlace, settings }: Found,
  dir: string,
  registry: PluginRegistry,
  own: ReadonlyMap<string, Own>,
  report: Report,
): PluginEntry | null {
  const faultsBefore = report.faults.length
  const { name: given, use, enabled, on_timeout } = settings
  if (given === undefined && use === undefined) {
    report.fault(place, 'needs a "name", or a module to "use"')
    return null
  }
  const file = use === undefined ? null : resolve(dir, use)
  const module = file === null ? undefined : registry.modules.get(file)
  if (file !== null && module === undefined) return null // its fault is told
  const name = given ?? module?.name ?? ''
  const known = module !== undefined ? { file, plugin: module } : findPlugin(name, registry, own)
  if (known === undefined) {
    report.fault(namePlace, unknownPlugin(name, registry, own))
    return null
  }
  const { plugin } = known
  if (plugin.class === 'security' && on_timeout === 'skip') {
    report.fault([...place, 'on_timeout'], `must be "fail": ${name} guards access and is never skipped (got "skip")`)
  }
  for (const key of ['before', 'after'] as const) {
    const anchor = settings[key]
    if (anchor === undefined) continue
    if (known.file === null)
      report.fault([...place, key], `the place of ${name} is fixed: only modules of your own have "${key}"`)
    else if (anchor === name) report.fault([...place, key], 'must be another plugin')
    else if (findPlugin(anchor, registry, own) === undefined)
      report.fault([...place, key], unknownPlugin(anchor, registry, own))
  }
  const config = parseConfig(plugin, settings, place, report)
  if (report.faults.length > faultsBefore) return null
  return {
    name,
    use: known.file,
    config,
    enabled,
    timeout: settings.timeout ?? null,
    on_timeout,
    before: settings.before ?? null,
    after: settings.after ?? null,
  }
}

function parseConfig(plugin: Plugin, { config, enabled }: EntrySettings, place: Path, report: Report): unknown {
  // An entry that only takes a plugin away needs no settings.
  if (!enabled && config === undefined) return null
  const inner = [...place, 'config']
  const parsed = parseAt(plugin.schema, config ?? {}, inner, report)
  if ('issues' in parsed) return null
  try {
    serialize(parsed.value) // it travels to the workers
  } catch {
    report.fault(inner, `the schema of ${plugin.name} must make plain data of it, without functions`)
  }
  return parsed.value
}

function findPlugin(
  name: string,
  registry: PluginRegistry,
  own: ReadonlyMap<string, Own>,
): { file: string | null; plugin: Plugin } | undefined {
  const plugin = registry.builtIn.find((candidate) => candidate.name === name)
  return plugin === undefined ? own.get(name) : { file: null, plugin }
}

function unknownPlugin(name: string, registry: PluginRegistry, own: ReadonlyMap<string, Own>): string {
  if (laterPlugins.includes(name)) return `plugin "${name}" is not available in this version`
  const known = [...registry.builtIn.map((plugin) => plugin.name), ...own.keys()]
  return `unknown plugin "${name}"${didYouMean(name, [...known, ...laterPlugins])}`
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
