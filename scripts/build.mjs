/** Compiles src/ to dist/ and makes the command executable. `--if-outdated`: only when a source file is newer. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const main = join(root, 'dist/main.js')

if (process.argv.includes('--if-outdated') && !outdated()) process.exit(0)

// Beside dist/ and then in its place: a build that fails leaves the former one, and nobody meets half of one.
const fresh = join(root, '.cache', `dist-${process.pid}`)
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', fresh], {
  stdio: 'inherit',
  cwd: root,
})
if (status !== 0) {
  rmSync(fresh, { recursive: true, force: true })
  process.exit(status ?? 1)
}
chmodSync(join(fresh, 'main.js'), 0o755)
rmSync(join(root, 'dist'), { recursive: true, force: true })
renameSync(fresh, join(root, 'dist'))

/** A package that was installed from a registry has dist/ and no sources: never outdated. */
function outdated() {
  if (!existsSync(join(root, 'src'))) return false
  if (!existsSync(main)) return true
  const built = statSync(main).mtimeMs
  const sources = readdirSync(join(root, 'src'), { recursive: true }).map((name) => join('src', name))
  return ['tsconfig.build.json', 'package.json', ...sources].some((name) => statSync(join(root, name)).mtimeMs > built)
}
