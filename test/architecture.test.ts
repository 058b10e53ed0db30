import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative, sep } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')

/**
 * Which layer of src/ may import which. A layer is a folder or a file; it may always import itself. The router is one
 * of its own: `check` and `explain` must come to the same result as the worker, so all three use its code.
 */
const allowed: Record<string, readonly string[]> = {
  core: [],
  telemetry: ['core'],
  plugins: ['core'],
  services: ['core', 'telemetry'],
  'proxy/router': ['core'],
  proxy: ['proxy/router', 'core', 'telemetry'],
  config: ['core', 'plugins', 'proxy/router'],
  worker: ['core', 'config', 'plugins', 'services', 'proxy', 'proxy/router', 'telemetry'],
  primary: ['core', 'config', 'services', 'telemetry'],
  cli: ['core', 'primary', 'worker', 'config', 'proxy/router'],
  'main.ts': ['cli', 'primary', 'worker', 'config'],
  // What authors of their own plugins import.
  'index.ts': ['core'],
}

/** Packages that only some places may know; every other dependency is free to use where its layer needs it. */
const packages: Record<string, readonly string[]> = {
  'uWebSockets.js': ['src/proxy/listener.ts'],
  // index.ts hands zod to authors of plugins, so that their schemas and ours come from one copy.
  zod: ['src/config/', 'src/plugins/', 'src/index.ts'],
  yaml: ['src/config/'],
  commander: ['src/cli/', 'src/main.ts'],
  pino: ['src/telemetry/'],
  ioredis: ['src/services/'],
  piscina: ['src/services/'],
}

/** Packages that a plugin may import. */
const pluginPackages = ['zod', 'ipaddr.js', 'lru-cache', 'structured-headers']

const forbiddenWords = ['manager', 'helper', 'util', 'common', 'base', 'misc']

interface Import {
  readonly file: string
  readonly specifier: string
  /** Path from the repository's root for a relative import, else null. */
  readonly target: string | null
}

const files = sourceFiles('src')
const imports = files.flatMap((file) => importsOf(file, readFileSync(join(root, file), 'utf8')))
/** Tests may also reach test/support and whatever they test. */
const compiled = imports.filter(({ file }) => !isTest(file))

describe('src', () => {
  test('has files and imports to look at', () => {
    expect(files.length).toBeGreaterThan(20)
    expect(imports.length).toBeGreaterThan(50)
  })

  test('knows the layer of every file', () => {
    expect([...new Set(files.map(layerOf))].filter((layer) => !(layer in allowed))).toEqual([])
  })

  test('imports in one direction only', () => {
    expect(compiled.filter(crossesWrongly).map(asLine)).toEqual([])
  })

  test('leaves src/ in tests only, and there for test/ only', () => {
    const leaving = imports.filter(({ target }) => target !== null && !target.startsWith('src/'))
    expect(leaving.filter(({ file, target }) => !isTest(file) || !target?.startsWith('test/')).map(asLine)).toEqual([])
  })

  test('knows some packages in their places only', () => {
    const strangers = compiled.filter(({ file, specifier }) => {
      const places = packages[specifier]
      return places !== undefined && !places.some((place) => file.startsWith(place))
    })
    expect(strangers.map(asLine)).toEqual([])
  })

  // ipaddr.js: trusted proxies, routes and ip-restriction must agree on what an address is. node:crypto: the command line,
  // plugins and services must agree on what a key and a digest are.
  test('has a core that imports nothing that does I/O', () => {
    const strangers = compiled.filter(({ file, target }) => layerOf(file) === 'core' && target === null)
    expect(
      strangers.filter(({ specifier }) => !['ipaddr.js', 'node:crypto', 'node:zlib'].includes(specifier)).map(asLine),
    ).toEqual([])
  })

  test('has plugins that know nothing of each other', () => {
    const across = imports.filter(({ file, target }) => {
      const [own, other] = [pluginOf(file), target === null ? null : pluginOf(target)]
      return own !== null && other !== null && own !== other
    })
    expect(across.map(asLine)).toEqual([])
  })

  test('has plugins with few dependencies', () => {
    const foreign = compiled.filter(
      ({ file, specifier, target }) =>
        pluginOf(file) !== null &&
        target === null &&
        !specifier.startsWith('node:') &&
        !pluginPackages.includes(specifier),
    )
    expect(foreign.map(asLine)).toEqual([])
  })

  test('names its files by what they are', () => {
    const misnamed = files.filter((file) => {
      const words = basename(file).replace(/\..*$/, '').split('-')
      return words.some((word) => forbiddenWords.some((bad) => word === bad || word === `${bad}s`))
    })
    expect(misnamed).toEqual([])
    expect(files.filter((file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.property)?(\.test)?\.ts$/.test(basename(file)))).toEqual(
      [],
    )
  })

  test('gives a reason wherever it switches a check off', () => {
    const bare = files.flatMap((file) => {
      const lines = readFileSync(join(root, file), 'utf8').split('\n')
      return lines.flatMap((line, index) => {
        // HTTP's grammar is about control characters: what such a regular expression is for says itself.
        if (!/(oxlint|eslint)-disable(?!.*no-control-regex)|@ts-(expect-error|ignore)|biome-ignore/.test(line))
          return []
        const explained =
          / --? .{10,}|: .{10,}/.test(line) ||
          lines.slice(Math.max(0, index - 2), index).some((above) => /^\s*\/\//.test(above))
        return explained ? [] : [`${file}:${index + 1}`]
      })
    })
    expect(bare).toEqual([])
  })
})

test('the reader of imports sees every form', () => {
  const source = `
import a from './a.ts'
import type { B } from "./b.ts"
import {
  c,
} from './c.ts'
export { d } from './d.ts'
export * from './e.ts'
import './f.ts'
const g = await import('./g.ts')
type H = import('./h.ts').H
const i = require('./i.ts')
// import j from './j.ts'
`
  const targets = importsOf('src/proxy/x.ts', source).map(({ target }) => target)
  expect(new Set(targets)).toEqual(new Set('abcdefghi'.split('').map((name) => `src/proxy/${name}.ts`)))
})

function crossesWrongly({ file, target }: Import): boolean {
  if (target === null || !target.startsWith('src/')) return false
  const [from, to] = [layerOf(file), layerOf(target)]
  return from !== to && !(allowed[from] ?? []).includes(to)
}

/** The layer with the longest path that holds the file; else the folder directly below src/. */
function layerOf(file: string): string {
  const [, ...parts] = file.split('/')
  for (let depth = parts.length; depth > 0; depth--) {
    const path = parts.slice(0, depth).join('/')
    if (path in allowed) return path
  }
  return parts[0] ?? ''
}

/** Name of the plugin that a file belongs to, or null. */
function pluginOf(file: string): string | null {
  const [, layer, plugin, ...rest] = file.split('/')
  return layer === 'plugins' && plugin !== undefined && rest.length > 0 ? plugin : null
}

function isTest(file: string): boolean {
  return file.endsWith('.test.ts')
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name.split(sep).join('/')}`)
    .sort()
}

/** Static and dynamic imports, re-exports, `import('…')` types and `require`. */
function importsOf(file: string, source: string): Import[] {
  const code = source.replace(/^\s*(\/\/|\*|\/\*).*$/gm, '')
  const forms = [
    /\b(?:import|export)\b[^'"();]*?\bfrom\s*['"]([^'"]+)['"]/g,
    /\bimport\s*['"]([^'"]+)['"]/g,
    /\b(?:import|require)\(\s*['"]([^'"]+)['"]/g,
  ]
  return forms.flatMap((form) =>
    [...code.matchAll(form)].map(([, specifier = '']) => ({ file, specifier, target: targetOf(file, specifier) })),
  )
}

function targetOf(file: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null
  return relative(root, join(root, dirname(file), specifier))
    .split(sep)
    .join('/')
}

function asLine({ file, specifier }: Import): string {
  return `${file} imports ${specifier}`
}
