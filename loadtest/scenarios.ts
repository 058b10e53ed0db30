import { originDead, redisDead, redisFrozen, reloaded, reloads, slowClients, workerKilled } from './disturbance.ts'
import type { Scenario } from './scenario.ts'

const plain = { kinds: ['usual'], origins: 1, globalLimit: null, disturbances: [] } as const

export const scenarios: readonly Scenario[] = [
  // The everyday load, and before it the same load past the gateway: the difference is what the gateway costs.
  {
    ...plain,
    name: 'steady',
    proves:
      'at half of its capacity the gateway answers everything, correctly and soon, and adds little to the time of the service',
    seconds: 30,
    smokeSeconds: 2.4,
    share: 0.5,
    phases: [
      { name: 'direct', part: 0.2, from: 1, direct: true },
      { name: 'steady', part: 0.8, from: 1 },
    ],
  },
  // Up in steps, to where it begins to hurt: the last step that is answered soon is what the node sustains.
  {
    ...plain,
    name: 'ramp',
    proves: 'the gateway keeps its latency up to a high share of its capacity, and loses nothing beyond',
    seconds: 40,
    smokeSeconds: 2.4,
    share: 0.96,
    phases: Array.from({ length: 8 }, (_, i) => ({ name: `step ${i + 1}`, part: 1 / 8, from: (i + 1) / 8 })),
  },
  // The gateway is told to let twice the usual load through: what is beyond must be refused at once and with 429, so that what is
  // let through is answered as ever.
  {
    ...plain,
    name: 'spike',
    proves:
      'three times the load is let through as far as it is allowed and refused beyond, at once; afterwards all is as before',
    seconds: 40,
    smokeSeconds: 4.4,
    share: 0.28,
    globalLimit: 2,
    phases: [
      { name: 'before', part: 0.25, from: 1 },
      { name: 'rise', part: 0.05, from: 1, to: 3 },
      { name: 'spike', part: 0.35, from: 3 },
      { name: 'fall', part: 0.1, from: 3, to: 1 },
      { name: 'after', part: 0.25, from: 1 },
    ],
  },
  // The everyday load for a long time: `--seconds 86400` for a day.
  {
    ...plain,
    name: 'soak',
    proves: 'memory, open files and latency stay where they are',
    seconds: 600,
    smokeSeconds: 2.4,
    share: 0.4,
    phases: [{ name: 'soak', part: 1, from: 1 }],
  },
  // Another configuration every second. Each answer says which one it went through, so that one of a configuration that was no longer
  // in force, or not yet, counts as wrong.
  {
    ...plain,
    name: 'reload-storm',
    proves: 'reloads cost no request, hold on all workers at once, and a faulty file changes nothing',
    seconds: 30,
    smokeSeconds: 4.8,
    share: 0.35,
    kinds: ['usual', 'even'],
    phases: [
      { name: 'storm', part: 0.85, from: 1 },
      { name: 'after', part: 0.15, from: 1 },
    ],
    disturbances: [{ ...reloads, from: 0, to: 0.85 }],
  },
  // One mishap after the other, with time in between to be well again.
  {
    ...plain,
    name: 'chaos',
    proves:
      'a crash or a stall of a worker, of Redis or of a service costs the requests that it held and hardly any other, and passes',
    seconds: 60,
    smokeSeconds: 10,
    share: 0.35,
    origins: 2,
    phases: [{ name: 'chaos', part: 1, from: 1 }],
    disturbances: [
      { ...workerKilled, from: 0.08, to: 0.08 },
      { ...redisFrozen, from: 0.22, to: 0.3 },
      { ...reloaded, from: 0.42, to: 0.42 },
      { ...originDead, from: 0.52, to: 0.6 },
      { ...redisDead, from: 0.7, to: 0.76 },
      { ...slowClients, from: 0.86, to: 0.93 },
    ],
  },
  // Two forged tokens, no two of them alike, beside each good request. One costs more than a good request does: with them about
  // half of the capacity is used.
  {
    ...plain,
    name: 'flood',
    proves: 'forged tokens are all refused, and whoever has a good one hardly notices the flood',
    seconds: 30,
    smokeSeconds: 3,
    share: 0.13,
    kinds: ['usual', 'forged'],
    phases: [
      { name: 'before', part: 0.3, from: 1 },
      { name: 'flood', part: 0.45, from: 3 },
      { name: 'after', part: 0.25, from: 1 },
    ],
  },
]
