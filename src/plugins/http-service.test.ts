import { dirname } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { certificateFor, writeFiles } from '../../test/support/certificate.ts'
import { httpServiceFields, httpSettingsOf, remoteKeySetFields, remoteKeySetOf, tlsFilesOf } from './http-service.ts'

const service = z.strictObject(httpServiceFields)
const keySet = z.strictObject(remoteKeySetFields)
const removals: (() => void)[] = []

afterEach(() => {
  for (const remove of removals.splice(0)) remove()
})

function settingsOf(config: object, configDir = '/etc/sluice', path: readonly string[] = []) {
  return httpSettingsOf(service.parse(config), { configDir, maxBody: 1000, path })
}

test('has what is usual where nothing is said', () => {
  expect(settingsOf({ url: 'HTTPS://Auth.Example.com/introspect?a=1' })).toEqual({
    url: 'https://auth.example.com/introspect?a=1',
    timeout: 5000,
    tls: { verify: true, server_name: null, ca: null, cert: null, key: null },
    max_connections: 64,
    breaker: { max_failures: 5, cooldown: 10_000 },
    max_body: 1000,
  })
  const { refresh, cooldown, max_body } = remoteKeySetOf(keySet.parse({ url: 'http://a' }), { configDir: '/' })
  expect([refresh, cooldown, max_body]).toEqual([600_000, 10_000, 1_048_576])
})

test('finds files beside the configuration', async () => {
  const ca = await certificateFor(['ca'], { isCa: true })
  const own = await certificateFor(['gateway'], { ca })
  const { paths, remove } = writeFiles(ca.cert, own.cert, own.key)
  removals.push(remove)
  const config = { url: 'https://a', tls: { ca: '0.pem', cert: './1.pem', key: paths[2] } }
  const { tls } = settingsOf(config, dirname(paths[0] as string))
  expect([tls.ca, tls.cert, tls.key]).toEqual(paths)
  expect(tlsFilesOf(service.parse(config).tls)).toEqual(['0.pem', './1.pem', paths[2]])
})

test('says what is wrong with a file, and where', async () => {
  const [one, other] = [await certificateFor(['one']), await certificateFor(['other'])]
  const { paths, remove } = writeFiles(one.cert, one.key, other.key, 'nothing')
  removals.push(remove)
  const [cert, key, wrong, nothing] = paths as [string, string, string, string]
  const fault = (tls: object): { message: string; path: readonly string[] } => {
    try {
      settingsOf({ url: 'https://a', tls }, '/', ['jwks'])
    } catch (error) {
      return error as { message: string; path: readonly string[] }
    }
    throw new Error('nothing was wrong')
  }
  expect(fault({ cert })).toMatchObject({ message: 'needs a "key"', path: ['jwks', 'tls', 'cert'] })
  expect(fault({ key })).toMatchObject({ message: 'needs a "cert"', path: ['jwks', 'tls', 'key'] })
  expect(fault({ cert, key: wrong })).toMatchObject({ message: 'is not the key of this certificate' })
  expect(fault({ ca: nothing })).toMatchObject({ message: 'must be a PEM file with a certificate' })
  expect(fault({ cert, key: nothing }).message).toContain('must be a PEM file with a private key')
  expect(fault({ ca: '/nowhere.pem' }).message).toBe("the file /nowhere.pem can't be read: ENOENT")
})

test.each([
  ['ftp://a', 'begins with http:// or https://'],
  ['https://', 'a valid host'],
  ['https://a b/', 'without spaces'],
  ['https://a\\b/', 'without spaces and special characters'],
  ['https://a/\u00e9', 'without spaces and special characters'],
  ['https://me@a/', 'without user name and password'],
  ['https://a/#b', 'without fragment'],
])('refuses %j', (url, words) => {
  expect(service.safeParse({ url }).error?.issues[0]?.message).toContain(words)
})
