import { execFileSync, spawnSync } from 'node:child_process'

/** Runs once before all tests: makes sure that there is a Redis to start, and installs one where that is possible. */
export default function setup(): void {
  if (hasRedis()) return
  // At run level 1 the package does not start a server of its own.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const options = { stdio: 'ignore', env } as const
  try {
    execFileSync('apt-get', ['update'], options)
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'], options)
  } catch {
    // No root, no network, no Debian: the line below says what to do.
  }
  if (!hasRedis()) throw new Error('the tests start redis-server, which is not in PATH: install Redis 6.2 or newer')
}

function hasRedis(): boolean {
  return spawnSync('redis-server', ['--version']).status === 0
}
