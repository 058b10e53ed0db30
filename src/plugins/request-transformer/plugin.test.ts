import { describe, expect, test } from 'vitest'
import { access, compile, faults, lines, request } from '../../../test/support/plugin.ts'
import type { RequestContext } from '../../core/context.ts'
import type { Rejection } from '../../core/errors.ts'
import { ConfigFault } from '../../core/plugin.ts'
import { requestTransformer } from './plugin.ts'

const routed = { path: '/users/7%2C8/files', params: ['7%2C8'], paramNames: ['id'] }
const route = { paramNames: ['id'] }

function transform(config: unknown, fields: Partial<RequestContext> = {}): RequestContext {
  const ctx = request({ ...routed, ...fields, headers: [...(fields.headers ?? [])] })
  expect(access(compile(requestTransformer, config, route), ctx)).toBeUndefined()
  return ctx
}

const headers = (config: unknown, sent: string[], fields: Partial<RequestContext> = {}) =>
  lines(transform(config, { ...fields, headers: sent }).headers)
const query = (config: unknown, sent: string, fields: Partial<RequestContext> = {}) =>
  transform(config, { ...fields, query: sent }).query
const path = (config: unknown, fields: Partial<RequestContext> = {}) => transform(config, fields).upstreamPath

describe('headers', () => {
  const sent = ['a', '1', 'b', '2', 'a', '3']

  test.each([
    [{ remove: { headers: ['A'] } }, ['b: 2']],
    [{ rename: { headers: ['A:C'] } }, ['c: 1', 'b: 2', 'c: 3']],
    [{ rename: { headers: ['B:A'] } }, ['a: 2']],
    [{ rename: { headers: ['X:A'] } }, ['a: 1', 'b: 2', 'a: 3']],
    [{ replace: { headers: ['A:x'] } }, ['a: x', 'b: 2']],
    [{ replace: { headers: ['C:x'] } }, ['a: 1', 'b: 2', 'a: 3']],
    [{ set: { headers: ['A:x', 'C:y'] } }, ['a: x', 'b: 2', 'c: y']],
    [{ add: { headers: ['A:x', 'C:y'] } }, ['a: 1', 'b: 2', 'a: 3', 'c: y']],
    [{ append: { headers: ['B:x'] } }, ['a: 1', 'b: 2', 'a: 3', 'b: x']],
    [{ set: { headers: ['C: a: b '] } }, ['a: 1', 'b: 2', 'a: 3', 'c: a: b']],
    [{ set: { headers: ['C:'] } }, ['a: 1', 'b: 2', 'a: 3', 'c: ']],
  ])('%j', (config, expected) => expect(headers(config, sent)).toEqual(expected))

  test('are changed in the order remove, rename, replace, set, add, append', () => {
    const config = {
      append: { headers: ['A:append'] },
      add: { headers: ['A:add', 'C:add'] },
      set: { headers: ['D:set'] },
      replace: { headers: ['A:replace', 'C:replace'] },
      rename: { headers: ['B:A'] },
      remove: { headers: ['A'] },
    }
    expect(headers(config, ['a', '1', 'b', '2'])).toEqual(['a: replace', 'd: set', 'c: add', 'a: append'])
  })
})

describe('query', () => {
  const raw = 'a=1&b=%41+x&flag&a=%zz&'

  test.each([
    [{ remove: { querystring: ['a'] } }, 'b=%41+x&flag&'],
    [{ remove: { querystring: ['flag', 'b'] } }, 'a=1&a=%zz&'],
    [{ rename: { querystring: ['a:new name', 'flag:f'] } }, 'new%20name=1&b=%41+x&f&new%20name=%zz&'],
    [{ replace: { querystring: ['a:x&y', 'c:z'] } }, 'a=x%26y&b=%41+x&flag&'],
    [{ set: { querystring: ['flag:1', 'c:z'] } }, 'a=1&b=%41+x&flag=1&a=%zz&&c=z'],
    [{ add: { querystring: ['a:9', 'c:ü'] } }, 'a=1&b=%41+x&flag&a=%zz&&c=%C3%BC'],
    [{ append: { querystring: ['source:gateway'] } }, 'a=1&b=%41+x&flag&a=%zz&&source=gateway'],
  ])('%j', (config, expected) => expect(query(config, raw)).toBe(expected))

  test('knows parameters by their decoded names', () => {
    expect(query({ remove: { querystring: ['token'] } }, 'a=1&to%6Ben=x&%74oken=y')).toBe('a=1')
    expect(query({ remove: { querystring: ['a b'] } }, 'a+b=1&a%20b=2&ab=3')).toBe('ab=3')
  })

  test('may be empty before or behind it', () => {
    expect(query({ append: { querystring: ['a:1'] } }, '')).toBe('a=1')
    expect(query({ remove: { querystring: ['a'] } }, 'a=1')).toBe('')
  })

  test('is left alone when only headers change', () => {
    expect(query({ set: { headers: ['A:x'] } }, '&&%zz')).toBe('&&%zz')
  })
})

describe('templates', () => {
  const fields: Partial<RequestContext> = {
    ...routed,
    method: 'PATCH',
    hostname: 'api.example.com',
    clientIp: '203.0.113.9',
    requestId: 'req-1',
    query: 'q=a%20b&q=c',
    consumer: {
      id: 'c1',
      name: 'Ann',
      tier: null,
      groups: [],
      tenant: null,
      roles: [],
      scopes: [],
      credential: null,
      anonymous: false,
    },
    claims: {
      sub: 'u1',
      n: 7,
      ok: true,
      roles: ['a', 'b'],
      realm: { role: 'r' },
      'a.b': 'dotted',
      a: { b: 'deep' },
      o: {},
      nil: null,
    },
  }
  const fill = (template: string, more: Partial<RequestContext> = {}) =>
    headers({ set: { headers: [`X:${template}`] } }, ['h', '1', 'h', '2'], { ...fields, ...more }).slice(2)

  test.each([
    ['{client_ip}', '203.0.113.9'],
    ['{request_id}', 'req-1'],
    ['{host}', 'api.example.com'],
    ['{path}', '/users/7%2C8/files'],
    ['{method}', 'PATCH'],
    ['{param.id}', '7,8'],
    ['{header.H}', '1, 2'],
    ['{query.q}', 'a b'],
    ['{consumer.id}/{consumer.name}', 'c1/Ann'],
    ['{claim.sub}', 'u1'],
    ['{claim.n}{claim.ok}', '7true'],
    ['{claim.roles}', 'a,b'],
    ['{claim.realm.role}', 'r'],
    ['{claim.a.b}', 'dotted'],
    ['{{{claim.sub}}}', '{u1}'],
    ['{{"a":1}}', '{"a":1}'],
    ['a{client_ip}b{method}c', 'a203.0.113.9bPATCHc'],
  ])('%s', (template, value) => expect(fill(template)).toEqual([`x: ${value}`]))

  test('{uuid} is another one each time', () => {
    const [one] = fill('{uuid}')
    expect(one).toMatch(/^x: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect(fill('{uuid}')).not.toEqual([one])
  })

  test.each([
    '{claim.none}',
    '{claim.o}',
    '{claim.nil}',
    '{claim.roles.0x}',
    '{claim.constructor}',
    '{header.none}',
    '{query.none}',
    '{consumer.tier}',
  ])('%s is missing: nothing is written, and nothing of the client stays in its place', (template) => {
    expect(fill(template)).toEqual([])
    const sent = ['x', 'forged']
    expect(headers({ set: { headers: [`X:${template}`] } }, sent, fields)).toEqual([])
    expect(headers({ replace: { headers: [`X:${template}`] } }, sent, fields)).toEqual([])
    expect(headers({ add: { headers: [`Y:${template}`] } }, sent, fields)).toEqual(['x: forged'])
    expect(headers({ append: { headers: [`X:a${template}`] } }, sent, fields)).toEqual(['x: forged'])
    expect(query({ append: { querystring: [`y:${template}`] } }, 'x=1', fields)).toBe('x=1')
  })

  test.each(['a\r\nx-admin: 1', 'a\nb', 'a\0', '\u007f'])('never write %j into a header', (value) => {
    expect(fill('{claim.sub}', { claims: { sub: value } })).toEqual([])
    expect(fill('{query.q}', { query: `q=${encodeURIComponent(value)}` })).toEqual([])
    expect(fill('{param.id}', { params: [encodeURIComponent(value)] })).toEqual([])
  })

  test('encode what goes into the query', () => {
    const claims = { sub: 'a&b=c\r\n#\ud800' }
    expect(query({ set: { querystring: ['u:{claim.sub}'] } }, '', { claims })).toBe('u=a%26b%3Dc%0D%0A%23%EF%BF%BD')
  })

  test('see the request as it came, whatever is changed beside them', () => {
    const config = {
      remove: { headers: ['H'], querystring: ['q'] },
      set: { headers: ['X:{header.h}-{query.q}'], querystring: ['h:{header.h}'] },
    }
    const ctx = transform(config, { headers: ['h', '1'], query: 'q=2' })
    expect(lines(ctx.headers)).toEqual(['x: 1-2'])
    expect(ctx.query).toBe('h=1')
  })
})

describe('path', () => {
  const rewrite = (regex: string, replacement: string) => ({ path: { regex, replacement } })

  test.each([
    [rewrite('^/users/', '/v2/'), '/v2/7%2C8/files'],
    [rewrite('^/users/([^/]+)/(?<rest>.*)$', '/$<rest>/$1/$&/$$'), '/files/7%2C8/users/7%2C8/files/$'],
    [rewrite('^/users/[^/]+', ''), '/files'],
    [rewrite('^.*$', ''), '/'],
    [rewrite('^/', 'x'), '/xusers/7%2C8/files'],
    [rewrite('^/nothing', '/x'), null],
    [rewrite('^/users/[^/]+', '/by-id/{param.id}/{method}'), '/by-id/7%2C8/GET/files'],
    [{ replace: { path: '/v2{path}' } }, '/v2/users/7%2C8/files'],
    [{ replace: { path: '{path}/x' } }, '/users/7%2C8/files/x'],
    [{ replace: { path: '/fixed' } }, '/fixed'],
    [{ replace: { uri: '/u/{param.id}' } }, '/u/7%2C8'],
  ])('%j', (config, expected) => expect(path(config)).toBe(expected))

  test('leaves the path that was asked for as it is', () => {
    const ctx = transform(rewrite('^/users', '/x'))
    expect(ctx.path).toBe('/users/7%2C8/files')
    expect(ctx.upstreamPath).toBe('/x/7%2C8/files')
  })

  test('goes on from what a plugin before it wrote', () => {
    expect(path(rewrite('^/early', '/late'), { upstreamPath: '/early/x' })).toBe('/late/x')
  })

  test.each([
    ['a/b', '/x/a%2Fb', 'ambiguous_path'],
    ['..', '', 'ambiguous_path'],
    ['%2e%2e', '', 'ambiguous_path'],
    ['..;x', '/x/..%3Bx', ''],
    ['a?b#c d', '/x/a%3Fb%23c%20d', ''],
    ['a\r\nb', '', 'ambiguous_path'],
    ['ü', '/x/%C3%BC', ''],
  ])('keeps the value %j within its segment', (value, expected, refused) => {
    const ctx = request({ ...routed, claims: { v: value } })
    const verdict = access(compile(requestTransformer, { replace: { path: '/x/{claim.v}' } }, route), ctx) as
      | Rejection
      | undefined
    expect(verdict?.code ?? '').toBe(refused)
    expect(ctx.upstreamPath).toBe(refused === '' ? expected : null)
  })

  test('is refused when a value for it is missing', () => {
    const ctx = request({ ...routed, claims: {} })
    const steps = compile(requestTransformer, { replace: { path: '/x/{claim.v}' } }, route)
    expect(access(steps, ctx)).toMatchObject({ code: 'bad_path', close: false })
  })

  test('can not be led astray by groups', () => {
    const steps = compile(requestTransformer, rewrite('^/a(.)b/', '/$1$1/'), route)
    expect(access(steps, request({ path: '/a.b/secret' }))).toMatchObject({ code: 'ambiguous_path' })
  })
})

describe('what it tells the gateway', () => {
  const config = (input: unknown) => requestTransformer.schema.parse(input)

  test('facts that its templates need', () => {
    expect(requestTransformer.requires?.(config({ set: { headers: ['A:{claim.x}'] } }))).toEqual(['claims'])
    expect(requestTransformer.requires?.(config({ replace: { path: '/{consumer.id}' } }))).toEqual(['consumer'])
    expect(requestTransformer.requires?.(config({ path: { regex: 'a', replacement: '{claim.x}' } }))).toEqual([
      'claims',
    ])
    expect(requestTransformer.requires?.(config({ append: { querystring: ['a:{uuid}'] } }))).toEqual([])
  })

  test('headers that clients must not send, but not those that they rightly do', () => {
    const injected = requestTransformer.injects?.(
      config({
        set: { headers: ['X-Role:{claim.role}', 'Authorization:Basic x', 'Accept-Encoding:identity'] },
        add: { headers: ['X-API-Version:1', 'X-Role:y', 'X-Request-ID:{uuid}'] },
        append: { headers: ['X-Tags:a'] },
        replace: { headers: ['X-Old:b'] },
      }),
    )
    expect(injected).toEqual(['x-role', 'x-api-version'])
  })

  test('that there is nothing to do', () => {
    expect(compile(requestTransformer, {})).toEqual({})
    expect(compile(requestTransformer, { add: { headers: ['X-Request-ID:{uuid}'] } })).toEqual({})
  })

  test('parameters that the route does not have', () => {
    const fault = (input: unknown, paramNames: string[]) => {
      try {
        compile(requestTransformer, input, { paramNames })
        return null
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigFault)
        return [(error as ConfigFault).message, (error as ConfigFault).path]
      }
    }
    expect(fault({ set: { headers: ['A:b', 'B:{param.name}'] } }, ['id', 'file'])).toEqual([
      'must use parameters of the route, not "name": its paths have id, file',
      ['set', 'headers', 1],
    ])
    expect(fault({ replace: { uri: '/{param.id}' } }, [])).toEqual([
      'must use parameters of the route, not "id": its paths have none',
      ['replace', 'uri'],
    ])
    expect(fault({ path: { regex: 'a', replacement: '{param.id}' } }, ['id'])).toBeNull()
  })
})

test.each([
  [{ set: { headers: ['X-A'] } }, 'name:value'],
  [{ set: { headers: [{ 'X-A': 'b' }] } }, 'in quotes'],
  [{ set: { headers: ['X A:b'] } }, 'must begin with the name of a header field'],
  [{ set: { headers: ['Host:x'] } }, 'must not touch "Host"'],
  [{ set: { headers: ['Content-Length:1'] } }, 'must not touch'],
  [{ set: { headers: ['Transfer-Encoding:chunked'] } }, 'must not touch'],
  [{ set: { headers: ['X-Request-ID:{uuid}'] } }, 'must not touch'],
  [{ remove: { headers: ['Connection'] } }, 'must not touch'],
  [{ rename: { headers: ['X-A:Host'] } }, 'must not touch "Host"'],
  [{ rename: { headers: ['X-A:X-User-Id'] } }, 'services trust that header'],
  [{ rename: { headers: ['X-A:'] } }, 'must end with the name'],
  [{ set: { headers: ['X-A:a\r\nb'] } }, 'control characters'],
  [{ set: { headers: ['X-A:{nonsense}'] } }, 'no placeholders but'],
  [{ set: { headers: ['X-A:{claim}'] } }, 'no placeholders but'],
  [{ set: { headers: ['X-A:{claim.}'] } }, 'no placeholders but'],
  [{ set: { headers: ['X-A:{uuid.x}'] } }, 'no placeholders but'],
  [{ set: { headers: ['X-A:{constructor}'] } }, 'no placeholders but'],
  [{ set: { headers: ['X-A:{consumer.password}'] } }, 'consumer.id'],
  [{ set: { headers: ['X-A:{header.a b}'] } }, 'must name a header field'],
  [{ set: { headers: ['X-A:{header.Host}'] } }, 'must use {host}'],
  [{ set: { headers: ['X-A:{uuid'] } }, 'pair of braces'],
  [{ set: { headers: ['X-A:uuid}'] } }, 'pair of braces'],
  [{ set: { querystring: [':b'] } }, 'name of a parameter'],
  [{ rename: { querystring: ['a:'] } }, 'name of a parameter'],
  [{ replace: { path: 'x' } }, 'must begin with "/"'],
  [{ replace: { path: '/x?a=b' } }, 'must not hold a query'],
  [{ replace: { path: '/a b' } }, 'what may stand in a path'],
  [{ replace: { path: '/%4{uuid}1' } }, 'what may stand in a path'],
  [{ path: { regex: '(', replacement: '/' } }, 'must be a regular expression'],
  [{ path: { regex: '(a)', replacement: '$2' } }, 'not "$2"'],
  [{ path: { regex: '(?<a>a)', replacement: '$<b>' } }, 'not "$<b>"'],
  [{ path: { regex: 'a', replacement: '?' } }, 'must not hold a query'],
  [{ path: { regex: 'a', replacement: '' }, replace: { path: '/' } }, 'in one way'],
  [{ replace: { path: '/', uri: '/' } }, 'in one way'],
  [{ add: { header: [] } }, 'Unrecognized key'],
])('refuses %j', (config, message) => expect(faults(requestTransformer, config)).toContain(message))
