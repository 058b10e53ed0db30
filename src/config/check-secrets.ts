import type { Report } from './report.ts'
import type { Config } from './schema.ts'
import { isSecretKey } from './secret.ts'

/** Header fields whose values let their bearer in. */
const credentials: readonly string[] = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key']

/** Warns of secrets that are likely to be seen by somebody who should not. */
export function checkSecrets({ access_log }: Config, report: Report): void {
  for (const key of ['request_headers', 'response_headers'] as const) {
    access_log?.[key].forEach((name, i) => {
      if (credentials.includes(name))
        report.warn(['access_log', key, i], `"${name}" holds credentials: the log shows *** in their place`)
    })
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
