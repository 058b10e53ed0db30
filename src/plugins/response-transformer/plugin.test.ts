import { expect, test } from 'vitest'
import { compile, faults, lines, request, respond } from '../../../test/support/plugin.ts'
import { responseTransformer } from './plugin.ts'

function transform(config: unknown, headers: string[], status = 200): string[] {
  return lines(respond(compile(responseTransformer, config), request(), status, headers))
}

const answer = ['server', 'x', 'set-cookie', 'a=1', 'set-cookie', 'b=2']

test.each([
  [{ remove: { headers: ['Server'] } }, ['set-cookie: a=1', 'set-cookie: b=2']],
  [{ remove: { headers: ['Set-Cookie', 'X-None'] } }, ['server: x']],
  [{ rename: { headers: ['Server:X-Server'] } }, ['x-server: x', 'set-cookie: a=1', 'set-cookie: b=2']],
  [{ rename: { headers: ['Server:Set-Cookie'] } }, ['set-cookie: x']],
  [{ replace: { headers: ['Server:y', 'X:z'] } }, ['server: y', 'set-cookie: a=1', 'set-cookie: b=2']],
  [{ set: { headers: ['Set-Cookie:c=3', 'X:z'] } }, ['server: x', 'set-cookie: c=3', 'x: z']],
  [{ add: { headers: ['Server:y', 'X:z'] } }, ['server: x', 'set-cookie: a=1', 'set-cookie: b=2', 'x: z']],
  [{ append: { headers: ['Server:y'] } }, ['server: x', 'set-cookie: a=1', 'set-cookie: b=2', 'server: y']],
])('%j', (config, expected) => expect(transform(config, answer)).toEqual(expected))

test('goes in the order remove, rename, replace, set, add, append', () => {
  const config = {
    append: { headers: ['A:append'] },
    add: { headers: ['A:add', 'C:add'] },
    set: { headers: ['D:set'] },
    replace: { headers: ['A:replace', 'C:replace'] },
    rename: { headers: ['B:A'] },
    remove: { headers: ['A'] },
  }
  expect(transform(config, ['a', '1', 'b', '2'])).toEqual(['a: replace', 'd: set', 'c: add', 'a: append'])
})

test('writes text beyond ASCII as the bytes of UTF-8', () => {
  const [value] = transform({ set: { headers: ['X:Grüße'] } }, [])
  expect(Buffer.from(value ?? '', 'latin1').toString()).toBe('x: Grüße')
})

test.each([
  [['500'], 500, true],
  [['500'], 501, false],
  [[404], 404, true],
  [['200-299', '404'], 299, true],
  [['200-299', '404'], 404, true],
  [['200-299', '404'], 300, false],
  [['200-299', '404'], 199, false],
  [[], 503, true],
])('if_status %j at %d: %j', (if_status, status, changed) => {
  expect(transform({ set: { headers: ['X:1'] }, if_status }, [], status)).toEqual(changed ? ['x: 1'] : [])
})

test('has no step when there is nothing to do', () => {
  expect(compile(responseTransformer, { if_status: ['500'] })).toEqual({})
})

test.each([
  [{ set: { headers: ['X'] } }, 'name:value'],
  [{ set: { headers: ['X Y:z'] } }, 'must begin with the name'],
  [{ set: { headers: ['X:a\nb'] } }, 'control characters'],
  [{ set: { headers: ['Content-Length:1'] } }, 'must not touch "Content-Length"'],
  [{ remove: { headers: ['Transfer-Encoding'] } }, 'must not touch'],
  [{ rename: { headers: ['X:Connection'] } }, 'must not touch'],
  [{ rename: { headers: ['X:'] } }, 'must end with the name'],
  [{ if_status: ['5xx'] }, 'must be a status'],
  [{ if_status: ['600'] }, 'must be a status'],
  [{ remove: { json: ['a'] } }, 'Unrecognized key'],
])('refuses %j', (config, message) => expect(faults(responseTransformer, config)).toContain(message))
