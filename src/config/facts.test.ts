import { expect, test } from 'vitest'
import { definePlugin, type Fact } from '../core/plugin.ts'
import type { EffectivePlugin } from './effective-plugins.ts'
import { followFacts, provesIdentity } from './facts.ts'

interface Shape {
  readonly provides?: readonly Fact[]
  readonly requires?: readonly Fact[]
  readonly authenticates?: boolean
}

function effective(name: string, { provides = [], requires = [], authenticates = false }: Shape): EffectivePlugin {
  const plugin = definePlugin({
    name,
    summary: 'A test.',
    class: 'security',
    priority: 1,
    schema: { parse: (input) => input },
    authenticates,
    provides: () => provides,
    requires: () => requires,
    create: () => ({}),
  })
  const entry = { name, use: null, config: {}, enabled: true, timeout: null, before: null, after: null }
  return { plugin, origin: 'route', entry: { ...entry, on_timeout: 'fail' } }
}

const jwt = effective('jwt', { authenticates: true, provides: ['consumer', 'claims'] })
const key = effective('key-auth', { authenticates: true, provides: ['consumer'] })
const optional = effective('basic-auth', { authenticates: true })
const byConsumer = effective('acl', { requires: ['consumer'] })
const byClaim = effective('limit', { requires: ['claims'] })

const all = { match: 'all', anonymous: null } as const
const any = { match: 'any', anonymous: null } as const
const guests = { match: 'any', anonymous: 'guest' } as const

test.each([
  [all, [jwt, key, byConsumer, byClaim], []],
  [all, [key, byConsumer, byClaim], ['limit claims']],
  [all, [byConsumer, key], ['acl consumer']],
  [any, [jwt, key, byConsumer, byClaim], ['limit claims']],
  [any, [jwt, byConsumer, byClaim], []],
  [any, [jwt, optional, byConsumer], ['acl consumer']],
  [all, [optional, byConsumer], ['acl consumer']],
  [guests, [jwt, key, byConsumer, byClaim], ['limit claims']],
  [guests, [optional, byConsumer], []],
] as const)('%j', (auth, plugins, expected) => {
  const missing: string[] = []
  followFacts(plugins, auth, ({ plugin }, fact) => missing.push(`${plugin.name} ${fact}`))
  expect(missing).toEqual(expected)
})

test.each([
  [all, [], false],
  [all, [byConsumer], false],
  [all, [optional], false],
  [all, [optional, key], true],
  [any, [optional, key], false],
  [any, [jwt, key], true],
  [guests, [jwt, key], false],
] as const)('whether somebody unknown gets through: %j', (auth, plugins, proves) => {
  expect(provesIdentity(plugins, auth)).toBe(proves)
})
