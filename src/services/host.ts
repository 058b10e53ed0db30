import type { WorkerLink } from '../core/messages.ts'
import type { Kept, PluginLog } from '../core/plugin.ts'
import type { Instruments } from '../core/services/instruments.ts'

/** What services need of the process that they live in. */
export interface ServiceHost {
  /** To the counterparts in the primary. */
  readonly link: WorkerLink
  readonly instruments: Instruments
  readonly log: PluginLog
}

/** Gives the thing of that key, made if nobody has it; closed when nobody has it any more. */
export type Keep = <T extends Kept>(key: string, make: () => T) => T
