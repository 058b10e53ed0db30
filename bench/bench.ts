import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { goalsOf } from './goals.ts'
import { htmlOf } from './html.ts'
import type { Generator } from './load.ts'
import { describeMachine } from './machine.ts'
import { peers } from './peers/index.ts'
import { endEverything, isInstalled } from './processes.ts'
import { Progress } from './progress.ts'
import { goalsText, machineText, type Report, type Section, sectionText } from './report.ts'
import type { Choice, Plan } from './rounds.ts'
import { workloads } from './workloads/index.ts'
import type { Bench, Workload } from './workloads/workload.ts'

const usual = workloads.filter(({ extra }) => extra !== true)

const help = `npm run bench -- [options]

  --only LIST       sections to run, or \`all\`
  --peers LIST      who is compared with the gateway, or \`none\` (all that are installed)
  --load LIST       generators: autocannon, wrk (autocannon; where that is the limit wrk, if installed)
  --rounds N        rounds of a comparison (5)
  --seconds N       seconds of a measurement (2)
  --connections N   connections of a generator (64)
  --minutes N       minutes of the soak (10)
  --quick           two minutes at most: shows that everything runs, says nothing about speed
  --json FILE       where the results go (bench/results/latest.json)
  --html FILE       where the report goes (bench/results/latest.html)

Sections, and the minutes that they take:
${workloads.map(({ name, title, minutes, extra }) => `  ${name.padEnd(18)}${String(minutes).padEnd(6)}${title}${extra === true ? '; only when asked for' : ''}`).join('\n')}

Peers:
${peers.map(({ name, isHere, install }) => `  ${name.padEnd(24)}${isHere ? 'installed' : `missing: ${install}`}`).join('\n')}
`

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: usual.map(({ name }) => name).join(',') },
    peers: { type: 'string', default: '' },
    load: { type: 'string', default: '' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '64' },
    minutes: { type: 'string', default: '10' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench/results/latest.json' },
    html: { type: 'string', default: 'bench/results/latest.html' },
    help: { type: 'boolean', default: false },
  },
})

/** The words of a list, each of which must be known. */
function listOf<T extends string>(text: string, known: readonly T[], option: string): T[] {
  const words = text.split(',').filter((word) => word !== '')
  const strange = words.find((word) => !known.includes(word as T))
  if (strange !== undefined) throw new Error(`${option}: what is ${strange}? ${known.join(', ')}`)
  return words as T[]
}

async function run(): Promise<void> {
  const { quick } = options
  const names = workloads.map(({ name }) => name)
  const wanted = options.only === 'all' ? names : listOf(options.only, names, '--only')
  const chosen = workloads.filter(({ name }) => wanted.includes(name))
  const asked = listOf(options.peers, [...peers.map(({ name }) => name), 'none'], '--peers')
  const compared = peers.filter(({ name }) => asked.length === 0 || asked.includes(name))
  const generators = listOf<Generator>(options.load, ['autocannon', 'wrk'], '--load')
  const here = compared.filter(({ isHere }) => isHere)
  const plan: Plan = {
    rounds: quick ? 1 : Number(options.rounds),
    seconds: quick ? 0.3 : Number(options.seconds),
    warmup: quick ? 0.2 : 1,
    connections: Number(options.connections),
    paths: ['/api/users/42'],
    cold: quick,
  }
  const choice: Choice = generators.length > 0 ? generators : quick ? ['autocannon'] : 'auto'
  const notes = [
    ...compared.filter(({ isHere }) => !isHere).map(({ name, install }) => `${name} is not installed: ${install}`),
    ...(isInstalled('wrk') ? [] : ['wrk is not installed (apt-get install wrk): autocannon measures all.']),
  ]
  const startedAt = new Date().toISOString()
  const machine = describeMachine()
  console.log([machineText(machine), ...notes, ''].join('\n'))

  const progress = new Progress(chosen.map(({ minutes }) => minutes))
  const sections: Section[] = []
  for (const workload of chosen) {
    progress.begin(workload.name)
    const bench: Bench = {
      plan,
      choice,
      peers: quick && workload.name !== 'passthrough' && workload.name !== 'fullchain' ? here.slice(0, 1) : here,
      quick,
      minutes: Number(options.minutes),
      step: progress.step,
    }
    const section = await sectionOf(workload, bench)
    progress.clear()
    console.log(`${sectionText(section)}\n`)
    sections.push(section)
  }
  const goals = quick ? [] : goalsOf(sections)
  if (goals.length > 0) console.log(`${goalsText(goals)}\n`)
  const report: Report = { startedAt, machine, plan: { ...plan, quick, choice }, sections, goals, notes }
  write(options.json, `${JSON.stringify(report, null, 2)}\n`)
  write(options.html, htmlOf(report))
}

async function sectionOf(workload: Workload, bench: Bench): Promise<Section> {
  const { name, title, about } = workload
  const begin = performance.now()
  const findings = await workload.run(bench)
  return { name, title, about, ...findings, seconds: Math.round((performance.now() - begin) / 1000) }
}

function write(path: string, text: string): void {
  const file = resolve(path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  console.log(file)
}

// Whatever ends the bench ends what it started.
process.once('exit', endEverything)
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(130))

if (options.help) {
  console.log(help)
} else {
  await run().catch((err: unknown) => {
    console.error(err instanceof Error ? err.message : err)
    process.exitCode = 1
  })
}
// The generator waits for the next job.
process.exit()
