import type { Deps, Kept, PluginLog } from '../../src/core/plugin.ts'
import type { RevocationKind } from '../../src/core/services/revocations.ts'
import { type Services, servicesAtRest } from '../../src/core/services/services.ts'
import { HttpServiceStore } from '../../src/services/http-service.ts'
import { type RecordingInstruments, recordInstruments } from './instruments.ts'

/** What plugins that call services outside get, alive. */
export interface LiveServices {
  readonly deps: Pick<Deps, 'services' | 'keep' | 'log'>
  readonly instruments: RecordingInstruments
  /** Messages logged. */
  readonly logged: string[]
  revoke(kind: RevocationKind, value: string): void
  close(): void
}

/** Services for a test: real calls to services outside, a list of revocations that the test writes. */
export function openServices(): LiveServices {
  const instruments = recordInstruments()
  const logged: string[] = []
  const write = (message: string): void => void logged.push(message)
  const log: PluginLog = { info: write, warn: write, error: write }
  const store = new HttpServiceStore({ instruments, log })
  const kept = new Map<string, Kept>()
  const revoked = new Set<string>()
  const keep = <T extends Kept>(key: string, make: () => T): T => {
    const thing = kept.get(key) ?? make()
    kept.set(key, thing)
    return thing as T
  }
  const services: Services = {
    ...servicesAtRest,
    http: { open: (settings) => store.open(settings, keep) },
    revocations: {
      get generation() {
        return revoked.size
      },
      has: (kind, value) => revoked.has(`${kind} ${value}`),
    },
    instruments,
  }
  return {
    deps: { services, keep, log },
    instruments,
    logged,
    revoke: (kind, value) => void revoked.add(`${kind} ${value}`),
    close: () => {
      for (const thing of kept.values()) thing.close?.()
    },
  }
}
