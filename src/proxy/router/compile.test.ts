import { describe, expect, it } from 'vitest'
import type { RouteRule } from './trie.ts'
import { compileRouter, ruleFaults } from './trie.ts'

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

describe('what can not be compiled', () => {
  it.each<[Change, string, string]>([
    [{ paths: ['users'] }, 'paths.0', 'must begin with `/`'],
    [{ paths: ['/a', '/a/../b'] }, 'paths.1', 'can never match'],
    [{ paths: ['/a//b'] }, 'paths.0', 'can never match'],
    [{ paths: ['/a%2fb'] }, 'paths.0', 'can never match'],
    [{ paths: ['/a?b'] }, 'paths.0', 'no request path may hold'],
    [{ paths: ['/a%'] }, 'paths.0', 'no request path may hold'],
    [{ paths: ['/a*'] }, 'paths.0', '`*` may only stand at the end'],
    [{ paths: ['/*/a'] }, 'paths.0', '`*` may only stand at the end'],
    [{ paths: ['/a/x{id}'] }, 'paths.0', 'takes a whole segment'],
    [{ paths: ['/a/{}'] }, 'paths.0', 'takes a whole segment'],
    [{ paths: ['/{id}/{id}'] }, 'paths.0', 'has the parameter {id} twice'],
    [{ paths: [`/${'é'.repeat(2000)}`] }, 'paths.0', 'longer than 8192'],
    [{ paths: ['~('] }, 'paths.0', "regex can't be compiled"],
    [{ paths: ['~'] }, 'paths.0', 'regex is empty'],
    [{ paths: [`~${'a'.repeat(513)}`] }, 'paths.0', 'longer than 512'],
    [{ hosts: ['a.org:80'] }, 'hosts.0', 'without port'],
    [{ hosts: ['a.*.org'] }, 'hosts.0', 'host name'],
    [{ hosts: ['*'] }, 'hosts.0', 'is not a host'],
    [{ hosts: ['bücher.example'] }, 'hosts.0', 'xn--'],
    [{ headers: [{ name: 'x-v', values: [], pattern: '[' }] }, 'headers.x-v', "regex can't be compiled"],
    [{ query: [{ name: '', values: [], pattern: null }] }, 'query.', 'name is empty'],
    [{ contentTypes: ['json'] }, 'content_types.0', 'media type'],
    [{ clientIps: ['10.0.0.0/33'] }, 'client_ips.0', 'is not an IP address or CIDR range'],
    [{ clientIps: ['300.0.0.1'] }, 'client_ips.0', 'not an IP address'],
    [{ stripPath: 'api' }, 'strip_path', 'begins with `/`'],
  ])('%j: %s: %s', (change, path, message) => {
    const faults = ruleFaults(rule('one', change))
    expect(faults.map((fault) => fault.path.join('.'))).toEqual([path])
    expect(faults[0]?.message).toContain(message)
    expect(() => compileRouter([rule('one', change)])).toThrow(`route "one": ${path}: `)
  })

  it('every fault is found at once, and none in a good rule', () => {
    expect(ruleFaults(rule('one', { paths: ['a', '/b', '~('], hosts: ['*'] }))).toHaveLength(3)
    expect(ruleFaults(rule('one', { paths: ['/a/{id}/*'], hosts: ['[::1]', '10.0.0.1', '*.a-b.example'] }))).toEqual([])
  })
})
