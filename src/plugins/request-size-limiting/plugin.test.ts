import { expect, test } from 'vitest'
import { access, compile, faults, request } from '../../../test/support/plugin.ts'
import type { Rejection } from '../../core/errors.ts'
import { requestSizeLimiting } from './plugin.ts'

function code(config: unknown, fields: Parameters<typeof request>[0]): string | undefined {
  return (access(compile(requestSizeLimiting, config), request(fields)) as Rejection | undefined)?.code
}

test.each([
  [{ allowed_payload_size: '64kb' }, 65_536],
  [{ allowed_payload_size: '0.5kb' }, 512],
  [{ allowed_payload_size: 2 }, 2 * 1024 * 1024],
  [{ allowed_payload_size: 2, size_unit: 'kilobytes' }, 2048],
  [{ allowed_payload_size: 2, size_unit: 'bytes' }, 2],
  [{}, 128 * 1024 * 1024],
])('%j is %d bytes', (config, limit) => {
  expect(code(config, { bodyLength: limit })).toBeUndefined()
  expect(code(config, { bodyLength: limit + 1 })).toBe('body_too_large')
  const chunked = request({ bodyLength: -1 })
  access(compile(requestSizeLimiting, config), chunked)
  expect(chunked.bodyLimit).toBe(limit)
})

test('the smallest limit stays', () => {
  const steps = compile(requestSizeLimiting, { allowed_payload_size: '10kb' })
  const [smaller, larger] = [
    request({ bodyLength: -1, bodyLimit: 100 }),
    request({ bodyLength: -1, bodyLimit: 100_000 }),
  ]
  access(steps, smaller)
  access(steps, larger)
  expect([smaller.bodyLimit, larger.bodyLimit]).toEqual([100, 10_240])
})

test('a length may be required', () => {
  expect(code({ require_content_length: true }, { bodyLength: -1 })).toBe('length_required')
  expect(code({ require_content_length: true }, { bodyLength: 10 })).toBeUndefined()
  expect(code({ require_content_length: true }, { bodyLength: 0 })).toBeUndefined()
})

test.each([
  ['application/json', ['content-type', 'application/json'], true],
  ['application/json', ['content-type', 'Application/JSON ; charset=utf-8'], true],
  ['application/json', ['content-type', 'application/jsonp'], false],
  ['application/json', ['content-type', 'text/plain; application/json'], false],
  ['application/json', [], false],
  ['application/json', ['content-type', ''], false],
  ['application/json', ['content-type', 'application/json', 'content-type', 'text/xml'], false],
  ['application/json', ['content-type', 'text/xml', 'content-type', 'application/json'], false],
  ['image/*', ['content-type', 'image/png'], true],
  ['image/*', ['content-type', 'image/'], false],
  ['image/*', ['content-type', 'ximage/png'], false],
  ['application/*+json', ['content-type', 'application/vnd.api+json'], true],
  ['application/*+json', ['content-type', 'application/vnd.apixjson'], false],
  ['*/*', ['content-type', 'a/b'], true],
])('%j and %j: %j', (type, headers, accepted) => {
  const config = { allowed_content_types: [type] }
  expect(code(config, { bodyLength: 5, headers })).toBe(accepted ? undefined : 'unsupported_media_type')
  expect(code(config, { bodyLength: 0, headers })).toBeUndefined()
})

test.each([0, -1, '10', '10tb', 'all', '0b'])('refuses the size %j', (size) =>
  expect(faults(requestSizeLimiting, { allowed_payload_size: size })).toContain('must be a size'),
)

test.each(['json', 'a/b/c', 'application/json; charset=utf-8'])('refuses the type %j', (type) =>
  expect(faults(requestSizeLimiting, { allowed_content_types: [type] })).toContain('must be a media type'),
)
