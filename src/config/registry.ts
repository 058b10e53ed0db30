import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { register } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { Plugin, PluginClass } from '../core/plugin.ts'
import { plugins as builtIn } from '../plugins/index.ts'
import { reasonOf } from './fill.ts'
import type { Config, PluginEntry } from './schema.ts'

/** Every plugin that a configuration can use. */
export interface PluginRegistry {
  /** Those that Sluice brings, in the order in which a request meets them. */
  readonly builtIn: readonly Plugin[]
  /** An operator's own, by the absolute path of the module. */
  readonly modules: ReadonlyMap<string, Plugin>
}

/** What there is without a configuration. */
export const builtInPlugins: PluginRegistry = { builtIn, modules: new Map() }

/** The plugin of an entry; `undefined` when there is none. */
export function pluginOf(
  registry: PluginRegistry,
  { name, use }: Pick<PluginEntry, 'name' | 'use'>,
): Plugin | undefined {
  return use === null ? registry.builtIn.find((plugin) => plugin.name === name) : registry.modules.get(use)
}

/** Loads the modules that a validated configuration uses. Throws when one can't be loaded. */
export async function loadRegistry(config: Pick<Config, 'plugins' | 'routes' | 'upstreams'>): Promise<PluginRegistry> {
  const modules = new Map<string, Plugin>()
  for (const list of [config, ...config.routes, ...config.upstreams]) {
    for (const { use } of list.plugins) if (use !== null && !modules.has(use)) modules.set(use, await loadModule(use))
  }
  return { builtIn, modules }
}

/**
 * The plugin that a module of the operator exports. Throws an `Error` that says what is wrong with it. A changed file is
 * loaded anew; what it imports itself is loaded once per process.
 */
export async function loadModule(file: string): Promise<Plugin> {
  let source: Buffer
  try {
    source = readFileSync(file)
  } catch (error) {
    throw new Error(`can't be read: ${reasonOf(error)}`, { cause: error })
  }
  resolveOwnName()
  // Modules are loaded once per URL: other contents need another one, so that a reload brings new code.
  const version = createHash('sha256').update(source).digest('hex').slice(0, 16)
  let exported: { default?: unknown }
  try {
    exported = (await import(`${pathToFileURL(file).href}?v=${version}`)) as { default?: unknown }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`can't be loaded: ${reason.split('\n')[0]}`, { cause: error })
  }
  return checkPlugin(exported.default)
}

const classes: readonly PluginClass[] = ['security', 'traffic', 'transformation', 'observability']

/** Makes sure that what a module exports is a plugin: nothing of it is type-checked. */
function checkPlugin(exported: unknown): Plugin {
  if (exported === undefined) throw new Error('has no default export: it must be a plugin (definePlugin({ … }))')
  if (typeof exported !== 'object' || exported === null)
    throw new Error('must have a plugin (definePlugin({ … })) as its default export')
  const plugin = exported as Record<string, unknown>
  const fault = (key: string, words: string): Error => new Error(`must export a plugin whose "${key}" is ${words}`)

  if (typeof plugin['name'] !== 'string' || !/^[\w.-]+$/.test(plugin['name'])) {
    throw fault('name', 'a name of letters, digits and . _ -')
  }
  if (typeof plugin['summary'] !== 'string') throw fault('summary', 'a sentence')
  if (!classes.some((name) => name === plugin['class'])) throw fault('class', `one of ${classes.join(', ')}`)
  if (typeof plugin['priority'] !== 'number') throw fault('priority', 'a number')
  const schema = plugin['schema']
  if (typeof schema !== 'object' || schema === null || !('parse' in schema) || typeof schema.parse !== 'function') {
    throw fault('schema', 'a zod schema, or an object with a "parse" function')
  }
  if (typeof plugin['create'] !== 'function') throw fault('create', 'a function')
  for (const key of ['provides', 'requires', 'injects']) {
    if (plugin[key] !== undefined && typeof plugin[key] !== 'function') throw fault(key, 'a function')
  }
  return exported as Plugin
}

/** The build: Node can't run TypeScript, and from `dist/config/` and `src/config/` the way there is the same. */
const ownEntry = new URL('../../dist/index.js', import.meta.url).href

let isResolved = false

/** Lets an operator's module `import { definePlugin, z } from 'sluice'` wherever it lies, without an installation there. */
function resolveOwnName(): void {
  if (isResolved) return
  isResolved = true
  const hook = `export function resolve(name, context, next) {
    return name === 'sluice' ? { url: ${JSON.stringify(ownEntry)}, shortCircuit: true } : next(name, context)
  }`
  register(`data:text/javascript,${encodeURIComponent(hook)}`)
}
