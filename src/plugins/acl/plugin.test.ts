import { describe, expect, test } from 'vitest'
import { access, compile, faults, request } from '../../../test/support/plugin.ts'
import type { Consumer, RequestContext } from '../../core/context.ts'
import type { Verdict } from '../../core/plugin.ts'
import { acl } from './plugin.ts'

function check(config: object, fields: Partial<Consumer> | null, more: Partial<RequestContext> = {}): Verdict {
  const nobody = { name: null, tier: null, tenant: null, groups: [], roles: [], scopes: [], credential: null }
  const consumer = fields === null ? null : { id: 'alice', ...nobody, anonymous: false, ...fields }
  return access(compile(acl, config), request({ consumer, ...more }))
}

function detail(config: object, fields: Partial<Consumer> | null): string | undefined {
  const verdict = check(config, fields)
  if (verdict === undefined) return undefined
  expect(verdict).toMatchObject({ code: 'access_denied', status: 403, message: 'You are not allowed to do this.' })
  return (verdict as { detail: string }).detail
}

describe('allow', () => {
  test.each([
    [['admin', 'support'], { groups: ['staff', 'support'] }, undefined],
    [['admin', 'support'], { groups: ['staff'] }, 'not_on_allow_list'],
    [['admin'], { groups: [] }, 'not_on_allow_list'],
    // A bare list is one of groups, and of nothing else.
    [['admin'], { id: 'admin', roles: ['admin'], scopes: ['admin'] }, 'not_on_allow_list'],
    [{ groups: ['admin'] }, { groups: ['admin'] }, undefined],
    [{ consumers: ['alice', 'bob'] }, {}, undefined],
    [{ consumers: ['bob'] }, {}, 'not_on_allow_list'],
    [{ roles: ['admin'] }, { roles: ['user', 'admin'] }, undefined],
    [{ roles: ['admin'] }, { groups: ['admin'] }, 'not_on_allow_list'],
    [{ scopes: ['a', 'b'] }, { scopes: ['b'] }, undefined],
    [{ consumers: ['bob'], roles: ['admin'] }, { roles: ['admin'] }, undefined],
    [{ consumers: ['bob'], roles: ['admin'] }, {}, 'not_on_allow_list'],
    [{ groups: ['Admin'] }, { groups: ['admin'] }, 'not_on_allow_list'],
    [{ groups: ['admin'] }, { groups: ['administrators'] }, 'not_on_allow_list'],
  ])('%j for %j: %j', (allow, consumer, expected) => expect(detail({ allow }, consumer)).toBe(expected))
})

describe('deny', () => {
  test.each([
    [['banned'], { groups: ['banned'] }, 'group_denied'],
    [['banned'], { groups: ['good'] }, undefined],
    [{ consumers: ['alice'] }, {}, 'consumer_denied'],
    [{ roles: ['guest'] }, { roles: ['guest', 'admin'] }, 'role_denied'],
    [{ scopes: ['legacy'] }, { scopes: ['legacy'] }, 'scope_denied'],
    [{ consumers: ['bob'], scopes: ['legacy'] }, {}, undefined],
  ])('%j for %j: %j', (deny, consumer, expected) => expect(detail({ deny }, consumer)).toBe(expected))

  test('goes before allow', () => {
    const config = { allow: ['staff'], deny: { consumers: ['alice'] } }
    expect(detail(config, { groups: ['staff'] })).toBe('consumer_denied')
    expect(detail(config, { id: 'bob', groups: ['staff'] })).toBeUndefined()
    expect(detail(config, { id: 'bob' })).toBe('not_on_allow_list')
  })
})

describe('scopes', () => {
  test.each([
    [{ scopes: ['a', 'b'] }, ['a', 'b', 'c'], undefined],
    [{ scopes: ['a', 'b'] }, ['a'], 'scope_missing'],
    [{ scopes: ['a', 'b'], scopes_match: 'any' }, ['b'], undefined],
    [{ scopes: ['a', 'b'], scopes_match: 'any' }, ['c'], 'scope_missing'],
    [{ scopes: ['a'] }, [], 'scope_missing'],
  ])('%j for %j: %j', (config, scopes, expected) => expect(detail(config, { scopes })).toBe(expected))

  test('are needed besides what is allowed', () => {
    const config = { allow: { roles: ['admin'] }, scopes: ['a'] }
    expect(detail(config, { roles: ['admin'] })).toBe('scope_missing')
    expect(detail(config, { scopes: ['a'] })).toBe('not_on_allow_list')
    expect(detail(config, { roles: ['admin'], scopes: ['a'] })).toBeUndefined()
  })

  test('that a token lacks are told in a challenge, others are not', () => {
    const config = { scopes: ['orders:read', 'orders:write'] }
    expect(check(config, {}, { claims: { sub: 'alice' } })).toMatchObject({
      status: 403,
      headers: ['www-authenticate', 'Bearer error="insufficient_scope", scope="orders:read orders:write"'],
    })
    expect(check(config, {})).toMatchObject({ headers: [] })
    expect(check({ allow: ['a'] }, {}, { claims: {} })).toMatchObject({ headers: [] })
  })
})

test('nobody is refused', () => {
  expect(detail({ deny: ['banned'] }, null)).toBe('consumer_unknown')
})

test('needs somebody who finds out who calls', () => {
  expect(acl.requires?.(acl.schema.parse({ allow: ['a'] }))).toEqual(['consumer'])
})

test.each([
  [{}, 'needs "allow", "deny" or "scopes"'],
  [{ scopes: [] }, 'needs "allow", "deny" or "scopes"'],
  [{ allow: [] }, 'allow'],
  [{ allow: {} }, 'must name consumers, groups, roles or scopes'],
  [{ deny: { groups: [] } }, 'must name consumers, groups, roles or scopes'],
  [{ allow: { group: ['a'] } }, 'allow'],
  [{ scopes: ['a b'] }, 'must be a scope'],
  [{ scopes: ['a'], scopes_match: 'some' }, 'scopes_match'],
])('refuses %j', (config, words) => expect(faults(acl, config)).toContain(words))
