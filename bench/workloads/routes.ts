import { startSluice } from '../peers/sluice.ts'
import { largestResident } from '../processes.ts'
import { compare, type Subject } from '../rounds.ts'
import { onStage } from './stage.ts'
import type { Workload } from './workload.ts'

export const routes: Workload = {
  name: 'routes',
  title: 'Ten thousand routes',
  about:
    'Requests for 256 of 10,000 routes, against the same requests with one route. Peers that look routes up, rather than try one after another, are given as many.',
  minutes: 1,
  run: ({ plan, choice, peers, quick, step }) =>
    onStage(async ({ origin, hold }) => {
      const count = quick ? 500 : 10_000
      const prefixes = Array.from({ length: count }, (_, i) => `/api/svc${i}/`)
      const many = hold(await startSluice({ origin: origin.port, prefixes }))
      const one = hold(await startSluice({ origin: origin.port, prefixes: ['/api/'] }))
      const resident = [many, one].map(({ started }) => largestResident(started.process.pid as number))
      const subjects: Subject[] = [
        { ...many, name: `sluice, ${count} routes` },
        { ...one, name: 'sluice, 1 route' },
      ]
      for (const peer of peers) {
        if (!peer.looksUp) continue
        const proxy = hold(await peer.start({ origin: origin.port, prefixes }))
        subjects.push({ ...proxy, name: `${peer.name}, ${count} routes` })
      }
      const paths = Array.from({ length: 256 }, (_, i) => `/api/svc${(i * 997) % count}/users/${i}`)
      const groups = await compare('Routes', subjects, { ...plan, paths }, step, { choice })
      const [ofMany, ofOne] = resident as [number, number]
      const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`
      return {
        groups,
        notes: [
          `Sluice is ready after ${seconds(one.readyAfter)} with 1 route, ${seconds(many.readyAfter)} with ${count}; a route takes ${Math.round((ofMany - ofOne) / count)} bytes of resident memory.`,
        ],
      }
    }),
}
