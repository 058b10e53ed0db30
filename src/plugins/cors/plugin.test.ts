import { describe, expect, test } from 'vitest'
import { access, compile, faults, lines, request, respond } from '../../../test/support/plugin.ts'
import type { RequestContext } from '../../core/context.ts'
import { cors } from './plugin.ts'

const app = 'https://app.example.com'

function preflight(origin: string, ...more: string[]): RequestContext {
  return request({ method: 'OPTIONS', headers: ['origin', origin, 'access-control-request-method', 'PATCH', ...more] })
}

function answer(config: unknown, ctx: RequestContext): string[] | undefined {
  const steps = compile(cors, config)
  const verdict = access(steps, ctx)
  if (verdict === undefined) return undefined
  expect(verdict).toMatchObject({ status: 204, body: '' })
  // Response steps run on local replies, too: ours must come out of it as it went in.
  return lines(respond(steps, ctx, 204, [...verdict.headers]))
}

function get(config: unknown, origin: string | null, upstream: string[] = []): string[] {
  const steps = compile(cors, config)
  const ctx = request({ headers: origin === null ? [] : ['origin', origin] })
  expect(access(steps, ctx)).toBeUndefined()
  return lines(respond(steps, ctx, 200, upstream))
}

describe('preflights', () => {
  const vary = 'vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers'

  test('are answered with what is configured', () => {
    const config = {
      origins: [app],
      methods: ['get', 'PATCH'],
      headers: ['X-A', 'X-B'],
      credentials: true,
      max_age: '1h',
    }
    expect(answer(config, preflight(app))).toEqual([
      `access-control-allow-origin: ${app}`,
      vary,
      'access-control-allow-credentials: true',
      'access-control-allow-methods: GET, PATCH',
      'access-control-allow-headers: X-A, X-B',
      'access-control-max-age: 3600',
    ])
  })

  test('are answered by default, too', () => {
    expect(answer({}, preflight(app, 'access-control-request-headers', 'x-a,x-b'))).toEqual([
      'access-control-allow-origin: *',
      vary,
      'access-control-allow-methods: GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS',
      'access-control-allow-headers: x-a,x-b',
    ])
  })

  test('of an origin that is not allowed grant nothing', () => {
    expect(answer({ origins: [app] }, preflight('https://evil.test'))).toEqual([vary])
  })

  test('do not echo what is no list of names', () => {
    const hostile = answer({}, preflight(app, 'access-control-request-headers', 'x-a\u00e9"<'))
    expect(hostile?.join()).not.toContain('allow-headers')
  })

  test('may ask for a private network', () => {
    const asking = ['access-control-request-private-network', 'true']
    expect(answer({ private_network: true }, preflight(app, ...asking))).toContain(
      'access-control-allow-private-network: true',
    )
    expect(answer({ private_network: true }, preflight(app))?.join()).not.toContain('allow-private-network')
    expect(answer({}, preflight(app, ...asking))?.join()).not.toContain('allow-private-network')
  })

  test('go to the upstream when it is to answer them, but not past the list of origins', () => {
    const steps = compile(cors, { origins: [app], preflight_continue: true })
    const theirs = ['access-control-allow-origin', '*', 'access-control-allow-methods', 'GET', 'x', 'y']
    const allowed = preflight(app)
    expect(access(steps, allowed)).toBeUndefined()
    expect(respond(steps, allowed, 204, theirs)).toEqual(theirs)
    const other = preflight('https://evil.test')
    expect(access(steps, other)).toBeUndefined()
    expect(respond(steps, other, 204, theirs)).toEqual(['x', 'y'])
  })

  test('are OPTIONS with Origin and Access-Control-Request-Method, nothing else', () => {
    expect(answer({}, request({ method: 'OPTIONS' }))).toBeUndefined()
    const originless = ['access-control-request-method', 'GET']
    expect(answer({}, request({ method: 'OPTIONS', headers: originless }))).toBeUndefined()
    expect(answer({}, request({ method: 'OPTIONS', headers: ['origin', app] }))).toBeUndefined()
    expect(answer({}, request({ method: 'GET', headers: preflight(app).headers }))).toBeUndefined()
  })
})

describe('answers', () => {
  const upstream = ['access-control-allow-origin', 'https://other.test', 'x', 'y', 'access-control-max-age', '1']

  test("replace the upstream's CORS fields", () => {
    expect(get({ origins: [app], credentials: true, exposed_headers: ['X-A'] }, app, upstream)).toEqual([
      'x: y',
      'vary: Origin',
      `access-control-allow-origin: ${app}`,
      'access-control-allow-credentials: true',
      'access-control-expose-headers: X-A',
    ])
    expect(get({ origins: [app] }, 'https://evil.test', upstream)).toEqual(['x: y', 'vary: Origin'])
    expect(get({ origins: [app] }, null, upstream)).toEqual(['x: y', 'vary: Origin'])
  })

  test('are the same for all when every origin is allowed', () => {
    expect(get({}, app, upstream)).toEqual(['x: y', 'access-control-allow-origin: *'])
    expect(get({}, null, upstream)).toEqual(['x: y'])
  })

  test('remember the origin when another plugin takes the field away', () => {
    const steps = compile(cors, { origins: [app] })
    const ctx = request({ headers: ['origin', app] })
    access(steps, ctx)
    ctx.headers.length = 0
    expect(lines(respond(steps, ctx, 200, []))).toContain(`access-control-allow-origin: ${app}`)
  })

  test('carry CORS fields when the request was refused before this plugin saw it', () => {
    const steps = compile(cors, { origins: [app] })
    expect(lines(respond(steps, request({ headers: ['origin', app] }), 403, []))).toContain(
      `access-control-allow-origin: ${app}`,
    )
  })

  test.each([
    [['vary', 'Accept-Encoding'], ['vary: Accept-Encoding, Origin']],
    [
      ['vary', 'a', 'vary', 'b'],
      ['vary: a', 'vary: b, Origin'],
    ],
    [['vary', 'accept, origin'], ['vary: accept, origin']],
    [
      ['vary', 'Origin', 'vary', 'b'],
      ['vary: Origin', 'vary: b'],
    ],
    [['vary', '*'], ['vary: *']],
    [['vary', 'X-Origin'], ['vary: X-Origin, Origin']],
    [['vary', ''], ['vary: Origin']],
  ])('merge Vary %j', (theirs, merged) => expect(get({ origins: [app] }, null, theirs)).toEqual(merged))
})

describe('origins', () => {
  const allows = (origins: string[], origin: string) => get({ origins }, origin).join().includes('allow-origin')

  test.each([
    ['https://app.example.com', 'https://app.example.com', true],
    ['HTTPS://App.Example.com:443', 'https://app.example.com', true],
    ['https://app.example.com:8443', 'https://app.example.com:8443', true],
    ['https://app.example.com', 'https://app.example.com:8443', false],
    ['https://app.example.com', 'http://app.example.com', false],
    ['https://app.example.com', 'https://app.example.com.evil.test', false],
    ['capacitor://localhost', 'capacitor://localhost', true],
    ['null', 'null', true],
    ['https://app.example.com', 'null', false],
    ['~https://[a-z]+\\.example\\.com', 'https://www.example.com', true],
    ['~https://[a-z]+\\.example\\.com', 'https://www.example.com.evil.test', false],
    ['~https://[a-z]+\\.example\\.com', 'evil:https://www.example.com', false],
    ['~https://a|https://b', 'https://b.evil.test', false],
    ['~https://.*', 'https://a\u00ffb', false],
  ])('%j and %j: %j', (configured, sent, allowed) => expect(allows([configured], sent)).toBe(allowed))

  test('any of several', () => {
    expect(allows([app, '~https://x'], 'https://x')).toBe(true)
    expect(allows([app, '~https://x'], app)).toBe(true)
    expect(allows([app, '*'], 'https://any.test')).toBe(true)
  })

  test.each([
    [{ origins: ['https://*.example.com'] }, 'write a pattern'],
    [{ origins: ['https://app.example.com/'] }, 'without path'],
    [{ origins: ['app.example.com'] }, 'must be an origin'],
    [{ origins: ['~('] }, 'must be a regular expression'],
    [{ origins: [] }, 'Too small'],
    [{ origins: ['*'], credentials: true }, 'must name the origins'],
    [{ credentials: true }, 'must name the origins'],
    [{ origins: ['~.*'], credentials: true }, 'must name the origins'],
    [{ origins: ['null'], credentials: true }, 'must name the origins'],
    [{ origins: [app], credentials: true, exposed_headers: ['*'] }, 'must name the headers'],
    [{ headers: ['a b'] }, 'must be the name of a header field'],
    [{ max_age: 'soon' }, 'must be a duration'],
    [{ origin: app }, 'Unrecognized key'],
  ])('refuses %j', (config, message) => expect(faults(cors, config)).toContain(message))
})
