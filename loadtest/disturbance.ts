import type { Bed } from './bed/bed.ts'

/** Something that happens to a run. */
export interface Disturbance {
  readonly name: string
  /** Begin and end as shares of the scenario's seconds. The same: it happens at once. */
  readonly from: number
  readonly to: number
  /** What must be in our hands for it. */
  readonly needs: 'gateway' | 'redis' | 'nothing'
  begin(bed: Bed): void | Promise<void>
  end?(bed: Bed): void | Promise<void>
  /** Every second between the two. */
  each?(bed: Bed): Promise<void>
}

/** One that has happened. Seconds from the begin of the load. */
export interface Happened {
  readonly name: string
  readonly begin: number
  readonly end: number
}

type Deed = Omit<Disturbance, 'from' | 'to'>

/** `kill -9` of a worker. Its requests in flight are lost; another worker takes its place. */
export const workerKilled: Deed = {
  name: 'worker killed',
  needs: 'gateway',
  begin: (bed) => bed.own?.killWorker(),
}

/** Redis hangs: its connections stay open, nothing is answered. */
export const redisFrozen: Deed = {
  name: 'Redis frozen',
  needs: 'redis',
  begin: (bed) => bed.own?.redis?.freeze(),
  end: (bed) => bed.own?.redis?.thaw(),
}

/** Redis crashes and comes back empty. */
export const redisDead: Deed = {
  name: 'Redis dead',
  needs: 'redis',
  begin: (bed) => bed.own?.redis?.kill(),
  end: (bed) => bed.own?.redis?.revive(),
}

/** One of the processes behind the gateway crashes and comes back. */
export const originDead: Deed = {
  name: 'upstream dead',
  needs: 'gateway',
  begin: (bed) => bed.own?.origins.killOne(),
  end: (bed) => bed.own?.origins.reviveOne(),
}

/** Clients that send and read as slowly as they can. */
export const slowClients: Deed = {
  name: 'slow clients',
  needs: 'nothing',
  begin: (bed) => bed.letSlowClientsIn(),
  end: (bed) => bed.sendSlowClientsAway(),
}

/** One reload, between two mishaps. */
export const reloaded: Deed = {
  name: 'reloaded',
  needs: 'gateway',
  begin: (bed) => bed.own?.reloadAlike(),
}

/** A reload every second; every fifth is of a file with a fault. */
export const reloads: Deed = {
  name: 'reloads',
  needs: 'gateway',
  begin: () => {},
  each: async (bed) => bed.own?.reloadAnew(),
}
