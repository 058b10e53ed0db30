import { createHash } from 'node:crypto'
import { indexOfDigest, type KeyHash, parseKeyHash } from '../../core/api-key.ts'
import { ConfigFault, type Deps, type Kept } from '../../core/plugin.ts'
import type { StoredKey } from '../../core/services/api-keys.ts'
import { parseEntries, readEntryFile } from '../entry-file.ts'
import { type Config, type KeyEntry, keyEntry } from './schema.ts'

/** Keys by the names that they are looked up by: the id, and the index of the digest where that is keyed. */
export type StoredKeys = ReadonlyMap<string, StoredKey>

/** The keys of the configuration and of its file. */
export function storedKeys({ keys, file, salt }: Config, deps: Deps): StoredKeys {
  const hasSalt = salt !== undefined
  const stored = new Map<string, StoredKey>()
  keys.forEach((entry, i) => {
    const key = storedKeyOf(entry)
    if (key.hash.salt === null && !hasSalt) throw new ConfigFault(needsSalt, ['keys', i, 'hash'])
    add(stored, key)
  })
  if (file === undefined) return stored
  const fromFile = readKeys(file, deps)
  for (const [id, key] of fromFile) {
    if (key.hash.salt === null && !hasSalt) throw new ConfigFault(`key "${key.id}" ${needsSalt}`, ['file'])
    if (stored.has(id)) throw new ConfigFault(`key "${key.id}" is there twice`, ['file'])
  }
  // Routes with the same file share its keys.
  if (stored.size === 0) return fromFile
  for (const [name, key] of fromFile) stored.set(name, key)
  return stored
}

const needsSalt = 'needs the "salt" that its hash was made with'

function storedKeyOf({ id, hash, consumer, tier, tenant, scopes, expires, status }: KeyEntry): StoredKey {
  return {
    id,
    consumer,
    tier: tier ?? null,
    tenant: tenant ?? null,
    scopes: scopes ?? null,
    expiresAt: expires ?? 0,
    status,
    hash: parseKeyHash(hash) as KeyHash,
  }
}

function add(stored: Map<string, StoredKey>, key: StoredKey): void {
  stored.set(key.id, key)
  if (key.hash.salt === null) stored.set(indexOfDigest(key.hash.digest), key)
}

function readKeys(file: string, deps: Deps): StoredKeys {
  const text = readEntryFile(file, deps.configDir)
  const digest = createHash('sha256').update(text).digest('base64')
  return deps.keep(`key-auth ${digest}`, () => new KeyFile(text)).keys
}

class KeyFile implements Kept {
  readonly keys: StoredKeys

  constructor(text: string) {
    const keys = new Map<string, StoredKey>()
    for (const { place, value } of parseEntries(text, keyEntry)) {
      if (keys.has(value.id)) throw new ConfigFault(`${place}: key "${value.id}" is there twice`, ['file'])
      add(keys, storedKeyOf(value))
    }
    this.keys = keys
  }

  close(): void {}
}
