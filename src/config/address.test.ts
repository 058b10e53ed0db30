import { expect, test } from 'vitest'
import { formatAddress, isLoopback, parseAddress, parseTarget } from './address.ts'
import { parseCidr } from './cidr.ts'
import { hostPattern } from './host.ts'

test.each([
  ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  [':8080', { host: '0.0.0.0', port: 8080 }],
  ['*:8080', { host: '0.0.0.0', port: 8080 }],
  ['LocalHost:80', { host: 'localhost', port: 80 }],
  ['8080', null],
  ['::1:8080', null],
  ['1.2.3:80', null],
  ['a:65536', null],
  ['a:-1', null],
  ['[1.2.3.4]:80', null],
])('address %s', (text, expected) => {
  expect(parseAddress(text)).toEqual(expected)
})

test.each([
  ['users', { host: 'users', port: 80 }],
  ['users:3000', { host: 'users', port: 3000 }],
  ['[2001:DB8::1]:3000', { host: '2001:db8::1', port: 3000 }],
  ['_svc.users.internal', { host: '_svc.users.internal', port: 80 }],
  ['users:0', null],
  ['users:', null],
  ['', null],
  ['us ers', null],
  ['user@host', null],
])('target %s', (text, expected) => {
  expect(parseTarget(text, 80)).toEqual(expected)
})

test('formats IPv6 with brackets', () => {
  expect([formatAddress({ host: '::1', port: 1 }), formatAddress({ host: 'a', port: 2 })]).toEqual(['[::1]:1', 'a:2'])
})

test('loopback', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].every(isLoopback)).toBe(true)
  expect(['0.0.0.0', '::', '10.0.0.1', 'gateway', '127.example.com'].some(isLoopback)).toBe(false)
})

test.each([
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['10.0.0.1', '10.0.0.1/32'],
  ['::1', '::1/128'],
  ['fd00::/008', 'fd00::/8'],
  ['10.0.0.0/33', null],
  ['::/129', null],
  ['10.0.0.0/', null],
  ['10.0.0.0/8/8', null],
  ['fe80::1%eth0', null],
  ['example.com', null],
])('block %s', (text, expected) => {
  expect(parseCidr(text)).toBe(expected)
})

test.each([
  ['API.Example.com', 'api.example.com'],
  ['*.example.org', '*.example.org'],
  ['192.0.2.1', '192.0.2.1'],
  ['[2001:DB8::1]', '[2001:db8::1]'],
  ['*.münchen.example', '*.xn--mnchen-3ya.example'],
])('host %s', (text, expected) => {
  expect(hostPattern.parse(text)).toBe(expected)
})
