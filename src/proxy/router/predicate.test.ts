import { describe, expect, it } from 'vitest'
import { RequestContext } from '../../core/context.ts'
import type { Predicate } from './predicate.ts'
import { ContentTypeDemand, compileField, parseMediaType } from './predicate.ts'

function holds(predicate: Predicate, change: Partial<RequestContext>): boolean {
  return predicate.holds(Object.assign(new RequestContext(), change))
}

describe('a header predicate', () => {
  const v2 = compileField('header', { name: 'X-Version', values: ['v2', 'v3'], pattern: null })

  it.each([
    [['x-version', 'v2'], true],
    [['x-version', 'v3'], true],
    [['x-version', 'V2'], false],
    [['x-version', 'v2 '], false],
    [['x-version', ''], false],
    [['x-versions', 'v2'], false],
    [['accept', 'v2'], false],
    [['x-version', 'v1', 'x-version', 'v2'], true],
    [[], false],
  ])('with values: %j is %s', (headers, expected) => {
    expect(holds(v2, { headers })).toBe(expected)
  })

  it('with a pattern or none', () => {
    const mobile = compileField('header', { name: 'user-agent', values: ['app'], pattern: '(Mobile|Android)' })
    expect(holds(mobile, { headers: ['user-agent', 'x Android y'] })).toBe(true)
    expect(holds(mobile, { headers: ['user-agent', 'app'] })).toBe(true)
    expect(holds(mobile, { headers: ['user-agent', 'desktop'] })).toBe(false)
    const present = compileField('header', { name: 'x', values: [], pattern: null })
    expect(holds(present, { headers: ['x', ''] })).toBe(true)
    expect(holds(present, { headers: ['y', ''] })).toBe(false)
  })

  it('says in words what it wants and what it got', () => {
    expect(v2.describe()).toBe('header x-version: "v2", "v3"')
    expect(v2.explain(new RequestContext())).toBe('header x-version: absent')
    const request = Object.assign(new RequestContext(), { headers: ['x-version', 'v1', 'x-version', 'v0'] })
    expect(v2.explain(request)).toBe('header x-version: "v1", "v0" is not "v2", "v3"')
    expect(compileField('query', { name: 'q', values: [], pattern: null }).describe()).toBe('query q present')
    expect(compileField('cookie', { name: 'k', values: [], pattern: '^a' }).describe()).toBe('cookie k: ~^a')
  })
})

describe('a query predicate', () => {
  const version = compileField('query', { name: 'a b', values: ['1+é'], pattern: null })

  it.each([
    ['a+b=1%2B%C3%A9', true],
    ['a%20b=1%2b%c3%a9', true],
    ['x&a+b=1%2B%C3%A9&y=2', true],
    ['a+b=2&a+b=1%2B%C3%A9', true],
    ['a+b=1+%C3%A9', false],
    ['a+b=1%2B%C3%A', false],
    ['ab=1%2B%C3%A9', false],
    ['x=a+b=1%2B%C3%A9', false],
    ['a+b', false],
    ['', false],
  ])('%s is %s', (query, expected) => {
    expect(holds(version, { query })).toBe(expected)
  })

  it.each([
    ['flag', true],
    ['flag=', true],
    ['x=1&flag&y', true],
    ['%66lag=%zz', true],
    ['flags=1', false],
    ['x=flag', false],
    ['&&', false],
  ])('that asks for presence: %s is %s', (query, expected) => {
    expect(holds(compileField('query', { name: 'flag', values: [], pattern: null }), { query })).toBe(expected)
  })

  it('decodes what it can and keeps the rest', () => {
    const odd = compileField('query', { name: 'q', values: ['%zz%4', '\ufffd'], pattern: null })
    expect(holds(odd, { query: 'q=%zz%4' })).toBe(true)
    expect(holds(odd, { query: 'q=%ff' })).toBe(true)
    expect(holds(compileField('query', { name: 'q', values: [], pattern: '^é$' }), { query: 'x=1&q=%C3%A9&y' })).toBe(
      true,
    )
  })
})

describe('a cookie predicate', () => {
  const canary = compileField('cookie', { name: 'canary', values: ['true'], pattern: null })

  it.each([
    [['cookie', 'canary=true'], true],
    [['cookie', 'a=1; canary=true; b=2'], true],
    [['cookie', 'a=1;canary=true ;b'], true],
    [['cookie', 'canary="true"'], true],
    [['cookie', 'a=1', 'cookie', 'canary=true'], true],
    [['cookie', 'canary=false; canary=true'], true],
    [['cookie', 'Canary=true'], false],
    [['cookie', 'xcanary=true'], false],
    [['cookie', 'canary=truex'], false],
    [['cookie', 'a=canary=true'], false],
    [['cookie', 'canary'], false],
    [['cookie', ''], false],
    [[], false],
  ])('%j is %s', (headers, expected) => {
    expect(holds(canary, { headers })).toBe(expected)
  })

  it('may ask for presence', () => {
    const present = compileField('cookie', { name: 'k', values: [], pattern: null })
    expect(holds(present, { headers: ['cookie', 'a=1; k='] })).toBe(true)
    expect(holds(present, { headers: ['cookie', 'a=1; k'] })).toBe(false)
  })
})

describe('content types', () => {
  it.each([
    ['application/json', 'application/json', true],
    ['application/json', 'Application/JSON; charset=utf-8', true],
    ['application/json', 'application/json ; a=b', true],
    ['application/json', 'application/jsonx', false],
    ['application/json', 'application/problem+json', false],
    ['application/*', 'application/json;x', true],
    ['application/*', 'application/', false],
    ['application/*', 'applications/json', false],
    ['application/*', 'text/plain; a="application/json"', false],
    ['application/*', '', false],
  ])('%s takes %s: %s', (wanted, sent, expected) => {
    const demand = new ContentTypeDemand([parseMediaType(wanted)])
    expect(holds(demand, { headers: ['content-type', sent] })).toBe(expected)
    expect(holds(demand, {})).toBe(false)
  })
})
