/** A constant rate of small requests over keep-alive connections, reads and writes mixed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import autocannon from 'autocannon'

const rate = 1000
const connections = 32
/** Seconds before memory is measured: code is compiled, pools are filled. */
const warmUp = 5

/** Resolves with what was measured, named as in objectives.json. */
export async function steady(seconds, say) {
  const [port, adminPort] = [await freePort(), await freePort()]
  const demo = spawn(process.execPath, [join(import.meta.dirname, '../examples/demo/run.mjs')], {
    env: { ...process.env, PORT: String(port), ADMIN_PORT: String(adminPort) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(demo, 'exit')
  try {
    await introduced(demo)
    const url = `http://127.0.0.1:${port}`
    say(`warming up for ${warmUp} s`)
    await load(url, warmUp, say)
    const before = memory(demo.pid)
    const result = await load(url, seconds, say)
    const growth = memory(demo.pid) - before
    demo.kill('SIGINT')
    const [code] = await ended
    return {
      rate_at_least: round(result['2xx'] / result.duration / rate),
      failed_at_most: result.errors + result.timeouts + result.non2xx,
      p99_ms_at_most: result.latency.p99,
      rss_growth_mb_at_most: round(growth / 1024),
      exit_code: code,
    }
  } finally {
    demo.kill('SIGTERM')
  }
}

async function load(url, seconds, say) {
  const run = autocannon({
    url,
    connections,
    duration: seconds,
    overallRate: rate,
    requests: [
      { method: 'GET', path: '/api/users/1' },
      { method: 'GET', path: '/api/users' },
      { method: 'GET', path: '/healthz' },
      { method: 'POST', path: '/api/orders', body: '{"item":"card deck"}' },
    ],
  })
  let done = 0
  run.on('response', () => done++)
  const progress = setInterval(() => say(`${done} answers`), 5_000)
  try {
    return await run
  } finally {
    clearInterval(progress)
  }
}

/** The demo prints its commands when the gateway is ready. What it prints later is the access log: dropped. */
function introduced(demo) {
  return new Promise((resolve, reject) => {
    let text = ''
    demo.stdout.on('data', (chunk) => {
      if (text.includes('Ctrl-C stops it.')) return
      text += chunk
      if (text.includes('Ctrl-C stops it.')) resolve()
    })
    demo.on('exit', () => reject(new Error('the demo ended before it was ready')))
  })
}

/** Resident memory of a process and its descendants, in kB. */
function memory(pid) {
  const own = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return children === '' ? own : children.split(' ').reduce((sum, child) => sum + memory(child), own)
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  await once(server.close(), 'close')
  return port
}

function round(value) {
  return Math.round(value * 1000) / 1000
}
