import { formatPath, type Path } from './fault.ts'
import type { Report } from './report.ts'
import type { Config } from './schema.ts'
import { isSecretKey } from './secret.ts'

/** Header fields whose values let their bearer in. */
const credentials: readonly string[] = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key']

/** Keys that sound secret and are not: hashes and public keys are for everybody, a key beside a certificate is a file. */
function isPublic(key: string, siblings: object): boolean {
  return key === 'hash' || key === 'password_hash' || key === 'public_key' || (key === 'key' && 'cert' in siblings)
}

/** Places of texts under a key that says that they are secret. */
function* literalSecrets(value: unknown, place: Path): Generator<Path> {
  if (typeof value !== 'object' || value === null) return
  for (const [name, item] of Object.entries(value)) {
    const key = Array.isArray(value) ? Number(name) : name
    if (typeof item !== 'string') yield* literalSecrets(item, [...place, key])
    else if (isSecretKey(key) && !isPublic(name, value)) yield [...place, key]
  }
}

/** Warns of secrets that are likely to be seen by somebody who should not. */
export function checkSecrets({ access_log }: Config, report: Report): void {
  for (const key of ['request_headers', 'response_headers'] as const) {
    access_log?.[key].forEach((name, i) => {
      if (credentials.includes(name))
        report.warn(['access_log', key, i], `"${name}" holds credentials: the log shows *** in their place`)
    })
  }
  for (const place of literalSecrets(report.document.value, [])) {
    if (!report.document.filled.has(formatPath(place)))
      report.warn(place, 'a secret stands in the file for all who can read it: prefer ${file:…}')
  }
  if (process.env['NODE_ENV'] !== 'production') return
  for (const { place, fromEnvironment } of report.document.filled.values()) {
    if (fromEnvironment && place.some(isSecretKey)) {
      report.warn(
        place,
        'a secret in the environment is seen by every child process and in crash reports: prefer ${file:…}',
      )
    }
  }
}
