/**
 * The demo, `npm start`: two services, the gateway in front of them, and commands to try.
 *
 * PORT and ADMIN_PORT move the gateway (8080) and its admin port (9080). Ctrl-C stops everything.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import orders from './orders.mjs'
import { tour } from './tour.mjs'
import users from './users.mjs'

const folder = dirname(fileURLToPath(import.meta.url))
const root = join(folder, '../..')
const host = '127.0.0.1'
const port = Number(process.env.PORT ?? 8080)
const adminPort = Number(process.env.ADMIN_PORT ?? 9080)

build()
await demandFree(port, 'PORT')
await demandFree(adminPort, 'ADMIN_PORT')
const usersPort = await listen(users, 9101)
const ordersPort = await listen(orders, 9102)

const gateway = spawn(process.execPath, [join(root, 'dist/main.js'), 'start', '-c', join(folder, 'sluice.yaml')], {
  stdio: ['ignore', 'inherit', 'inherit'],
  // Away from the terminal's signals: Ctrl-C reaches this process, which ends the gateway with one SIGTERM.
  detached: true,
  env: {
    ...process.env,
    PORT: String(port),
    ADMIN_PORT: String(adminPort),
    USERS_PORT: String(usersPort),
    ORDERS_PORT: String(ordersPort),
  },
})
let stopping = false
gateway.on('exit', (code) => {
  users.close()
  orders.close()
  process.exitCode = stopping ? (code ?? 1) : 1
  if (!stopping) console.error('demo: the gateway ended by itself, see above')
})
process.on('exit', () => gateway.kill())
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (!stopping) gateway.kill('SIGTERM')
    stopping = true
  })
}

if (await ready()) introduce()

/** Compiles when dist/ is missing or older than a source file. Installed packages bring dist/ and no sources. */
function build() {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts/build.mjs'), '--if-outdated'], {
    stdio: 'inherit',
  })
  if (status !== 0) fail('the build failed, see above')
}

async function demandFree(wanted, variable) {
  const server = createServer().listen(wanted, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    fail(
      `port ${wanted} of ${host} can't be used (${error.code}): stop what runs there, or set ${variable} to another one`,
    )
  }
  await once(server.close(), 'close')
}

/** Listens on the port or, where it is taken, on any free one. */
async function listen(server, wanted) {
  server.listen(wanted, host)
  try {
    await once(server, 'listening')
  } catch {
    server.listen(0, host)
    await once(server, 'listening')
  }
  return server.address().port
}

/** Waits until every worker serves the configuration; false when the gateway ended before. */
async function ready() {
  while (gateway.exitCode === null && gateway.signalCode === null && !stopping) {
    const answer = await fetch(`http://${host}:${adminPort}/health/ready`).catch(() => null)
    if (answer?.status === 200) return true
    await delay(100)
  }
  return false
}

function introduce() {
  const lines = tour(`http://${host}:${port}`, `http://${host}:${adminPort}`).map(
    ({ shows, command }) => `  # ${shows}\n  ${command}\n`,
  )
  console.log(`\nThe demo runs. In another terminal:\n\n${lines.join('\n')}\nCtrl-C stops it.\n`)
}

function fail(sentence) {
  console.error(`demo: ${sentence}`)
  process.exit(1)
}
