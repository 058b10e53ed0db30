/**
 * `npm run loadtest -- <scenario>`: builds the gateway and the load test where they are outdated, then runs it. See README.md.
 * With `SLUICE_MAIN`, the command of another build is tested, as it is.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const here = import.meta.dirname
const root = join(here, '..')
const built = join(root, '.cache/loadtest')
const stamp = join(built, 'built')

if (outdated()) {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
  run(tsc, '-p', join(here, 'tsconfig.json'))
  writeFileSync(stamp, '')
}
if (process.env.SLUICE_MAIN === undefined) run(join(root, 'scripts/build.mjs'), '--if-outdated')
await import(join(built, 'loadtest/loadtest.js'))

function outdated() {
  if (!existsSync(stamp)) return true
  const builtAt = statSync(stamp).mtimeMs
  const sources = readdirSync(here, { recursive: true }).filter((name) => /\.(ts|json)$/.test(name))
  return sources.some((name) => !name.startsWith('results') && statSync(join(here, name)).mtimeMs > builtAt)
}

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
