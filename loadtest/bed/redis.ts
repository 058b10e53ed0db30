import { spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, type Started, startProcess } from './process.ts'

/** Version of redis-server; `null` when it is not installed. */
export function redisVersion(): string | null {
  const { stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
  return /v=([\d.]+)/.exec(stdout ?? '')?.[1] ?? null
}

export interface Redis {
  readonly url: string
  readonly started: Started
}

/** A Redis of its own that writes nothing to disk. */
export async function startRedis(folder: string): Promise<Redis> {
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no']
  const started = startProcess('redis-server', args)
  for (let tries = 0; !started.output().includes('Ready to accept connections'); tries++) {
    if (started.hasEnded || tries > 1000) throw new Error(`redis-server did not start\n${started.output()}`)
    await delay(20)
  }
  return { url: `redis://127.0.0.1:${port}`, started }
}
