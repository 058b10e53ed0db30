import { join } from 'node:path'
import { profileClock, profileFlags, readProfile, type Span } from './budget/cpu-profile.ts'
import { canPerf, forgetSymbols, perfFlags, record, samplePeriod, samplesOf } from './budget/perf.ts'
import { type Row, rowOf, rows } from './budget/rows.ts'
import { countSyscalls } from './budget/syscalls.ts'
import { childrenOf, threadTimes, timeBetween, userAndKernel } from './budget/threads.ts'
import { prepareFullChain } from './fullchain.ts'
import { type Generator, measure } from './load.ts'
import { createFolder, isInstalled, type Started } from './processes.ts'
import { table } from './report.ts'
import type { Plan } from './rounds.ts'
import { type Proxy, root, startGateway, startOrigin } from './servers.ts'
import { median } from './statistics.ts'

export interface BudgetRow {
  readonly name: string
  /** Nanoseconds a request, and how many of them were spent in the kernel; `null`: not known. */
  readonly time: number
  readonly kernel: number | null
}

/** Where the processor time of a request goes, in nanoseconds a request. */
export interface Budget {
  readonly workload: string
  /** `cpu-prof` sees what JavaScript does and what that calls. */
  readonly means: 'perf' | 'cpu-prof'
  readonly rows: readonly BudgetRow[]
  readonly sum: number
  /** Of a worker that nobody looked into, measured in turns with the other: the kernel's account of its threads. */
  readonly measured: number
  readonly measuredKernel: number
  /** Of the worker that was looked into. */
  readonly profiled: number
  /** Calls of the kernel a request; `null`: strace is missing. */
  readonly syscalls: Readonly<Record<string, number>> | null
  readonly requests: number
}

export interface BudgetResult {
  readonly generator: Generator
  readonly budgets: readonly Budget[]
  /** What was left out, and why. */
  readonly notes: readonly string[]
}

interface Workload {
  readonly name: string
  readonly config: string
  readonly env: Readonly<Record<string, string>>
  readonly credentials: readonly string[]
}

/** Takes a worker apart under load: pass-through, and the full chain with each of its stores. */
export async function runBudget(plan: Plan, tell: (text: string) => void): Promise<BudgetResult> {
  const generator: Generator = isInstalled('wrk') ? 'wrk' : 'autocannon'
  const notes: string[] = []
  if (threadTimes(process.pid).size === 0)
    return { generator, budgets: [], notes: ['the budget needs the /proc file system of Linux'] }
  const usesPerf = canPerf()
  if (!usesPerf) notes.push('without perf (apt-get install linux-perf, as root): the kernel is not taken apart')
  const origin = await startOrigin()
  const started: Started[] = []
  const budgets: Budget[] = []
  try {
    for (const workload of await workloadsOf(started, notes)) {
      budgets.push(await budgetOf(workload, generator, origin.port, usesPerf, plan, tell))
    }
    return { generator, budgets, notes }
  } finally {
    await Promise.all([...started.map((one) => one.stop()), origin.stop()])
  }
}

async function workloadsOf(started: Started[], notes: string[]): Promise<Workload[]> {
  const passthrough = { name: 'pass-through', config: 'passthrough.yaml', env: {}, credentials: [] }
  const { credentials, stores, env } = await prepareFullChain(started)
  if (stores[0] === 'node') notes.push('without redis-server (apt-get install redis-server): no full chain with Redis')
  const chains = stores.map((store) => ({
    name: `full chain, ${store}`,
    config: 'fullchain.yaml',
    env: env(store),
    credentials,
  }))
  return [passthrough, ...chains]
}

/** A gateway with the times of its worker so far. */
class Subject {
  readonly pid: number
  readonly port: number
  requests = 0
  readonly #times: number[] = []
  #main = 0
  #others = 0
  #user = 0
  #kernel = 0

  constructor({ port, started }: Proxy) {
    this.port = port
    this.pid = childrenOf(started.process.pid as number)[0] ?? 0
  }

  /** One measurement. */
  async load(generator: Generator, plan: Plan, workload: Workload): Promise<void> {
    const { seconds, connections, paths } = plan
    const before = threadTimes(this.pid)
    const [user, kernel] = userAndKernel(this.pid)
    const { credentials } = workload
    const { requests } = await measure(generator, { port: this.port, connections, seconds, paths, credentials })
    const { main, others } = timeBetween(this.pid, before, threadTimes(this.pid))
    const [userAfter, kernelAfter] = userAndKernel(this.pid)
    this.#times.push((main + others) / requests)
    this.#main += main
    this.#others += others
    this.#user += userAfter - user
    this.#kernel += kernelAfter - kernel
    this.requests += requests
  }

  /** Nanoseconds a request: the median of the measurements. */
  get time(): number {
    return median(this.#times)
  }

  get main(): number {
    return this.#main / this.requests
  }

  get others(): number {
    return this.#others / this.requests
  }

  get kernelShare(): number {
    return this.#kernel / (this.#user + this.#kernel)
  }
}

async function budgetOf(
  workload: Workload,
  generator: Generator,
  originPort: number,
  usesPerf: boolean,
  plan: Plan,
  tell: (text: string) => void,
): Promise<Budget> {
  const folder = createFolder()
  const config = join(root, 'bench/configs', workload.config)
  const credential = workload.credentials[0] ?? null
  const start = (flags: readonly string[]): Promise<Proxy> =>
    startGateway(config, originPort, workload.env, credential, flags)
  const plainGateway = await start([])
  const profiledGateway = await start(usesPerf ? perfFlags : profileFlags(folder))
  const plain = new Subject(plainGateway)
  const profiled = new Subject(profiledGateway)
  const spent = new Spent()
  const spans: Span[] = []
  try {
    for (const subject of [plain, profiled]) {
      const { seconds, connections, paths } = { ...plan, seconds: plan.warmup }
      await measure(generator, { port: subject.port, connections, seconds, paths, credentials: workload.credentials })
    }
    for (let round = 1; round <= plan.rounds; round++) {
      await plain.load(generator, plan, workload)
      if (usesPerf) {
        const file = join(folder, `perf-${round}.data`)
        const recording = await record(profiled.pid, file)
        await profiled.load(generator, plan, workload)
        await recording.stop()
        await samplesOf(file, ({ thread, stack }) => {
          const isKernel = stack[0]?.library === 'kernel'
          spent.add(rowOf(stack, thread === profiled.pid), samplePeriod, isKernel)
        })
      } else {
        const from = profileClock()
        await profiled.load(generator, plan, workload)
        spans.push({ from, to: profileClock() })
      }
      const times = [plain, profiled].map(({ time }) => (time / 1000).toFixed(1)).join(' µs, looked into ')
      tell(`  budget of ${workload.name}, round ${round}/${plan.rounds}: ${times} µs a request`)
    }
    const syscalls = await syscallsOf(new Subject(plainGateway), generator, plan, workload)
    await Promise.all([plainGateway.started.stop(), profiledGateway.started.stop()])
    if (!usesPerf) {
      readProfile(folder, profiled.pid, spans, (stack, time) => spent.add(rowOf(stack, true), time, false))
      spent.add('compiler', profiled.others * profiled.requests, false)
    }
    const list = spent.rows(profiled.requests, usesPerf)
    const known = list.reduce((total, { time }) => total + time, 0)
    if (!usesPerf) {
      const name = 'event loop and its system calls: reading, parsing, polling'
      list.push({ name, time: Math.max(0, profiled.main + profiled.others - known), kernel: null })
    }
    return {
      workload: workload.name,
      means: usesPerf ? 'perf' : 'cpu-prof',
      rows: list,
      sum: list.reduce((total, { time }) => total + time, 0),
      measured: plain.time,
      measuredKernel: plain.time * plain.kernelShare,
      profiled: profiled.time,
      syscalls,
      requests: profiled.requests,
    }
  } finally {
    forgetSymbols(profiled.pid)
    forgetSymbols(profiledGateway.started.process.pid as number)
    await Promise.all([plainGateway.started.stop(), profiledGateway.started.stop()])
  }
}

/** Nanoseconds by row. */
class Spent {
  readonly #times = new Map<Row, { all: number; kernel: number }>()

  add(row: Row, time: number, isKernel: boolean): void {
    const times = this.#times.get(row) ?? { all: 0, kernel: 0 }
    times.all += time
    if (isKernel) times.kernel += time
    this.#times.set(row, times)
  }

  /** A request's part of each, in the order in which a request meets them. */
  rows(requests: number, knowsKernel: boolean): BudgetRow[] {
    return (Object.keys(rows) as Row[]).flatMap((row) => {
      const times = this.#times.get(row)
      if (times === undefined) return []
      return [{ name: rows[row], time: times.all / requests, kernel: knowsKernel ? times.kernel / requests : null }]
    })
  }
}

async function syscallsOf(
  subject: Subject,
  generator: Generator,
  plan: Plan,
  workload: Workload,
): Promise<Readonly<Record<string, number>> | null> {
  const counts = await countSyscalls(subject.pid, () => subject.load(generator, { ...plan, seconds: 1 }, workload))
  if (counts === null || subject.requests === 0) return null
  const often = [...counts]
    .map(([name, count]) => [name, count / subject.requests] as const)
    .filter(([, count]) => count > 0.01)
  return Object.fromEntries(often.toSorted((a, b) => b[1] - a[1]))
}

export function budgetText({ generator, budgets, notes }: BudgetResult): string {
  return [...budgets.map((budget) => textOf(budget, generator)), ...notes].join('\n\n')
}

function textOf(budget: Budget, generator: Generator): string {
  const { workload, means, sum, measured, measuredKernel, profiled, syscalls } = budget
  const ns = (time: number | null): string => (time === null ? '' : Math.round(time).toString())
  const share = (time: number): string => `${((time / sum) * 100).toFixed(1)} %`
  const kernel = means === 'perf' ? budget.rows.reduce((total, row) => total + (row.kernel ?? 0), 0) : null
  const lines = table(
    [`${workload}: ns a request (${generator}, ${means})`, 'all', 'share', 'of it kernel'],
    [
      ...budget.rows.map(({ name, time, kernel: own }) => [name, ns(time), share(time), ns(own)]),
      ['sum', ns(sum), share(sum), ns(kernel)],
      ['measured, nobody looking', ns(measured), share(measured), ns(measuredKernel)],
      ['measured, looked into', ns(profiled), share(profiled), ''],
    ],
  )
  const calls = Object.entries(syscalls ?? {}).map(([name, count]) => `${name} ${count.toFixed(2)}`)
  const difference = `the sum differs from what was measured by ${((sum / measured - 1) * 100).toFixed(1)} %`
  return [lines, difference, ...(calls.length === 0 ? [] : [`system calls a request: ${calls.join(', ')}`])].join('\n')
}
