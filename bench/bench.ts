import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runFlood } from './flood.ts'
import { runFullChain } from './fullchain.ts'
import { runJwt } from './jwt.ts'
import type { Generator } from './load.ts'
import { describeMachine } from './machine.ts'
import type { MicroRow } from './micro.ts'
import { runPassthrough } from './passthrough.ts'
import { endEverything, isInstalled, loadCore, startProcess } from './processes.ts'
import { floodText, jwtText, machineText, microText, type Report, routesText, rowsText } from './report.ts'
import type { Plan } from './rounds.ts'
import { runRoutes } from './routes.ts'

const help = `npm run bench -- [options]

  --only LIST       sections to run: micro, jwt, passthrough, fullchain, flood, routes (all)
  --proxies LIST    proxies to compare: sluice, nginx, haproxy (all that are installed)
  --load LIST       generators: autocannon, wrk (autocannon)
  --rounds N        rounds of a comparison (5)
  --seconds N       seconds of a measurement (5)
  --connections N   connections of a generator (64)
  --routes N        routes to compare with one (10000)
  --quick           a few seconds in all: shows that everything runs, says nothing about speed
  --json FILE       where the results go (bench/results/latest.json)
`

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'micro,jwt,passthrough,fullchain,flood,routes' },
    proxies: { type: 'string', default: '' },
    load: { type: 'string', default: 'autocannon' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '64' },
    routes: { type: 'string', default: '10000' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench/results/latest.json' },
    help: { type: 'boolean', default: false },
  },
})

function listOf(text: string): string[] {
  return text.split(',').filter((word) => word !== '')
}

async function runMicro(quick: boolean): Promise<MicroRow[]> {
  // The large young generation keeps the collector out of the counts of allocated bytes.
  const flags = ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256']
  const started = startProcess(loadCore, process.execPath, [
    ...flags,
    join(import.meta.dirname, 'micro.js'),
    ...(quick ? ['--quick'] : []),
  ])
  let output = ''
  started.process.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const status = await new Promise((settle) => started.process.once('close', settle))
  if (status !== 0) throw new Error(`the micro benches failed\n${started.stderr()}`)
  return JSON.parse(output) as MicroRow[]
}

async function run(): Promise<void> {
  const { quick } = options
  const sections = listOf(options.only)
  const generators = listOf(options.load).filter((name) => name !== 'wrk' || isInstalled('wrk')) as Generator[]
  const plan: Plan = {
    rounds: quick ? 1 : Number(options.rounds),
    seconds: quick ? 1 : Number(options.seconds),
    warmup: quick ? 1 : 3,
    connections: Number(options.connections),
    paths: ['/api/users/42'],
  }
  const tell = (text: string): void => console.error(text)
  const report: Report = {
    startedAt: new Date().toISOString(),
    machine: describeMachine(),
    plan: { ...plan, quick, generators },
  }
  console.log(`${machineText(report.machine)}\n`)

  if (sections.includes('micro')) {
    report.micro = await runMicro(quick)
    console.log(`${microText(report.micro)}\n`)
  }
  if (sections.includes('jwt')) {
    report.jwt = await runJwt(plan)
    console.log(`${jwtText(report.jwt)}\n`)
  }
  if (sections.includes('passthrough')) {
    report.passthrough = await runPassthrough(generators, listOf(options.proxies), plan, tell)
    console.log(`${rowsText(report.passthrough)}\n`)
  }
  if (sections.includes('fullchain')) {
    report.fullchain = await runFullChain(generators, plan, tell)
    console.log(`${rowsText(report.fullchain)}\n`)
  }
  if (sections.includes('flood')) {
    report.flood = await runFlood(plan, tell)
    console.log(`${floodText(report.flood)}\n`)
  }
  if (sections.includes('routes')) {
    const count = quick ? Math.min(500, Number(options.routes)) : Number(options.routes)
    report.routes = await runRoutes(generators, count, plan, tell)
    console.log(`${routesText(report.routes)}\n`)
  }
  const file = resolve(options.json)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  console.log(`results: ${file}`)
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
