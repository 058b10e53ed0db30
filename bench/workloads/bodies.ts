import { compare, type Group, type Row } from '../rounds.ts'
import { onStage, startAll } from './stage.ts'
import type { Workload } from './workload.ts'

const sizes = [
  { bytes: 1024, name: '1 kB' },
  { bytes: 64 * 1024, name: '64 kB' },
  { bytes: 1024 * 1024, name: '1 MB' },
]

export const bodies: Workload = {
  name: 'bodies',
  title: 'Bodies',
  about:
    'Bodies of 1 kB, 64 kB and 1 MB: down in answers, up in POST requests. 64 connections; 16 for 1 MB. Everybody streams them: nginx with its buffering by files off.',
  minutes: 4,
  run: ({ plan, choice, peers, step }) =>
    onStage(async (stage) => {
      const subjects = await startAll(stage, peers, { origin: stage.origin.port })
      const jobs = sizes.flatMap(({ bytes, name }) => {
        const connections = bytes > 100_000 ? Math.min(16, plan.connections) : plan.connections
        const shared = { bytes, connections, seconds: plan.seconds / 2, warmup: plan.warmup / 2 }
        return [
          { ...shared, title: `${name} down`, paths: [`/api/bytes/${bytes}`], load: {} },
          { ...shared, title: `${name} up`, paths: plan.paths, load: { upload: bytes } },
        ]
      })
      const groups: Group[] = []
      for (const [i, { title, bytes, load, ...own }] of jobs.entries()) {
        const loaded = subjects.map((subject) => ({ ...subject, load }))
        const found = await compare(
          title,
          loaded,
          { ...plan, ...own },
          (share, text) => step((i + share) / jobs.length, text),
          { choice },
        )
        groups.push(...found.map((group) => ({ ...group, rows: group.rows.map((row) => withSpeed(row, bytes)) })))
      }
      return { groups }
    }),
}

function withSpeed(row: Row, bytes: number): Row {
  return { ...row, figures: { 'MB/s': (row.perSecond * bytes) / 1e6 } }
}
