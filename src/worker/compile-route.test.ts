import { describe, expect, test } from 'vitest'
import { depsOf } from '../../test/support/plugin.ts'
import type { EffectivePlugin } from '../config/effective-plugins.ts'
import { RequestContext } from '../core/context.ts'
import { rejections } from '../core/errors.ts'
import { ConfigFault, definePlugin, type Plugin, type Steps, type Verdict } from '../core/plugin.ts'
import { TimeLimits } from '../proxy/time-limit.ts'
import { ChainFault, type ChainServices, compileChain } from './compile-route.ts'

const route = { name: 'api', paramNames: [], methods: [], upstream: null }
const auth = { match: 'all', anonymous: null } as const

function plugin(name: string, steps: Steps, more: Partial<Plugin> = {}): Plugin {
  return definePlugin({
    name,
    summary: 'A test.',
    class: 'traffic',
    priority: 1,
    schema: { parse: (input) => input },
    create: () => steps,
    ...more,
  })
}

function effective(of: Plugin, entry: Partial<EffectivePlugin['entry']> = {}): EffectivePlugin {
  return {
    plugin: of,
    origin: 'route',
    entry: {
      name: of.name,
      use: null,
      config: {},
      enabled: true,
      timeout: null,
      on_timeout: 'fail',
      before: null,
      after: null,
      ...entry,
    },
  }
}

function services(): ChainServices & { faults: string[] } {
  const faults: string[] = []
  return {
    faults,
    limits: new TimeLimits(),
    report: (name, phase, kind) => faults.push(`${name} ${phase} ${kind}`),
    depsFor: () => depsOf(route),
  }
}

const stuck = () => new Promise<Verdict>(() => {})

describe('compileChain', () => {
  test('has null phases without steps', () => {
    expect(compileChain([], route, auth, services())).toEqual({ access: null, response: null, log: null, injects: [] })
    const empty = compileChain([effective(plugin('a', {}))], route, auth, services())
    expect(empty).toEqual({ access: null, response: null, log: null, injects: [] })
  })

  test('runs the steps of every phase in the order given', () => {
    const trace: string[] = []
    const traced = (name: string) =>
      plugin(name, {
        access: () => void trace.push(`${name} access`),
        response: () => void trace.push(`${name} response`),
        log: () => void trace.push(`${name} log`),
      })
    const chain = compileChain([effective(traced('b')), effective(traced('a'))], route, auth, services())
    const ctx = new RequestContext()
    expect(chain.access?.(ctx)).toBeUndefined()
    expect(chain.response?.(ctx)).toBeUndefined()
    chain.log?.(ctx)
    expect(trace).toEqual(['b access', 'a access', 'b response', 'a response', 'b log', 'a log'])
  })

  test('hands create its configuration and what it is given', () => {
    const seen: unknown[] = []
    const curious = plugin(
      'a',
      {},
      {
        create(config, deps) {
          seen.push(config, deps.route.name)
          return {}
        },
      },
    )
    compileChain([effective(curious, { config: { x: 1 } })], route, auth, services())
    expect(seen).toEqual([{ x: 1 }, 'api'])
  })

  test('collects the headers that are injected', () => {
    const a = plugin('a', {}, { injects: () => ['X-A', 'x-b'] })
    const b = plugin('b', {}, { injects: () => ['X-B', 'X-C'] })
    expect(compileChain([effective(a), effective(b)], route, auth, services()).injects).toEqual(['x-a', 'x-b', 'x-c'])
  })

  test('wants facts to be provided before they are required', () => {
    const jwt = effective(plugin('jwt', {}, { provides: () => ['claims'] }))
    const user = effective(plugin('user', {}, { requires: () => ['claims', 'request_id'] }))
    expect(() => compileChain([jwt, user], route, auth, services())).not.toThrow()
    expect(() => compileChain([user, jwt], route, auth, services())).toThrow(
      'route "api": plugin "user": needs "claims", but no plugin before it provides that',
    )
  })

  test('says which plugin can not be compiled, and why', () => {
    const broken = effective(
      plugin(
        'a',
        {},
        {
          create() {
            throw new ConfigFault('must be something else', ['list', 0])
          },
        },
      ),
    )
    try {
      compileChain([effective(plugin('b', {})), broken], route, auth, services())
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(ChainFault)
      expect((error as ChainFault).message).toBe('route "api": plugin "a" (config.list.0): must be something else')
      expect((error as ChainFault).plugin).toBe(broken)
      expect((error as ChainFault).cause).toBeInstanceOf(ConfigFault)
    }
  })

  test.each([
    [undefined, 'must return an object'],
    [Promise.resolve({}), 'not a promise'],
    [{ acces: () => undefined }, 'unknown phase "acces"'],
    [{ access: 'yes' }, 'the access step must be a function'],
  ])("takes no nonsense from an operator's module: %j", (steps, message) => {
    const custom = plugin('a', steps as unknown as Steps)
    expect(() => compileChain([effective(custom)], route, auth, services())).toThrow(message)
  })

  test('takes no header names that are none', () => {
    const custom = plugin('a', {}, { injects: () => ['a b'] })
    expect(() => compileChain([effective(custom)], route, auth, services())).toThrow('which is no header')
  })
})

describe('a step that throws', () => {
  const broken = () => {
    throw new Error('broken')
  }

  test('refuses the request in the access phase', () => {
    const used = services()
    const chain = compileChain([effective(plugin('a', { access: broken }))], route, auth, used)
    expect(chain.access?.(new RequestContext())).toMatchObject({ code: 'plugin_failed', detail: 'a' })
    expect(used.faults).toEqual(['a access error'])
  })

  test.each([
    ['security', { code: 'plugin_failed' }],
    ['transformation', undefined],
  ] as const)('in the response phase depends on the class: %s', (of, outcome) => {
    const used = services()
    const chain = compileChain([effective(plugin('a', { response: broken }, { class: of }))], route, auth, used)
    const verdict = chain.response?.(new RequestContext())
    if (outcome === undefined) expect(verdict).toBeUndefined()
    else expect(verdict).toMatchObject(outcome)
    expect(used.faults).toEqual(['a response error'])
  })
})

describe('a step that takes too long', () => {
  test.each([
    ['traffic', 'fail', 'plugin_timeout'],
    ['traffic', 'skip', undefined],
    ['security', 'fail', 'plugin_timeout'],
    ['security', 'skip', 'plugin_timeout'],
  ] as const)('class %s, on_timeout %s: %s', async (of, on_timeout, code) => {
    const used = services()
    const slow = effective(plugin('a', { access: stuck }, { class: of }), { timeout: 20, on_timeout })
    const trace: string[] = []
    const next = effective(plugin('b', { access: () => void trace.push('next') }))
    const verdict = await compileChain([slow, next], route, auth, used).access?.(new RequestContext())
    expect(verdict).toEqual(code === undefined ? undefined : { ...rejections[code], detail: 'a' })
    expect(trace).toEqual(code === undefined ? ['next'] : [])
    expect(used.faults).toEqual(['a access timeout'])
  })

  test('is reported in the response and log phases', () => {
    const used = services()
    const holdUp = () => {
      const end = performance.now() + 5
      while (performance.now() < end);
    }
    const slow = effective(plugin('a', { response: holdUp, log: holdUp }), { timeout: 1 })
    const chain = compileChain([slow], route, auth, used)
    chain.response?.(new RequestContext())
    chain.log?.(new RequestContext())
    expect(used.faults).toEqual(['a response slow', 'a log slow'])
  })
})
