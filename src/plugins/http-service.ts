import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { z } from 'zod'
import { ConfigFault } from '../core/plugin.ts'
import type { HttpSettings } from '../core/services/http.ts'
import type { RemoteKeySet } from '../core/services/key-sets.ts'
import { duration } from './fields.ts'

/** Fields by which plugins say how a service outside is called, and what becomes of them. */

const url = z
  .string()
  .superRefine((text, context) => {
    const fault = urlFault(text)
    if (fault !== null) context.addIssue(fault)
  })
  .transform((text) => new URL(text).href)

function urlFault(text: string): string | null {
  if (!/^https?:\/\//i.test(text)) return 'must be a URL that begins with http:// or https://'
  // The parser below would drop or mend them silently.
  if (/[^\u0021-\u007e]|\\/.test(text)) return 'must be a URL without spaces and special characters'
  if (!URL.canParse(text)) return 'must be a URL with a valid host and port'
  const { username, password, hash } = new URL(text)
  if (username !== '' || password !== '') return 'must be a URL without user name and password'
  return hash === '' ? null : 'must be a URL without fragment'
}

const file = z.string().min(1)

const tls = z.strictObject({
  verify: z.boolean().default(true).describe('Whether the certificate of the service must be valid.'),
  server_name: z
    .string()
    .refine((name) => name !== '' && isIP(name) === 0, 'must be a host name')
    .optional()
    .describe('Name to ask for and to verify; else the host of the URL.'),
  ca: file.optional().describe('PEM file with the authorities to trust instead of the built-in ones.'),
  cert: file.optional().describe('PEM file with the certificate that the gateway shows.'),
  key: file.optional().describe('PEM file with the private key of `cert`.'),
})

const breaker = z.strictObject({
  max_failures: z
    .int()
    .min(0)
    .default(5)
    .describe('Failures in a row after which the service is left alone; 0: never. A status of 500 and above is one.'),
  cooldown: duration().prefault('10s').describe('Time after which one call tries whether it is back.'),
})

const callFields = {
  timeout: duration()
    .prefault('5s')
    .describe('Most time for a whole call: connecting, sending, the answer to its end.'),
  tls: tls.prefault({}).describe('Settings for https.'),
  breaker: breaker.prefault({}).describe('When the service fails again and again, it is not called for a while.'),
}

/** Fields of an object that says how a service is called. Spread into a `z.strictObject`. */
export const httpServiceFields = {
  url: url.describe('Where the service is: `https://auth.internal/introspect`. Redirects are not followed.'),
  ...callFields,
  max_connections: z
    .int()
    .min(1)
    .max(10_000)
    .default(64)
    .describe('Most connections per worker. As many calls may wait for one; what is beyond fails at once.'),
}

type Tls = z.output<typeof tls>
type Breaker = z.output<typeof breaker>

export interface HttpServiceFields {
  readonly url: string
  readonly timeout: number
  readonly tls: Tls
  readonly breaker: Breaker
  readonly max_connections: number
}

/** Fields of an object that says where keys of an issuer are fetched. Spread into a `z.strictObject`. */
export const remoteKeySetFields = {
  url: url.describe('Where the JWK Set is. Only this URL is fetched, whatever a token names.'),
  ...callFields,
  refresh: duration([1000, '1s'])
    .prefault('10m')
    .describe('How often it is fetched when its answers do not say how long they are good (`Cache-Control: max-age`).'),
  cooldown: duration([100, '100ms'])
    .prefault('10s')
    .describe('Least time between two fetches because of a key id that is unknown, over all workers.'),
}

export interface RemoteKeySetFields {
  readonly url: string
  readonly timeout: number
  readonly tls: Tls
  readonly breaker: Breaker
  readonly refresh: number
  readonly cooldown: number
}

/** Files that those fields name, for the `files` of a plugin. */
export function tlsFilesOf({ ca, cert, key }: Tls): readonly string[] {
  return [ca, cert, key].filter((name) => name !== undefined)
}

/** Most bytes of a JWK Set. */
const largestKeySet = 1024 ** 2

/**
 * What `HttpServices.open` takes. `path`: where the fields stand in the plugin's configuration. Throws a `ConfigFault` for
 * files that can't be used.
 */
export function httpSettingsOf(
  fields: HttpServiceFields,
  { configDir, maxBody, path = [] }: { configDir: string; maxBody: number; path?: readonly (string | number)[] },
): HttpSettings {
  const { url, timeout, breaker, max_connections } = fields
  return { url, timeout, tls: tlsOf(fields.tls, configDir, path), breaker, max_connections, max_body: maxBody }
}

/** What `KeySets.open` takes; the same otherwise. */
export function remoteKeySetOf(
  fields: RemoteKeySetFields,
  { configDir, path = [] }: { configDir: string; path?: readonly (string | number)[] },
): RemoteKeySet {
  const { url, timeout, breaker, refresh, cooldown } = fields
  return {
    url,
    timeout,
    tls: tlsOf(fields.tls, configDir, path),
    breaker,
    // Fetches of one set follow each other.
    max_connections: 1,
    max_body: largestKeySet,
    refresh,
    cooldown,
  }
}

function tlsOf(
  { verify, server_name, ...files }: Tls,
  configDir: string,
  path: readonly (string | number)[],
): HttpSettings['tls'] {
  const absolute = (name: string | undefined): string | null => (name === undefined ? null : resolve(configDir, name))
  const ca = absolute(files.ca)
  const cert = absolute(files.cert)
  const key = absolute(files.key)
  const place = (field: string): (string | number)[] => [...path, 'tls', field]
  if (ca !== null) certificateIn(ca, place('ca'))
  const certificate = cert === null ? null : certificateIn(cert, place('cert'))
  const privateKey = key === null ? null : privateKeyIn(key, place('key'))
  if (certificate === null && privateKey !== null) throw new ConfigFault('needs a "cert"', place('key'))
  if (certificate !== null && privateKey === null) throw new ConfigFault('needs a "key"', place('cert'))
  if (certificate !== null && privateKey !== null && !certificate.checkPrivateKey(privateKey))
    throw new ConfigFault('is not the key of this certificate', place('key'))
  return { verify, server_name: server_name ?? null, ca, cert, key }
}

function read(path: string, place: readonly (string | number)[]): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new ConfigFault(`the file ${path} can't be read: ${(error as NodeJS.ErrnoException).code}`, place)
  }
}

function certificateIn(path: string, place: readonly (string | number)[]): X509Certificate {
  const text = read(path, place)
  try {
    return new X509Certificate(text)
  } catch {
    throw new ConfigFault('must be a PEM file with a certificate', place)
  }
}

function privateKeyIn(path: string, place: readonly (string | number)[]): KeyObject {
  const text = read(path, place)
  try {
    return createPrivateKey(text)
  } catch {
    throw new ConfigFault('must be a PEM file with a private key that is not encrypted', place)
  }
}
