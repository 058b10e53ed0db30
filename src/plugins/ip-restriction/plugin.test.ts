import { BlockList } from 'node:net'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { expect, test } from 'vitest'
import { access, compile, faults, request } from '../../../test/support/plugin.ts'
import { AddressSet } from '../../core/address-set.ts'
import { ipRestriction } from './plugin.ts'

function admits(config: unknown, clientIp: string): boolean {
  return access(compile(ipRestriction, config), request({ clientIp })) === undefined
}

test.each([
  ['10.0.0.0/8', '10.255.0.1', true],
  ['10.0.0.0/8', '11.0.0.1', false],
  ['10.1.2.3/8', '10.9.9.9', true],
  ['192.0.2.1', '192.0.2.1', true],
  ['192.0.2.1', '192.0.2.2', false],
  ['192.0.2.0/31', '192.0.2.1', true],
  ['192.0.2.0/31', '192.0.2.2', false],
  ['0.0.0.0/0', '255.1.2.3', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['2001:db8::/33', '2001:db8:7fff::1', true],
  ['2001:db8::/33', '2001:db8:8000::1', false],
  ['2001:db8::1', '2001:0db8:0:0:0:0:0:1', true],
  ['::/0', '2001:db8::1', true],
  ['::/0', '10.0.0.1', false],
  ['10.0.0.0/8', '::ffff:10.0.0.1', true],
  ['10.0.0.0/8', '::ffff:a00:1', true],
  ['::ffff:10.0.0.0/104', '10.0.0.1', true],
  ['::ffff:10.0.0.0/104', '11.0.0.1', false],
  ['fe80::/10', 'fe80::1%eth0', true],
  ['0.0.0.0/0', '', false],
  ['0.0.0.0/0', 'unknown', false],
])('allow %j and %j: %j', (block, clientIp, admitted) => {
  expect(admits({ allow: [block] }, clientIp)).toBe(admitted)
})

test('deny goes before allow', () => {
  const config = { allow: ['10.0.0.0/8'], deny: ['10.1.0.0/16'] }
  expect(admits(config, '10.2.0.1')).toBe(true)
  expect(admits(config, '10.1.0.1')).toBe(false)
  expect(admits(config, '192.0.2.1')).toBe(false)
})

test('deny alone lets all others in, but nobody without an address', () => {
  expect(admits({ deny: ['10.0.0.0/8'] }, '192.0.2.1')).toBe(true)
  expect(admits({ deny: ['10.0.0.0/8'] }, '10.0.0.1')).toBe(false)
  expect(admits({ deny: ['10.0.0.0/8'] }, 'unknown')).toBe(false)
})

test('says what is configured', () => {
  const verdict = (config: unknown) => access(compile(ipRestriction, config), request())
  expect(verdict({ deny: ['192.0.2.1'] })).toMatchObject({ code: 'ip_forbidden', status: 403 })
  expect(verdict({ deny: ['192.0.2.1'], status: 404, message: 'Nothing here.' })).toMatchObject({
    code: 'ip_forbidden',
    status: 404,
    message: 'Nothing here.',
  })
})

test('decides the same again, and for more addresses than it remembers', () => {
  const steps = compile(ipRestriction, { allow: ['10.0.0.0/16'] })
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5000; i++) {
      const clientIp = `10.${i & 1}.${i >> 8}.${i & 255}`
      expect(access(steps, request({ clientIp })) === undefined).toBe((i & 1) === 0)
    }
  }
})

test.each([
  ['ipv4', fc.ipV4(), 32],
  // IPv4-mapped addresses are IPv4 to us; they have cases of their own above.
  ['ipv6', fc.ipV6().filter((address) => ipaddr.process(address).kind() === 'ipv6'), 128],
] as const)('agrees with the BlockList of Node.js on %s', (family, addresses, bits) => {
  const blocks = fc.array(fc.tuple(addresses, fc.integer({ min: 0, max: bits })), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(blocks, fc.array(addresses, { maxLength: 20 }), (list, others) => {
      const expected = new BlockList()
      for (const [address, prefix] of list) expected.addSubnet(address, prefix, family)
      const set = new AddressSet(list.map(([address, prefix]) => `${address}/${prefix}`))
      for (const address of [...others, ...list.map(([address]) => address)]) {
        expect(set.has(ipaddr.process(address).toString())).toBe(expected.check(address, family))
      }
    }),
  )
})

test.each([
  [{}, 'must name addresses'],
  [{ allow: ['10.0.0.0/33'] }, 'must be an IP address'],
  [{ allow: ['2001:db8::/129'] }, 'must be an IP address'],
  [{ allow: ['10.0.0.0/'] }, 'must be an IP address'],
  [{ allow: ['10.0.0.0/8/8'] }, 'must be an IP address'],
  [{ allow: ['010.0.0.1'] }, 'must be an IP address'],
  [{ allow: ['10.1'] }, 'must be an IP address'],
  [{ allow: ['example.com'] }, 'must be an IP address'],
  [{ deny: ['fe80::1%eth0'] }, 'must be an IP address'],
  [{ deny: ['10.0.0.1'], status: 200 }, 'Too small'],
])('refuses %j', (config, message) => expect(faults(ipRestriction, config)).toContain(message))
