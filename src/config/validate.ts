import { checkAddresses } from './check-addresses.ts'
import { checkChains } from './check-chains.ts'
import { checkClientTls, checkListenerTls, checkRevocationsFile } from './check-files.ts'
import { checkRoutes } from './check-routes.ts'
import { checkSecrets } from './check-secrets.ts'
import type { ConfigDocument } from './document.ts'
import { type Fault, type Path, sortFaults } from './fault.ts'
import { Report } from './report.ts'
import { resolve } from './resolve.ts'
import { resolvePlugins } from './resolve-plugins.ts'
import type { Config } from './schema.ts'
import { readSettings } from './settings.ts'

export interface Validation {
  /** `null` when there are faults. */
  readonly config: Config | null
  /** In the order of the file. */
  readonly faults: readonly Fault[]
  readonly warnings: readonly Fault[]
  /** Absolute paths of all files that the configuration refers to. */
  readonly files: readonly string[]
}

/** Finds everything that is wrong with a document and that can be found without traffic, or makes a `Config` of it. */
export async function validate(document: ConfigDocument, dir: string): Promise<Validation> {
  const report = new Report(document)
  const config = document.value === null ? null : await check(report, dir)
  return {
    config: report.faults.length === 0 ? config : null,
    faults: sortFaults(report.faults),
    warnings: sortFaults(report.warnings),
    files: [...report.files],
  }
}

async function check(report: Report, dir: string): Promise<Config | null> {
  const settings = readSettings(report)
  const { registry, entries } = await resolvePlugins(report.document.value, dir, report)
  if (settings === null) return null
  const resolved = resolve(settings, entries, dir, report)
  const { config, places } = resolved

  checkAddresses(config, report)
  checkListenerTls(config.listeners, report)
  for (const upstream of config.upstreams) checkClientTls(upstream.tls, places.get(upstream) as Path, report)
  if (config.redis?.tls) checkClientTls(config.redis.tls, ['redis'], report)
  checkRevocationsFile(config.security.revocations.file, report)
  const broken = checkRoutes(resolved, report)
  checkChains(resolved, broken, registry, report)
  checkSecrets(config, report)
  return config
}
