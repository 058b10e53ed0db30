import type { CredentialSource } from '../credential.ts'
import { credentialSourceOf } from '../credential-fields.ts'
import type { Config } from './schema.ts'

type SourceConfig = Pick<Config, 'from' | 'header_names' | 'cookie_names' | 'uri_param_names'>

/** Where the token may be, in the order in which it is looked for. */
export function sourcesOf(config: SourceConfig): readonly CredentialSource[] {
  if (config.from !== undefined) return config.from.map(credentialSourceOf)
  const { header_names = ['authorization'], cookie_names = [], uri_param_names = [] } = config
  return [
    ...header_names.flatMap((name) => kongHeader(name)),
    ...cookie_names.map((name): CredentialSource => ({ in: 'cookie', name, scheme: null })),
    ...uri_param_names.map((name): CredentialSource => ({ in: 'query', name, scheme: null })),
  ]
}

/** The scheme of `WWW-Authenticate`: that of the first header which has one. */
export function challengeScheme({ from = [] }: SourceConfig): string {
  return from.find(({ scheme }) => typeof scheme === 'string')?.scheme ?? 'Bearer'
}

/** A header of one's own may have the token with or without the scheme. */
function kongHeader(header: string): CredentialSource[] {
  const name = header.toLowerCase()
  const withScheme: CredentialSource = { in: 'header', name, scheme: 'bearer' }
  return name === 'authorization' ? [withScheme] : [withScheme, { in: 'header', name, scheme: null }]
}
