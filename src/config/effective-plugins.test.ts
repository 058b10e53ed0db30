import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { definePlugin, type Plugin } from '../core/plugin.ts'
import { arrange, effectivePlugins } from './effective-plugins.ts'
import type { PluginRegistry } from './registry.ts'
import type { PluginEntry, Upstream } from './schema.ts'

const plugin = (name: string): Plugin =>
  definePlugin({ name, summary: '', class: 'traffic', priority: 0, schema: z.unknown(), create: () => ({}) })

const registry: PluginRegistry = {
  builtIn: ['cors', 'ip-restriction', 'request-termination'].map(plugin),
  modules: new Map(['/own.js', '/other.js', '/third.js'].map((file) => [file, plugin(file)])),
}

const entry = (name: string, change: Partial<PluginEntry> = {}): PluginEntry => ({
  name,
  use: null,
  config: null,
  enabled: true,
  timeout: null,
  on_timeout: 'fail',
  before: null,
  after: null,
  ...change,
})

/** Names and origins of the plugins that these entries come to. */
function order(global: PluginEntry[], upstream: PluginEntry[] = [], route: PluginEntry[] = []): string[] {
  const config = { plugins: global, upstreams: [{ name: 'u', plugins: upstream } as unknown as Upstream] }
  return effectivePlugins(config, { plugins: route, upstream: 'u' }, registry).map(
    ({ entry: { name }, origin }) => `${name} ${origin}`,
  )
}

describe('levels', () => {
  test('the order is that of the registry, whatever that of the file', () => {
    expect(order([entry('request-termination')], [entry('ip-restriction')], [entry('cors')])).toEqual([
      'cors route',
      'ip-restriction upstream',
      'request-termination global',
    ])
  })
  test('route goes before upstream goes before global', () => {
    expect(order([entry('cors')], [entry('cors')])).toEqual(['cors upstream'])
    expect(order([entry('cors')], [entry('cors')], [entry('cors')])).toEqual(['cors route'])
  })
  test('enabled: false takes away what stands further out, and only that', () => {
    const off = entry('cors', { enabled: false })
    expect(order([entry('cors'), entry('ip-restriction')], [], [off])).toEqual(['ip-restriction global'])
    expect(order([off], [], [entry('cors')])).toEqual(['cors route'])
    expect(order([entry('cors')], [off], [entry('cors')])).toEqual(['cors route'])
  })
  test('a route without upstream has no upstream plugins', () => {
    const config = { plugins: [entry('cors')], upstreams: [] }
    expect(effectivePlugins(config, { plugins: [], upstream: null }, registry)).toHaveLength(1)
  })
})

describe("an operator's own", () => {
  const own = (name: string, change: Partial<PluginEntry> = {}): PluginEntry =>
    entry(name, { use: '/own.js', ...change })
  const names = (entries: PluginEntry[]): string[] => order(entries).map((line) => line.replace(/ .*/, ''))
  const all = [entry('cors'), entry('ip-restriction'), entry('request-termination')]

  test('run last, but before the plugin that answers', () => {
    expect(names([own('a'), own('b'), ...all])).toEqual(['cors', 'ip-restriction', 'a', 'b', 'request-termination'])
  })
  test('run just before or after the one that they name', () => {
    expect(names([own('a', { before: 'cors' }), ...all])).toEqual([
      'a',
      'cors',
      'ip-restriction',
      'request-termination',
    ])
    expect(names([own('a', { after: 'cors' }), own('b', { after: 'cors' }), ...all])).toEqual([
      'cors',
      'a',
      'b',
      'ip-restriction',
      'request-termination',
    ])
    expect(names([own('a', { after: 'request-termination' }), ...all]).at(-1)).toBe('a')
  })
  test('have their place also where the one that they name does not run', () => {
    expect(names([own('a', { before: 'ip-restriction' }), own('b'), entry('request-termination')])).toEqual([
      'a',
      'b',
      'request-termination',
    ])
  })
  test('may name each other, in any order', () => {
    expect(names([own('a', { after: 'b' }), own('b', { after: 'c' }), own('c', { before: 'cors' }), ...all])).toEqual([
      'c',
      'b',
      'a',
      'cors',
      'ip-restriction',
      'request-termination',
    ])
  })
  test('both before and after', () => {
    expect(names([own('a', { after: 'cors', before: 'request-termination' }), ...all])).toEqual([
      'cors',
      'a',
      'ip-restriction',
      'request-termination',
    ])
  })
  test('what is not on the route places nothing', () => {
    expect(names([own('a', { after: 'elsewhere' }), ...all])).toEqual([
      'cors',
      'ip-restriction',
      'a',
      'request-termination',
    ])
  })
  test('circles and contradictions are faults', () => {
    const faults = (entries: PluginEntry[]): string[] =>
      arrange({ plugins: entries, upstreams: [] }, { plugins: [], upstream: null }, registry).faults.map(
        ({ entry: { name }, key, message }) => `${name} ${key}: ${message}`,
      )
    expect(faults([own('a', { before: 'b' }), own('b', { before: 'a' })])).toHaveLength(2)
    expect(faults([own('a', { before: 'cors', after: 'request-termination' })])).toEqual([
      'a before: "cors" does not run after "request-termination"',
    ])
    expect(() => order([own('a', { before: 'b' }), own('b', { before: 'a' })])).toThrow('plugin "a"')
  })
})
