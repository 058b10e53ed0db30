/** The command: reads what is asked for, runs the scenarios one after the other, judges them, keeps the reports. */
import { join, relative } from 'node:path'
import { createCredentials } from './bed/credentials.ts'
import { root } from './bed/process.ts'
import { redisVersion } from './bed/redis.ts'
import { type Options, readGiven, readOptions, UsageError, usage } from './options.ts'
import { describeMachine, type Machine } from './report/machine.ts'
import { Progress } from './report/progress.ts'
import { keepReport, reportOf } from './report/report.ts'
import { conclusionOf, passes, tableOf } from './report/table.ts'
import { type Call, runScenario } from './run.ts'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios.ts'
import { costOf } from './verdict/cost.ts'
import { recoveriesOf } from './verdict/measure.ts'
import { judge, mostOfOthers, type Objective, readObjectives } from './verdict/objective.ts'

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    // What was started ends with this process.
    console.error('\nstopped')
    process.exit(code)
  })
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`loadtest: ${(error as Error).message}`)
  process.exit(error instanceof UsageError ? 2 : 1)
}

async function main(): Promise<number> {
  const options = readOptions(
    process.argv.slice(2),
    scenarios.map(({ name }) => name),
  )
  if (options === null) {
    showUsage()
    return 0
  }
  const objectives = objectivesOf(options)
  const machine = describeMachine()
  const call = callOf(options)
  const failed: string[] = []
  const begun = performance.now()
  for (const name of options.scenarios) {
    const scenario = scenarios.find((one) => one.name === name) as Scenario
    if (!(await runOne(scenario, objectives.get(name) ?? [], { call, machine }))) failed.push(name)
  }
  if (options.scenarios.length > 1) {
    const seconds = Math.round((performance.now() - begun) / 1000)
    console.log(
      `\n${options.scenarios.length} scenarios in ${seconds} s: ${failed.length === 0 ? 'all pass' : `missed by ${failed.join(', ')}`}`,
    )
  }
  return failed.length === 0 ? 0 : 1
}

/** Whether the scenario passes. */
async function runOne(
  scenario: Scenario,
  objectives: readonly Objective[],
  { call, machine }: { readonly call: Call; readonly machine: Machine },
): Promise<boolean> {
  const { options, progress } = call
  const began = new Date()
  progress.say(`\n${scenario.name}: ${scenario.proves}`)
  const ran = await runScenario(scenario, call)
  progress.close()
  const verdicts = judge(objectives, ran.record, { isSmoke: options.smoke, isOwn: options.foreign === null })
  for (const { name, recovered, calm } of recoveriesOf(ran.record)) {
    const seconds = (value: number | null): string => (value === null ? 'not' : `${value.toFixed(1)} s`)
    console.log(`  after "${name}": no failures any more ${seconds(recovered)}, as fast as before ${seconds(calm)}`)
  }
  const cost = costOf(ran.record)
  if (cost !== null) {
    const { cpu_us_per_request: each, gateway_percent: gateway, load_percent: load, others_percent: others } = cost
    console.log(
      `  a request costs the gateway ${each === null ? '-' : Math.round(each)} µs; of the machine the gateway had ${Math.round(gateway)} %, ` +
        `the load ${Math.round(load)} %, others ${Math.round(others)} %${others > mostOfOthers ? ': the times say little' : ''}`,
    )
  }
  for (const line of tableOf(verdicts)) console.log(line)
  const report = reportOf(scenario, ran, verdicts, { call, machine, began })
  const path = keepReport(options.out ?? join(root, 'loadtest/results'), scenario.name, began, report)
  console.log(`  ${conclusionOf(verdicts)}, report: ${relative(process.cwd(), path)}`)
  return passes(verdicts)
}

function callOf(options: Options): Call {
  const hasRedis = redisVersion() !== null
  if (options.store === 'redis' && !hasRedis) throw new UsageError('--store redis: redis-server is not installed')
  const store = options.store ?? (hasRedis ? 'redis' : 'node')
  if (store === 'node' && options.store === null && options.foreign === null) {
    console.log('redis-server is not installed: limits are counted on the node, and nothing freezes')
  }
  return { options, store, credentials: createCredentials(), progress: new Progress(), capacity: null }
}

function objectivesOf(options: Options): Map<string, readonly Objective[]> {
  const file = options.objectives ?? join(root, 'loadtest/objectives.yaml')
  const text = readGiven(file)
  const phases = Object.fromEntries(scenarios.map((one) => [one.name, one.phases.map(({ name }) => name)]))
  try {
    return readObjectives(text, phases)
  } catch (error) {
    throw new UsageError(`${file}:\n${(error as Error).message}`)
  }
}

function showUsage(): void {
  console.log('npm run loadtest -- SCENARIO… [options], or all of them: npm run loadtest -- all\n')
  for (const { name, proves, seconds } of scenarios)
    console.log(`  ${name.padEnd(13)} ${String(seconds).padStart(4)} s  ${proves}`)
  console.log(usage)
}
