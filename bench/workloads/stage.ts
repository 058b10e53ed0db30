import type { Peer, Setup } from '../peers/peer.ts'
import { startSluice } from '../peers/sluice.ts'
import type { Started } from '../processes.ts'
import type { Subject } from '../rounds.ts'
import { type Origin, startOrigin } from '../servers.ts'

/** Everything that a workload starts, so that it ends with it. */
export interface Stage {
  readonly origin: Origin
  /** Ends the process with the workload. Returns what was given. */
  readonly hold: <T extends { readonly started: Started }>(one: T) => T
  /** Processes without a port. */
  readonly started: Started[]
}

export async function onStage<T>(play: (stage: Stage) => Promise<T>): Promise<T> {
  const started: Started[] = []
  const origin = await startOrigin()
  const hold = <S extends { readonly started: Started }>(one: S): S => {
    started.push(one.started)
    return one
  }
  try {
    return await play({ origin, started, hold })
  } finally {
    await Promise.all([...started.map((one) => one.stop()), origin.stop()])
  }
}

/** Starts the gateway and those it is compared with, all set up alike. */
export async function startAll({ hold }: Stage, peers: readonly Peer[], setup: Setup): Promise<Subject[]> {
  const subjects: Subject[] = [hold(await startSluice(setup))]
  for (const peer of peers) subjects.push(hold(await peer.start(setup)))
  return subjects
}
