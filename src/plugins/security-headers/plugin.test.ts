import { expect, test } from 'vitest'
import { compile, faults, lines, request, respond } from '../../../test/support/plugin.ts'
import { securityHeaders } from './plugin.ts'

function secure(config: unknown, headers: string[] = [], scheme: 'http' | 'https' = 'http'): string[] {
  return lines(respond(compile(securityHeaders, config), request({ scheme }), 200, headers))
}

const defaults = [
  'x-content-type-options: nosniff',
  'x-frame-options: DENY',
  'referrer-policy: no-referrer',
  "content-security-policy: frame-ancestors 'none'",
  'cross-origin-opener-policy: same-origin',
  'cross-origin-resource-policy: same-origin',
]

const nothing = {
  hsts: false,
  content_type_options: false,
  frame_options: false,
  referrer_policy: false,
  content_security_policy: false,
  cross_origin_opener_policy: false,
  cross_origin_resource_policy: false,
}

test('sets safe fields by default', () => {
  expect(secure({}, ['a', 'b'])).toEqual(['a: b', ...defaults])
})

test('demands HTTPS only over HTTPS', () => {
  expect(secure({}, [], 'https')).toEqual([
    ...defaults,
    'strict-transport-security: max-age=31536000; includeSubDomains',
  ])
  expect(secure({ ...nothing, hsts: { max_age: '730d', preload: true } }, [], 'https')).toEqual([
    'strict-transport-security: max-age=63072000; includeSubDomains; preload',
  ])
  expect(secure({ ...nothing, hsts: { max_age: 0, include_subdomains: false } }, [], 'https')).toEqual([
    'strict-transport-security: max-age=0',
  ])
})

test('sets what is configured, and nothing else', () => {
  expect(secure(nothing, ['a', 'b'], 'https')).toEqual(['a: b'])
  const config = { ...nothing, frame_options: 'SAMEORIGIN', permissions_policy: 'camera=()', referrer_policy: 'origin' }
  expect(secure(config)).toEqual([
    'x-frame-options: SAMEORIGIN',
    'referrer-policy: origin',
    'permissions-policy: camera=()',
  ])
})

test('hides what the upstream runs on', () => {
  const upstream = ['server', 'x', 'x-powered-by', 'y', 'x-internal', 'z', 'a', 'b']
  expect(secure(nothing, upstream)).toEqual(['x-internal: z', 'a: b'])
  expect(secure({ ...nothing, remove: ['X-Internal'] }, upstream)).toEqual(['a: b'])
  expect(secure({ ...nothing, hide_server: false }, upstream)).toEqual(lines(upstream))
})

test('keeps what the upstream set itself, unless told to override it', () => {
  const upstream = ['x-frame-options', 'SAMEORIGIN', 'x-frame-options', 'ALLOWALL']
  const config = { ...nothing, frame_options: 'DENY' }
  expect(secure(config, upstream)).toEqual(lines(upstream))
  expect(secure({ ...config, override: true }, upstream)).toEqual(['x-frame-options: DENY'])
})

test.each([
  [{ frame_options: 'ALLOW' }, 'frame_options:'],
  [{ referrer_policy: 'none' }, 'referrer_policy:'],
  [{ content_security_policy: '' }, 'content_security_policy:'],
  [{ content_security_policy: 'a\nb' }, 'control characters'],
  [{ hsts: { max_age: 'ever' } }, 'hsts'],
  [{ hsts: { preload: true, max_age: '30d' } }, 'the lists demand both'],
  [{ hsts: { preload: true, include_subdomains: false } }, 'the lists demand both'],
  [{ hsts: true }, 'hsts'],
  [{ remove: ['a b'] }, 'must be the name of a header field'],
])('refuses %j', (config, message) => expect(faults(securityHeaders, config)).toContain(message))
