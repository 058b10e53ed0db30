/**
 * Follows README as a new user would: `npm start`, every command that the demo prints, Ctrl-C. Exit 1 when an
 * answer isn't the one that the demo promises, or when something is left behind.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tour } from '../examples/demo/tour.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const port = process.env.PORT ?? '8080'
const adminPort = process.env.ADMIN_PORT ?? '9080'
/** A build comes first where dist/ is outdated. */
const startTimeout = 120_000

// A process group of its own, so that the interrupt below reaches what Ctrl-C would reach.
const demo = spawn('npm', ['start'], { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
const ended = once(demo, 'exit')
process.on('exit', () => signal('SIGKILL'))

let failures = 0
try {
  await introduced()
  for (const stop of tour(`http://127.0.0.1:${port}`, `http://127.0.0.1:${adminPort}`)) visit(stop)
} catch (error) {
  report(false, `npm start: ${error.message}`)
}

signal('SIGINT')
const [code] = await ended
report(code === 0, `Ctrl-C ends the demo with exit code ${code}`)
for (const each of [port, adminPort]) report(await closed(each), `port ${each} is free again`)
process.exit(failures === 0 ? 0 : 1)

/** Resolves when the demo has printed its commands. */
function introduced() {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error('it printed no commands in time')), startTimeout)
    let text = ''
    demo.stdout.on('data', (chunk) => {
      text += chunk
      if (!text.includes('Ctrl-C stops it.')) return
      clearTimeout(limit)
      resolve()
    })
    demo.on('exit', () => {
      clearTimeout(limit)
      reject(new Error('it ended before it was ready'))
    })
  })
}

function visit({ command, expects }) {
  const { stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: 10_000 })
  const right = expects.test(stdout)
  report(right, command)
  if (!right) console.log(`expected ${expects}, got:\n${stdout}${stderr}`)
}

function closed(number) {
  return new Promise((resolve) => {
    const socket = createConnection({ port: Number(number), host: '127.0.0.1' })
    socket.on('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.on('error', () => resolve(true))
  })
}

function signal(name) {
  try {
    if (demo.pid !== undefined) process.kill(-demo.pid, name)
  } catch {
    // The group is gone: that is what the signal was for.
  }
}

function report(right, what) {
  if (!right) failures++
  console.log(`${right ? 'ok    ' : 'FAILED'}  ${what}`)
}
