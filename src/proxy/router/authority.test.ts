import { expect, it } from 'vitest'
import { hostnameOf } from './authority.ts'

it.each([
  ['Api.Example.com', 'api.example.com'],
  ['api.example.com:8080', 'api.example.com'],
  ['api.example.com.', 'api.example.com'],
  ['[::1]:80', '[::1]'],
  ['127.0.0.1:1', '127.0.0.1'],
  ['', ''],
  ['a b', ''],
  ['a/b', ''],
  ['a@b', ''],
  ['a:b', ''],
  ['a:1:2', ''],
  ['[::1', ''],
])('hostname of %j is %j', (authority, hostname) => {
  expect(hostnameOf(authority)).toBe(hostname)
})
