import { createSecretKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { ConfigFault } from '../../core/plugin.ts'
import { KeyFault, keyOfPem } from '../../core/verification-key.ts'
import { type Algorithm, algorithmsOfJws, type Verifier, verifiers } from './algorithms.ts'
import type { KeyEntry } from './schema.ts'

/** A key that a client signs with, ready for use. */
export interface ClientKey {
  readonly id: string
  readonly consumer: string
  readonly tier: string | null
  readonly scopes: readonly string[] | null
  readonly isActive: boolean
  readonly algorithm: Algorithm
  readonly key: KeyObject
  readonly verify: Verifier
}

/** Bytes of a secret: as many as the hash has (RFC 2104 §3). */
const shortestSecret = 32

/** The keys by id. Throws a `ConfigFault` for what is none. */
export function clientKeys(entries: readonly KeyEntry[], configDir: string): ReadonlyMap<string, ClientKey> {
  return new Map(entries.map((entry, i) => [entry.id, clientKey(entry, configDir, ['keys', i])]))
}

function clientKey(entry: KeyEntry, configDir: string, place: readonly (string | number)[]): ClientKey {
  const { id, consumer, tier, scopes, status } = entry
  const { key, algorithm } =
    entry.secret === undefined ? publicKey(entry, configDir, place) : secretKey(entry, entry.secret, place)
  return {
    id,
    consumer,
    tier: tier ?? null,
    scopes: scopes ?? null,
    isActive: status === 'active',
    algorithm,
    key,
    verify: verifiers[algorithm],
  }
}

type Found = Pick<ClientKey, 'key' | 'algorithm'>

function secretKey(entry: KeyEntry, text: string, place: readonly (string | number)[]): Found {
  const at = [...place, 'secret']
  const bytes = Buffer.from(text, entry.secret_is_base64 ? 'base64' : 'utf8')
  if (entry.secret_is_base64 && bytes.toString('base64') !== text) throw new ConfigFault('is no base64', at)
  if (text.includes('-----BEGIN ')) throw new ConfigFault('is a key in PEM: a secret is known to nobody else', at)
  if (bytes.length < shortestSecret)
    throw new ConfigFault(`has ${bytes.length} bytes: ${shortestSecret} are the least`, at)
  return { key: createSecretKey(bytes), algorithm: 'hmac-sha256' }
}

function publicKey({ public_key, algorithm }: KeyEntry, configDir: string, place: readonly (string | number)[]): Found {
  const at = [...place, 'public_key']
  const found = keyOfPem(typeof public_key === 'string' ? public_key : readPem(public_key?.file ?? '', configDir, at))
  if (found instanceof KeyFault) throw new ConfigFault(found.reason, at)
  const fitting = algorithmsOfJws.filter(([jws]) => found.algorithms.includes(jws)).map(([, name]) => name)
  const chosen = algorithm ?? fitting[0]
  if (chosen === undefined) throw new ConfigFault('is a key of a kind that no algorithm of RFC 9421 takes', at)
  if (!fitting.includes(chosen)) throw new ConfigFault(`can't verify ${chosen}: it fits ${fitting.join(', ')}`, at)
  return { key: found.key, algorithm: chosen }
}

function readPem(file: string, configDir: string, at: readonly (string | number)[]): string {
  try {
    return readFileSync(resolve(configDir, file), 'utf8')
  } catch (error) {
    throw new ConfigFault(`the file ${file} can't be read: ${(error as NodeJS.ErrnoException).code}`, at)
  }
}
