/** `npm run bench`: builds the gateway and the benches, then runs them. `npm run bench -- --help` tells the options. */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..')
const built = join(root, '.cache/bench')
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

rmSync(built, { recursive: true, force: true })
run(tsc, '-p', join(here, 'tsconfig.json'))
run(join(root, 'scripts/build.mjs'), '--if-outdated')
await import(join(built, 'bench/bench.js'))
