import { describe, expect, it } from 'vitest'
import { RequestContext } from '../../core/context.ts'
import { explainMatch, tableOf } from './explain.ts'
import type { RouteRule } from './trie.ts'

function rule(name: string, change: Partial<RouteRule<null>>): RouteRule<null> {
  return {
    name,
    hosts: [],
    paths: ['/*'],
    methods: [],
    headers: [],
    query: [],
    cookies: [],
    contentTypes: [],
    clientIps: [],
    stripPath: false,
    route: null,
    ...change,
  }
}

const rules = [
  rule('rest', {}),
  rule('hosted', { hosts: ['api.example.com', '*.example.org'], paths: ['/users/*', '/users/{id}'], stripPath: true }),
  rule('versioned', {
    paths: ['/v1/users/*'],
    headers: [{ name: 'x-version', values: ['v2'], pattern: null }],
    clientIps: ['10.0.0.0/8'],
    stripPath: '/v1',
  }),
  rule('written', {
    paths: ['/v1/users/{id}'],
    methods: ['POST', 'PUT'],
    query: [{ name: 'q', values: [], pattern: '^a' }],
  }),
]

function request(change: Partial<RequestContext>): RequestContext {
  return Object.assign(
    new RequestContext(),
    { method: 'GET', hostname: 'a.com', path: '/v1/users/7', clientIp: '10.0.0.1' },
    change,
  )
}

describe('explainMatch', () => {
  it('says of every candidate, in match order, which predicate failed first', () => {
    expect(explainMatch(rules, request({ headers: ['x-version', 'v1'] }))).toEqual({
      route: 'rest',
      pattern: '/*',
      params: [],
      forwardedPath: '/v1/users/7',
      allowedMethods: null,
      candidates: [
        { route: 'hosted', path: '/users/{id}', failed: 'host: "a.com" is not api.example.com, *.example.org' },
        { route: 'hosted', path: '/users/*', failed: 'host: "a.com" is not api.example.com, *.example.org' },
        { route: 'written', path: '/v1/users/{id}', failed: 'method: GET is not POST, PUT' },
        { route: 'versioned', path: '/v1/users/*', failed: 'header x-version: "v1" is not "v2"' },
        { route: 'rest', path: '/*', failed: null },
      ],
    })
  })

  it.each<[Partial<RequestContext>, string, string | null]>([
    [{ path: '/v2' }, 'written', 'path: /v2 does not match /v1/users/{id}'],
    [{ method: 'POST', query: 'q=b' }, 'written', 'query q: "b" is not ~^a'],
    [{ method: 'POST' }, 'written', 'query q: absent'],
    [{ method: 'POST', query: 'q=ab' }, 'written', null],
    [{ headers: ['x-version', 'v2'], clientIp: '9.9.9.9' }, 'versioned', 'client ip: 9.9.9.9 is not in 10.0.0.0/8'],
    [{ headers: ['x-version', 'v2'] }, 'versioned', null],
  ])('%j: %s: %s', (change, route, failed) => {
    const { candidates } = explainMatch(rules, request(change))
    expect(candidates.find((candidate) => candidate.route === route)?.failed).toBe(failed)
  })

  it('puts the path before the method', () => {
    const table = [rule('right', { paths: ['/{x}/b'], methods: ['GET'] }), rule('left', { paths: ['/a/{y}'] })]
    const { route, candidates } = explainMatch(table, request({ path: '/a/b' }))
    expect([route, ...candidates.map((candidate) => candidate.route)]).toEqual(['left', 'left', 'right'])
  })

  it('shows what the upstream gets', () => {
    const match = explainMatch(rules, request({ hostname: 'x.example.org', path: '/users/7' }))
    expect(match).toMatchObject({
      route: 'hosted',
      pattern: '/users/{id}',
      params: [{ name: 'id', value: '7' }],
      forwardedPath: '/users/7',
    })
    const stripped = explainMatch(rules, request({ headers: ['x-version', 'v2'] }))
    expect(stripped).toMatchObject({ route: 'versioned', forwardedPath: '/users/7' })
  })

  it('knows the methods that would have been allowed', () => {
    const miss = explainMatch(rules.slice(3), request({ query: 'q=a' }))
    expect(miss).toMatchObject({
      route: null,
      pattern: null,
      allowedMethods: ['POST', 'PUT'],
      forwardedPath: '/v1/users/7',
    })
    expect(explainMatch(rules.slice(3), request({})).allowedMethods).toBeNull()
  })

  it('leaves the request as it was', () => {
    const asked = request({ hostname: 'x.example.org', path: '/users/7' })
    explainMatch(rules, asked)
    expect(asked.params).toEqual([])
  })
})

it('tableOf lists every route by path and host in match order', () => {
  expect(tableOf(rules)).toEqual([
    { host: 'api.example.com', path: '/users/{id}', methods: [], predicates: [], route: 'hosted' },
    { host: 'api.example.com', path: '/users/*', methods: [], predicates: [], route: 'hosted' },
    { host: '*.example.org', path: '/users/{id}', methods: [], predicates: [], route: 'hosted' },
    { host: '*.example.org', path: '/users/*', methods: [], predicates: [], route: 'hosted' },
    { host: null, path: '/v1/users/{id}', methods: ['POST', 'PUT'], predicates: ['query q: ~^a'], route: 'written' },
    {
      host: null,
      path: '/v1/users/*',
      methods: [],
      predicates: ['header x-version: "v2"', 'client ip: 10.0.0.0/8'],
      route: 'versioned',
    },
    { host: null, path: '/*', methods: [], predicates: [], route: 'rest' },
  ])
})
