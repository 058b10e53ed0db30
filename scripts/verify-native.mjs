/**
 * Checks the prebuilt binary of the native front end against native-notes/uwebsockets.sha256, then loads it.
 * Runs as this package's `postinstall`, so it uses nothing but Node. `--all` checks every binary that is present.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const supported = 'Node.js 20.18.1 or later 20.x on Linux with glibc 2.27, or Node.js 22, 24 or 25 with glibc 2.38'

// `npm install --package-lock-only` runs this too and installs nothing.
if (process.env.npm_config_package_lock_only === 'true') process.exit(0)

const folder = packageFolder()
const own = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`
const known = knownHashes()

const names = process.argv.includes('--all') ? readdirSync(folder).filter((name) => name.endsWith('.node')) : [own]
for (const name of names) check(name)
load()
console.log(`uWebSockets.js: ${names.length === 1 ? own : `${names.length} binaries`} verified`)

function packageFolder() {
  try {
    return dirname(require.resolve('uWebSockets.js/package.json'))
  } catch {
    return refuse('uWebSockets.js is not installed: run npm ci in this folder.')
  }
}

/** The recorded hashes by file name; the file has the format of sha256sum. */
function knownHashes() {
  const lines = readFileSync(join(root, 'native-notes/uwebsockets.sha256'), 'utf8').trim().split('\n')
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]))
}

function check(name) {
  const file = join(folder, name)
  if (!existsSync(file)) {
    refuse(`uWebSockets.js has no binary for Node.js ${process.version} here (${name}): use ${supported}.`)
  }
  const hash = createHash('sha256').update(readFileSync(file)).digest('hex')
  if (hash !== known.get(name)) {
    refuse(
      `${name} of uWebSockets.js is not the binary that native-notes/uwebsockets.sha256 lists (its SHA-256 is ${hash}): do not run it, see native-notes/uwebsockets.md.`,
    )
  }
}

/** A binary that is right may still not load: built for a newer C library, or for another one (musl). */
function load() {
  try {
    require(join(folder, own))
  } catch (error) {
    const reason = String(error.message).split(' (required by')[0]
    refuse(`${own} does not load on this system (${reason}): use ${supported}.`)
  }
}

function refuse(sentence) {
  console.error(`sluice: ${sentence}`)
  process.exit(1)
}
