import { describe, expect, it } from 'vitest'
import { RequestContext } from '../../core/context.ts'
import { compileRouter, stripPath } from './trie.ts'

describe('stripPath', () => {
  it.each<[boolean | string, string, string, string]>([
    [false, '/api/users/*', '/api/users/1', '/api/users/1'],
    [true, '/api/users/*', '/api/users/1/2', '/users/1/2'],
    [true, '/api/users/*', '/api/users', '/users'],
    [true, '/api/users/*', '/api/users/', '/users/'],
    [true, '/api/v1/users/*', '/api/v1/users/1', '/users/1'],
    [true, '/api/v1/users/{id}', '/api/v1/users/7', '/users/7'],
    [true, '/api/{v}/users/*', '/api/v2/users/7', '/users/7'],
    [true, '/api/users/', '/api/users/', '/users/'],
    [true, '/users/*', '/users/1', '/users/1'],
    [true, '/{x}/{y}', '/1/2', '/1/2'],
    [true, '/', '/', '/'],
    [true, '~^/api/users/', '/api/users/1', '/api/users/1'],
    [true, '/*', '/api/users/1', '/api/users/1'],
    ['/api/users', '/api/users/*', '/api/users/123', '/123'],
    ['/api/users', '/api/users/*', '/api/users', '/'],
    ['/api/users', '/api/users/*', '/api/users/', '/'],
    ['/api/users/', '/api/users/*', '/api/users/1', '/1'],
    ['/api', '/*', '/apix/1', '/apix/1'],
    ['/api', '/*', '/x/api/1', '/x/api/1'],
    ['/', '/*', '/x', '/x'],
    ['/api', '~^/api', '/api/1', '/1'],
  ])('strip_path %j of %s: %s reaches the upstream as %s', (strip, pattern, path, forwarded) => {
    const rule = { name: 'one', hosts: [], paths: [pattern], methods: [], headers: [], query: [], cookies: [] }
    const router = compileRouter([{ ...rule, contentTypes: [], clientIps: [], stripPath: strip, route: 'one' }])
    const match = router.match(Object.assign(new RequestContext(), { path }))
    expect(match).not.toBeNull()
    if (match !== null) expect(stripPath(path, match)).toBe(forwarded)
  })
})
