import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { ConfigFault, type Deps } from '../../core/plugin.ts'
import type { TrustedIssuer } from '../../core/services/tokens.ts'
import {
  KeyFault,
  keyOfPem,
  keyOfSecret,
  keysOfJwkSet,
  publicKeyAlgorithms,
  secretAlgorithms,
  type VerificationKey,
} from '../../core/verification-key.ts'
import { remoteKeySetOf } from '../http-service.ts'
import type { Config, IssuerConfig } from './schema.ts'
import { StaticKeys } from './static-keys.ts'

type Path = readonly (string | number)[]

/** Whom tokens are believed from. */
export interface Trust {
  readonly issuers: readonly TrustedIssuer[]
  /** Differs when anything of it does, a key in a file included. */
  readonly fingerprint: string
}

/** Files of keys and certificates. */
export function filesOf(config: Config): string[] {
  return issuersIn(config).flatMap(({ issuer: { jwks, public_key } }) => {
    const { ca, cert, key } = jwks?.url === undefined ? {} : jwks.tls
    const pem = typeof public_key === 'object' ? public_key.file : undefined
    return [jwks?.file, pem, ca, cert, key].filter((file) => file !== undefined)
  })
}

/** Reads the keys that are here and opens the sets that are elsewhere. Throws a `ConfigFault` for keys that can't be used. */
export function trustOf(config: Config, deps: Deps): Trust {
  const parts: string[] = []
  const issuers = issuersIn(config).map(({ issuer, path }): TrustedIssuer => {
    const { issuer: name = null, audience = [] } = issuer
    const audiences = typeof audience === 'string' ? [audience] : audience
    const { keys, algorithms, fingerprint } = keysOf(issuer, path, deps)
    parts.push(JSON.stringify([name, audiences, algorithms, fingerprint]))
    return { issuer: name, audiences, algorithms, keys }
  })
  return { issuers, fingerprint: parts.join('\n') }
}

function issuersIn(config: Config): { issuer: IssuerConfig; path: Path }[] {
  return config.issuers?.map((issuer, i) => ({ issuer, path: ['issuers', i] })) ?? [{ issuer: config, path: [] }]
}

interface Keys extends Pick<TrustedIssuer, 'keys' | 'algorithms'> {
  readonly fingerprint: string
}

function keysOf(issuer: IssuerConfig, path: Path, deps: Deps): Keys {
  const { jwks, public_key, secret } = issuer
  if (jwks?.url !== undefined) {
    const source = remoteKeySetOf({ ...jwks, url: jwks.url }, { configDir: deps.configDir, path: [...path, 'jwks'] })
    return {
      keys: deps.services.keySets.open(source),
      algorithms: issuer.algorithms ?? publicKeyAlgorithms,
      fingerprint: JSON.stringify(source),
    }
  }
  if (jwks !== undefined) return staticKeys(issuer, jwkSet(jwks, [...path, 'jwks'], deps), path)
  if (public_key !== undefined) return staticKeys(issuer, [pemKey(public_key, [...path, 'public_key'], deps)], path)
  return staticKeys(issuer, [secretKey(secret ?? '', issuer, path)], path)
}

function staticKeys(issuer: IssuerConfig, keys: readonly VerificationKey[], path: Path): Keys {
  const fitting = new Set(keys.flatMap(({ algorithms }) => algorithms))
  const { algorithms } = issuer
  algorithms?.forEach((algorithm, i) => {
    if (!fitting.has(algorithm)) throw new ConfigFault(`no key fits ${algorithm}`, [...path, 'algorithms', i])
  })
  const isSecret = issuer.secret !== undefined
  const usual = [...fitting].filter((algorithm) => isSecret || !secretAlgorithms.includes(algorithm))
  if (usual.length === 0 && algorithms === undefined)
    throw new ConfigFault('must be stated where all keys are secrets', [...path, 'algorithms'])
  return { keys: new StaticKeys(keys), algorithms: algorithms ?? usual, fingerprint: keys.map(thumbprint).join() }
}

/** Names a key without holding it. */
function thumbprint({ kid, key, algorithms }: VerificationKey): string {
  const material = key.type === 'secret' ? key.export() : key.export({ type: 'spki', format: 'der' })
  return createHash('sha256')
    .update(JSON.stringify([kid, algorithms]))
    .update(material)
    .digest('base64')
}

function jwkSet(
  jwks: NonNullable<IssuerConfig['jwks']>,
  path: Path,
  { configDir, log }: Deps,
): readonly VerificationKey[] {
  const { file, keys: written } = jwks
  const place = [...path, file === undefined ? 'keys' : 'file']
  const found = keysOfJwkSet(file === undefined ? { keys: written } : parsed(read(file, configDir, place), place), {
    secrets: true,
  })
  if (found instanceof KeyFault) throw new ConfigFault(found.reason, place)
  if (found.keys.length === 0) {
    throw new ConfigFault(`has no key that can verify tokens${reasonsOf(found.faults)}`, place)
  }
  // One that can't be used doesn't take the others with it: an issuer may add a new kind of key at any time.
  if (found.faults.length > 0) log.warn(`a key of the JWK Set is left out${reasonsOf(found.faults)}`)
  return found.keys
}

function reasonsOf(faults: readonly KeyFault[]): string {
  return faults.length === 0 ? '' : `: ${faults.map(({ reason }) => reason).join('; ')}`
}

function pemKey(pem: NonNullable<IssuerConfig['public_key']>, path: Path, { configDir }: Deps): VerificationKey {
  const isFile = typeof pem === 'object'
  const place = isFile ? [...path, 'file'] : path
  const key = keyOfPem(isFile ? read(pem.file, configDir, place) : pem)
  if (key instanceof KeyFault) throw new ConfigFault(key.reason, place)
  return key
}

const base64 = /^[\w+/-]+={0,2}$/

function secretKey(secret: string, { secret_is_base64, algorithms }: IssuerConfig, path: Path): VerificationKey {
  const place = [...path, 'secret']
  if (secret_is_base64 === true && !base64.test(secret)) throw new ConfigFault('must be base64', place)
  const bytes = Buffer.from(secret, secret_is_base64 === true ? 'base64' : 'utf8')
  const key = keyOfSecret(bytes, { wanted: algorithms })
  if (key instanceof KeyFault) throw new ConfigFault(key.reason, place)
  return key
}

/** Bytes that a file of keys may have. */
const largestFile = 1024 ** 2

function read(file: string, configDir: string, place: Path): string {
  const path = resolve(configDir, file)
  try {
    const stat = statSync(path)
    if (stat.isFile() && stat.size <= largestFile) return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigFault(`the file ${file} can't be read: ${code === 'ENOENT' ? 'no such file' : code}`, place)
  }
  throw new ConfigFault(`the file ${file} can't be read: it is no file of at most 1mb`, place)
}

function parsed(text: string, place: Path): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ConfigFault('must be a file with JSON', place)
  }
}
