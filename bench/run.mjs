/** `npm run bench`: builds the gateway and the benches where they are outdated, then runs them. See README.md. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const here = import.meta.dirname
const root = join(here, '..')
const built = join(root, '.cache/bench')
const stamp = join(built, 'built')

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

/** The micro benches measure what is in src/. */
function isOutdated() {
  if (!existsSync(stamp)) return true
  const builtAt = statSync(stamp).mtimeMs
  return ['bench', 'src'].some((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => /\.(ts|json)$/.test(name) && !name.startsWith('results'))
      .some((name) => statSync(join(root, folder, name)).mtimeMs > builtAt),
  )
}

if (isOutdated()) {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
  run(tsc, '-p', join(here, 'tsconfig.json'))
  writeFileSync(stamp, '')
}
run(join(root, 'scripts/build.mjs'), '--if-outdated')
const command = process.argv[2] === 'compare' ? 'compare.js' : 'bench.js'
await import(join(built, 'bench', command))
