import { expect, test } from 'vitest'
import { lines, request } from '../../test/support/plugin.ts'
import { addIdentity, consumerOf, injectIdentity } from './identity.ts'

const known = {
  id: 'ann',
  name: 'Ann',
  tier: 'gold',
  tenant: 'acme',
  groups: ['staff'],
  roles: ['reader'],
  scopes: ['read'],
}

test('a consumer of the configuration completes what a credential says', () => {
  const consumers = new Map([[known.id, known]])
  expect(consumerOf({ id: 'ann' }, consumers)).toEqual({ ...known, credential: null, anonymous: false })
  expect(
    consumerOf({ id: 'ann', tier: 'bronze', roles: [], tenant: null, credential: 'key-7' }, consumers),
  ).toMatchObject({ tier: 'bronze', roles: [], tenant: 'acme', credential: 'key-7' })
  expect(consumerOf({ id: 'bob' }, consumers)).toEqual({
    id: 'bob',
    name: null,
    tier: null,
    tenant: null,
    groups: [],
    roles: [],
    scopes: [],
    credential: null,
    anonymous: false,
  })
})

test.each([
  ['ann', ['x: ann']],
  ['Zoë 日本', ['x: Zoë 日本']],
  [42, ['x: 42']],
  [false, ['x: false']],
  [['a', 'b'], ['x: a,b']],
  [['CN=a,OU=b', '50%'], ['x: CN=a%2COU=b,50%25']],
  [[], []],
  ['', []],
  [null, []],
  [undefined, []],
  [{ city: 'Łódź\n' }, ['x: {"city":"Łódź\\n"}']],
  [[{ id: 1 }], ['x: [{"id":1}]']],
])('%j becomes %j', (value, expected) => {
  const headers: string[] = []
  expect(addIdentity(headers, 'x', value)).toBe(true)
  expect(lines(headers)).toEqual(expected)
})

test.each([
  'a\r\nx-user-role: admin',
  'a\nb',
  'a\0b',
  ' root',
  'root ',
  'root\u00a0',
  '\ud800',
  'a\udc00b',
  ['reader', 'x\r\ny'],
])('%j can stand in no field', (value) => {
  const headers: string[] = []
  expect(addIdentity(headers, 'x', value)).toBe(false)
  expect(headers).toEqual([])
})

test('who is named first stays, others add', () => {
  const ctx = request({ headers: ['a', '1'] })
  injectIdentity(ctx, ['x-user-id', 'ann'])
  ctx.consumer = consumerOf({ id: 'ann' }, new Map())
  injectIdentity(ctx, ['x-user-id', 'bob', 'x-api-key-id', 'k'])
  expect(lines(ctx.headers)).toEqual(['a: 1', 'x-user-id: ann', 'x-api-key-id: k'])
})
