/** Leaves only the binary of uWebSockets.js that this platform loads: 54 of them weigh 250 MB. For images. */
import { readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const folder = dirname(createRequire(import.meta.url).resolve('uWebSockets.js/package.json'))
const own = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`

const names = readdirSync(folder)
if (!names.includes(own)) {
  console.error(`sluice: ${own} is not there, nothing was removed`)
  process.exit(1)
}
for (const name of names) if (name.endsWith('.node') && name !== own) rmSync(join(folder, name))
for (const name of ['docs', 'examples', 'misc', 'mvp', 'src', 'tests'])
  rmSync(join(folder, name), { recursive: true, force: true })
