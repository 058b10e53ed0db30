/** `npm run bench:compare <ref>`: another commit of the gateway against this tree, in turns, on the workloads of this tree. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { writeKeys } from './fullchain.ts'
import { describeMachine } from './machine.ts'
import { createFolder, endEverything } from './processes.ts'
import { Progress } from './progress.ts'
import { groupText, machineText } from './report.ts'
import { compare, type Plan, type Subject } from './rounds.ts'
import { root, startGateway } from './servers.ts'
import { onStage } from './workloads/stage.ts'

const help = `npm run bench:compare -- <ref> [options]

Builds the commit in a folder of its own and measures it against this tree, in turns. Above 1, this tree is the faster one.

  --rounds N    rounds (7)
  --seconds N   seconds of a measurement (3)
  --quick       shows that it runs, says nothing about speed
`

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '3' },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function run(folder: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed\n${stdout}${stderr}`)
  return stdout.trim()
}

/** Checks a commit out and builds it. Its dist/main.js. */
function build(commit: string): string {
  const folder = join(createFolder(), 'tree')
  run(root, 'git', 'worktree', 'add', '--detach', folder, commit)
  const lock = (of: string): string => readFileSync(join(of, 'package-lock.json'), 'utf8')
  // The same packages are here already.
  if (lock(folder) === lock(root)) symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  else run(folder, 'npm', 'ci', '--no-audit', '--no-fund')
  run(folder, process.execPath, 'scripts/build.mjs')
  return join(folder, 'dist/main.js')
}

async function compareWith(ref: string): Promise<void> {
  const commit = run(root, 'git', 'rev-parse', '--short', `${ref}^{commit}`)
  const main = build(commit)
  console.log(`${machineText(describeMachine())}\nthis tree against ${ref} (${commit})\n`)
  const { quick } = options
  const plan: Plan = {
    rounds: quick ? 1 : Number(options.rounds),
    seconds: quick ? 0.3 : Number(options.seconds),
    warmup: quick ? 0.2 : 2,
    connections: 64,
    paths: ['/api/users/42'],
    cold: quick,
  }
  const folder = createFolder()
  const credentials = await writeKeys(folder, quick ? 10 : 1000)
  const env = { BENCH_FOLDER: folder, BENCH_STORE: 'node', BENCH_REDIS_URL: 'redis://127.0.0.1:1' }
  const workloads = [
    { title: 'Pass-through', config: 'passthrough.yaml', load: {} },
    { title: 'Full chain', config: 'fullchain.yaml', load: { credentials } },
    { title: '64 kB down', config: 'passthrough.yaml', load: { paths: [`/api/bytes/${64 * 1024}`] } },
  ]
  const progress = new Progress(workloads.map(() => 1))
  for (const { title, config, load } of workloads) {
    progress.begin(title)
    const groups = await onStage(async ({ origin, hold }) => {
      const start = async (name: string, path: string): Promise<Subject> => {
        const file = join(root, 'bench/configs', config)
        const proxy = await startGateway(file, origin.port, env, credentials[0], [], { main: path })
        return { ...hold(proxy), name, load }
      }
      const subjects = [await start('this tree', join(root, 'dist/main.js')), await start(commit, main)]
      return compare(title, subjects, plan, progress.step, { choice: quick ? ['autocannon'] : 'auto' })
    })
    progress.clear()
    for (const group of groups) console.log(`${groupText(group)}\n`)
  }
}

process.once('exit', () => {
  endEverything()
  if (existsSync(join(root, '.git'))) spawnSync('git', ['worktree', 'prune'], { cwd: root })
})
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(130))

// run.mjs passes its own word on.
const ref = positionals[1]
if (options.help || ref === undefined) {
  console.log(help)
} else {
  await compareWith(ref).catch((err: unknown) => {
    console.error(err instanceof Error ? err.message : err)
    process.exitCode = 1
  })
}
// The generator waits for the next job.
process.exit()
