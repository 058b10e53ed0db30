import { expect, test } from 'vitest'
import { access, compile, faults, request } from '../../../test/support/plugin.ts'
import { requestTermination } from './plugin.ts'

const answer = (config: unknown, fields: Parameters<typeof request>[0] = {}) =>
  access(compile(requestTermination, config), request(fields))

const json = 'application/json; charset=utf-8'

test.each([
  [{}, 503, ['content-type', json], '{"message":"Service Unavailable"}'],
  [{ status_code: 403, message: 'So "sorry"' }, 403, ['content-type', json], '{"message":"So \\"sorry\\""}'],
  [{ status_code: 200, body: 'ok', content_type: 'text/plain' }, 200, ['content-type', 'text/plain'], 'ok'],
  [{ status_code: 200, body: '' }, 200, ['content-type', json], ''],
  [{ status_code: 204 }, 204, [], ''],
  [
    { status_code: 301, body: '', content_type: 'text/plain', headers: { Location: 'https://example.com/' } },
    301,
    ['content-type', 'text/plain', 'location', 'https://example.com/'],
    '',
  ],
  [{ status_code: 599 }, 599, ['content-type', json], '{"message":"Unknown"}'],
])('%j', (config, status, headers, body) => expect(answer(config)).toEqual({ status, headers, body }))

test('headers beyond ASCII go out as the bytes of UTF-8', () => {
  const reply = answer({ headers: { 'X-Note': 'Grüße' } })
  expect(Buffer.from(reply?.headers[3] ?? '', 'latin1').toString()).toBe('Grüße')
})

test.each([
  [{ headers: ['x-maintenance', ''] }, true],
  [{ query: 'a=1&X-Maintenance' }, true],
  [{ query: 'X%2DMaintenance=1' }, true],
  [{ query: 'a=X-Maintenance' }, false],
  [{ headers: ['a', 'x-maintenance'] }, false],
  [{}, false],
])('with a trigger, %j is answered: %j', (fields, answered) => {
  expect(answer({ trigger: 'X-Maintenance' }, fields) !== undefined).toBe(answered)
})

test.each([
  [{ status_code: 101 }, 'status_code:'],
  [{ status_code: 600 }, 'status_code:'],
  [{ message: 'a', body: 'b' }, 'message: must not stand beside "body"'],
  [{ content_type: 'text/plain' }, 'content_type: must not stand without "body"'],
  [{ status_code: 204, body: 'x' }, 'body: must not be given'],
  [{ status_code: 304, message: 'x' }, 'message: must not be given'],
  [{ headers: { 'Content-Type': 'a' } }, '"content_type"'],
  [{ headers: { 'Content-Length': '1' } }, 'the gateway sets itself'],
  [{ headers: { 'A B': '1' } }, 'must be the name of a header field'],
  [{ headers: { A: 'a\r\nb' } }, 'control characters'],
  [{ body: 'x', content_type: 'a\nb' }, 'control characters'],
])('refuses %j', (config, message) => expect(faults(requestTermination, config)).toContain(message))
