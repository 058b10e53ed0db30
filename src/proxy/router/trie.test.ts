import { describe, expect, it } from 'vitest'
import { RequestContext } from '../../core/context.ts'
import type { RouteRule } from './trie.ts'
import { compileRouter } from './trie.ts'

type Change = Partial<RouteRule<string>>

function rule(name: string, change: Change): RouteRule<string> {
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
    route: name,
    ...change,
  }
}

/** A table in which each route is named by its key. */
function router(table: Record<string, Change>) {
  return compileRouter(Object.entries(table).map(([name, change]) => rule(name, change)))
}

/** `GET api.example.com/path?query`, and whatever else of the request matters. */
function request(line: string, change: Partial<RequestContext> = {}): RequestContext {
  const [method = '', target = ''] = line.split(' ')
  const start = target.indexOf('/')
  const [path = '', query = ''] = target.slice(start).split('?')
  return Object.assign(new RequestContext(), { method, hostname: target.slice(0, start), path, query, ...change })
}

const present = (name: string) => ({ name, values: [], pattern: null })
const is = (name: string, value: string) => ({ name, values: [value], pattern: null })

describe('which route wins', () => {
  it.each<[string, Record<string, Change>, Record<string, string | null>]>([
    [
      'exact host before the longest wildcard before none',
      {
        none: { paths: ['/a'] },
        org: { hosts: ['*.org'] },
        wildcard: { hosts: ['*.example.org'] },
        longer: { hosts: ['*.b.example.org'] },
        exact: { hosts: ['a.b.example.org'] },
      },
      {
        'GET a.b.example.org/a': 'exact',
        'GET a.b.example.org./a': 'exact',
        'GET z.b.example.org/a': 'longer',
        'GET y.z.b.example.org/a': 'longer',
        'GET b.example.org/a': 'wildcard',
        'GET example.org/a': 'org',
        'GET org/a': 'none',
        'GET xexample.org/a': 'org',
        'GET example.com/a': 'none',
        'GET /a': 'none',
        'GET example.com/b': null,
      },
    ],
    [
      'a better host whose path does not match hides nothing',
      {
        exact: { hosts: ['a.example.org'], paths: ['/x/*'] },
        wildcard: { hosts: ['*.example.org'], paths: ['/y/*'] },
        shorter: { hosts: ['*.org'], paths: ['/z/*'] },
        none: { paths: ['/n/*'] },
      },
      {
        'GET a.example.org/x/1': 'exact',
        'GET a.example.org/y/1': 'wildcard',
        'GET a.example.org/z/1': 'shorter',
        'GET a.example.org/n/1': 'none',
        'GET b.example.org/x/1': null,
      },
    ],
    [
      'exact path, parameter path, longest prefix, regex, catch-all',
      {
        all: { paths: ['/*'] },
        second: { paths: ['~^/v'] },
        first: { paths: ['~^/v[0-9]+/'] },
        short: { paths: ['/v1/*'] },
        long: { paths: ['/v1/users/*'] },
        parameter: { paths: ['/v1/users/{id}'] },
        exact: { paths: ['/v1/users/me'] },
      },
      {
        'GET /v1/users/me': 'exact',
        'GET /v1/users/7': 'parameter',
        'GET /v1/users/7/x': 'long',
        'GET /v1/users': 'long',
        'GET /v1/users/': 'long',
        'GET /v1/usersx': 'short',
        'GET /v1': 'short',
        'GET /v2/': 'second',
        'GET /x': 'all',
        'GET /': 'all',
      },
    ],
    [
      'regexes in file order, whatever else they demand',
      { first: { paths: ['~/b'] }, second: { paths: ['~^/a'], methods: ['GET'], headers: [present('x')] } },
      { 'GET /a/b': 'first', 'GET /a': null },
    ],
    [
      'of two parameter paths the one with the left-most literal text',
      {
        last: { paths: ['/{x}/{y}/{z}'] },
        right: { paths: ['/{x}/b/c'] },
        left: { paths: ['/a/{y}/{z}'] },
        middle: { paths: ['/a/{y}/c'] },
      },
      {
        'GET /a/b/c': 'middle',
        'GET /a/b/d': 'left',
        'GET /z/b/c': 'right',
        'GET /z/z/z': 'last',
        'GET /z/z/': null,
      },
    ],
    [
      'of two prefixes the one with more segments, parameters counted, then the left-most literal text',
      {
        literal: { paths: ['/a/*'] },
        parameter: { paths: ['/{x}/b/*'] },
        other: { paths: ['/a/{y}/*'] },
      },
      {
        'GET /a/b/c': 'other',
        'GET /a/b': 'other',
        'GET /z/b/c': 'parameter',
        'GET /a/': 'literal',
        'GET /a': 'literal',
      },
    ],
    [
      'branches that fail late lead back to every other one',
      {
        deep: { paths: ['/a/b/c/d'] },
        half: { paths: ['/a/{x}/c/e'] },
        most: { paths: ['/{w}/b/{y}/f'] },
        prefix: { paths: ['/a/{x}/*'] },
      },
      {
        'GET /a/b/c/d': 'deep',
        'GET /a/b/c/e': 'half',
        'GET /a/b/c/f': 'most',
        'GET /a/b/c/g': 'prefix',
        'GET /z/b/c/d': null,
      },
    ],
    [
      'a prefix ends at a segment boundary',
      { api: { paths: ['/api/*'] } },
      {
        'GET /api': 'api',
        'GET /api/': 'api',
        'GET /api/x/y': 'api',
        'GET /apix': null,
        'GET /ap': null,
        'GET /': null,
      },
    ],
    [
      'a trailing slash is part of an exact path and no parameter',
      { bare: { paths: ['/a'] }, slash: { paths: ['/a/'] }, parameter: { paths: ['/b/{id}'] }, root: { paths: ['/'] } },
      {
        'GET /a': 'bare',
        'GET /a/': 'slash',
        'GET /b/': null,
        'GET /b/1': 'parameter',
        'GET /b/1/': null,
        'GET /': 'root',
      },
    ],
    [
      'a stated method before none; GET states HEAD',
      {
        any: { paths: ['/a'] },
        get: { paths: ['/a'], methods: ['GET'] },
        better: { paths: ['/b'], methods: ['POST'] },
        all: {},
      },
      { 'GET /a': 'get', 'HEAD /a': 'get', 'POST /a': 'any', 'get /a': 'any', 'GET /b': 'all', 'POST /b': 'better' },
    ],
    [
      'more query predicates, then file order',
      {
        none: { paths: ['/a'] },
        first: { paths: ['/a'], query: [is('x', '1')] },
        second: { paths: ['/a'], query: [is('y', '1')] },
        both: { paths: ['/a'], query: [is('x', '1'), is('y', '1')] },
      },
      { 'GET /a?x=1': 'first', 'GET /a?y=1': 'second', 'GET /a?x=1&y=1': 'both', 'GET /a?x=2': 'none' },
    ],
    [
      'of two that are alike the first in the file',
      { first: { paths: ['/b', '/a/{x}'] }, second: { paths: ['/a/{y}'] } },
      { 'GET /a/1': 'first' },
    ],
    [
      'literal text that is spelled in another way is the same text',
      { cafe: { paths: ['/café/x'] }, tilde: { paths: ['/%7euser'] }, blank: { paths: ['/a b/{x}'] } },
      { 'GET /caf%C3%A9/x': 'cafe', 'GET /~user': 'tilde', 'GET /a%20b/1': 'blank' },
    ],
    [
      'segments and hosts with the same hash are told apart',
      {
        upper: { paths: ['/Aa'] },
        short: { paths: ['/a'] },
        // Next to `a` where the trie keeps its text, so that the two together spell the segment asked for below.
        rest: { paths: ['/jkenmed'] },
        wildcard: { hosts: ['*.z-c.org'], paths: ['/h'] },
        colliding: { paths: ['/many/Bb', '/many/CC', '/many/1', '/many/2', '/many/3', '/many/4'] },
      },
      {
        'GET /Aa': 'upper',
        'GET /BB': null,
        'GET /ajkenmed': null,
        'GET x.z-c.org/h': 'wildcard',
        'GET x.zka.org/h': null,
        'GET .z-c.org/h': null,
        'GET /many/Bb': 'colliding',
        'GET /many/CC': 'colliding',
        'GET /many/C#': null,
      },
    ],
    ['a path list that is empty takes everything', { all: { paths: [] } }, { 'GET /x': 'all' }],
  ])('%s', (_, table, expected) => {
    const compiled = router(table)
    const found = Object.keys(expected).map((line) => [line, compiled.match(request(line))?.route ?? null])
    expect(Object.fromEntries(found)).toEqual(expected)
  })

  it('counts headers, cookies, content type and client address as header predicates, and these before query', () => {
    const compiled = router({
      query: { query: [present('a'), present('b'), present('c')] },
      one: { headers: [present('h')] },
      cookie: { headers: [present('h')], cookies: [present('k')] },
      type: { headers: [present('h')], cookies: [present('k')], contentTypes: ['text/plain', 'text/html'] },
      address: {
        headers: [present('h')],
        cookies: [present('k')],
        contentTypes: ['text/*'],
        clientIps: ['10.0.0.0/8'],
      },
    })
    const headers = ['h', '1', 'cookie', 'k=1', 'content-type', 'text/plain']
    const match = (change: Partial<RequestContext>) => compiled.match(request('GET /x?a&b&c', change))?.route
    expect(match({ headers, clientIp: '10.1.1.1' })).toBe('address')
    expect(match({ headers })).toBe('type')
    expect(match({ headers: headers.slice(0, 4) })).toBe('cookie')
    expect(match({ headers: headers.slice(0, 2) })).toBe('one')
    expect(match({})).toBe('query')
  })
})

describe('parameters', () => {
  it.each([
    ['/users/{id}', '/users/7', { id: '7' }],
    ['/users/{id}/posts/{post}', '/users/7/posts/a%20b', { id: '7', post: 'a%20b' }],
    ['/{a}/{b}/*', '/x/y/z/z', { a: 'x', b: 'y' }],
    ['/{a}/*', '/x', { a: 'x' }],
    ['~^/v(?<version>[0-9]+)/(?<rest>.*)$', '/v2/a/b', { version: '2', rest: 'a/b' }],
    ['~^/(?<x>a)?', '/b', { x: '' }],
    ['~^/(a)', '/a', {}],
    ['/*', '/a', {}],
  ])('%s takes from %s %j', (pattern, path, params) => {
    const compiled = router({ one: { paths: [pattern] } })
    const context = request(`GET ${path}`)
    expect(compiled.match(context)?.paramNames).toEqual(Object.keys(params))
    expect(context.paramNames).toEqual(Object.keys(params))
    expect(context.params).toEqual(Object.values(params))
  })

  it('are those of the winner alone', () => {
    const compiled = router({ a: { paths: ['/{x}/{y}'], headers: [present('h')] }, b: { paths: ['/{z}/*'] } })
    const context = request('GET /1/2')
    expect(compiled.match(context)?.route).toBe('b')
    expect([context.paramNames, context.params]).toEqual([['z'], ['1']])
  })
})

describe('allowedMethods', () => {
  const compiled = router({
    read: { hosts: ['a.org'], paths: ['/x/{id}'], methods: ['GET'] },
    write: { paths: ['/x/*'], methods: ['POST', 'GET'] },
    hidden: { paths: ['/x/*'], methods: ['DELETE'], headers: [present('h')] },
    regex: { paths: ['~^/x/1'], methods: ['PATCH'] },
  })

  it('lists the methods of all routes that failed by their method alone', () => {
    expect(compiled.allowedMethods(request('PUT a.org/x/1'))).toEqual(['GET', 'HEAD', 'POST', 'PATCH'])
    expect(compiled.allowedMethods(request('PUT b.org/x/2'))).toEqual(['POST', 'GET', 'HEAD'])
    expect(compiled.allowedMethods(request('PUT b.org/x/2', { headers: ['h', ''] }))).toContain('DELETE')
  })

  it('is null where no path matches', () => {
    expect(compiled.allowedMethods(request('PUT a.org/y'))).toBeNull()
  })
})

it('finds each of 10,000 routes', () => {
  const paths = (i: number) => [`/s${i}/{id}`, `/s${i}/x/*`]
  const compiled = compileRouter(
    Array.from({ length: 10_000 }, (_, i) => rule(`r${i}`, { paths: paths(i), hosts: i % 2 ? [] : [`*.h${i}.org`] })),
  )
  for (let i = 0; i < 10_000; i++) {
    expect(compiled.match(request(`GET a.h${i}.org/s${i}/7`))?.route).toBe(`r${i}`)
    expect(compiled.match(request(`GET a.h${i}.org/s${i}/x/y`))?.route).toBe(`r${i}`)
  }
  expect(compiled.match(request('GET a.h0.org/s10000/7'))).toBeNull()
})
