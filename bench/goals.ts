import type { Goal, Section } from './report.ts'
import { type Group, type Row, ratioBetween } from './rounds.ts'

/** Requests a second of one row by those of another: at least `least`. */
interface RatioGoal {
  readonly section: string
  readonly group: string
  readonly above: string
  readonly below: string
  readonly least: number
}

const ratios: readonly RatioGoal[] = [
  { section: 'passthrough', group: 'Pass-through', above: 'sluice', below: 'haproxy', least: 1 },
  { section: 'passthrough', group: 'Pass-through', above: 'sluice', below: 'nginx', least: 1.15 },
  { section: 'passthrough', group: 'Pass-through', above: 'sluice, pipelining', below: 'haproxy', least: 1.25 },
  ...['redis', 'node'].flatMap((store) => [
    { section: 'fullchain', group: 'Full chain', above: `sluice, ${store}`, below: 'haproxy', least: 3 },
    { section: 'fullchain', group: 'Full chain', above: `sluice, ${store}`, below: 'sluice, pass-through', least: 0.7 },
  ]),
  ...['64 kB down', '64 kB up', '1 MB down', '1 MB up'].map((group) => {
    return { section: 'bodies', group, above: 'sluice', below: 'nginx', least: 0.8 }
  }),
]

/** Megabytes. */
const mostIdle = 200
const mostSoaked = 150

/** How much the memory of a worker may grow between the second and the last quarter of a soak. */
const mostGrowth = 0.05

/** The goals that the sections say something about. The last group counts: wrk's, where autocannon was the limit. */
export function goalsOf(sections: readonly Section[]): Goal[] {
  return [...ratios.flatMap((goal) => ratioGoal(goal, sections)), ...idleGoal(sections), ...soakGoals(sections)]
}

function ratioGoal({ section, group, above, below, least }: RatioGoal, sections: readonly Section[]): Goal[] {
  const found = groupOf(sections, section, group)
  const [a, b] = [rowOf(found, above), rowOf(found, below)]
  if (found === undefined || a === undefined || b === undefined) return []
  const { median, least: low, most } = ratioBetween(a, b)
  return [
    {
      what: `${found.title}: ${above} by ${below} (${found.generator})`,
      value: `${median.toFixed(2)} (${low.toFixed(2)}–${most.toFixed(2)})`,
      wanted: `at least ${least}`,
      isMet: median >= least,
    },
  ]
}

function idleGoal(sections: readonly Section[]): Goal[] {
  const row = rowOf(groupOf(sections, 'idle', '64 busy'), 'sluice')
  const memory = row?.figures['idle MB']
  if (memory === undefined) return []
  const what = `${row?.figures['idle left']} idle connections`
  return [{ what, value: `${memory.toFixed(0)} MB`, wanted: `less than ${mostIdle} MB`, isMet: memory < mostIdle }]
}

function soakGoals(sections: readonly Section[]): Goal[] {
  const data = sections.find(({ name }) => name === 'soak')?.data
  if (data === undefined) return []
  const { most, early, late } = data as { most: number; early: number; late: number }
  const growth = late / early - 1
  return [
    {
      what: 'resident memory of a worker under full load',
      value: `${most.toFixed(0)} MB`,
      wanted: `less than ${mostSoaked} MB`,
      isMet: most < mostSoaked,
    },
    {
      what: 'its growth from the second quarter to the last',
      value: `${(growth * 100).toFixed(1)} %`,
      wanted: `at most ${mostGrowth * 100} %`,
      isMet: growth <= mostGrowth,
    },
  ]
}

function groupOf(sections: readonly Section[], section: string, title: string): Group | undefined {
  return sections.find(({ name }) => name === section)?.groups.findLast((group) => group.title === title)
}

function rowOf(group: Group | undefined, name: string): Row | undefined {
  return group?.rows.find((row) => row.name === name)
}
