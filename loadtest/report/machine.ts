import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { root } from '../bed/process.ts'
import { redisVersion } from '../bed/redis.ts'

/** What the figures were measured on: without it they say nothing. */
export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memory: string
  readonly kernel: string
  readonly versions: Readonly<Record<string, string | null>>
}

export function describeMachine(): Machine {
  const processors = cpus()
  return {
    processor: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: `${type()} ${release()}`,
    versions: {
      sluice: packageVersion(root),
      commit: commit(),
      node: process.version,
      'uWebSockets.js': packageVersion(join(root, 'node_modules/uWebSockets.js')),
      redis: redisVersion(),
    },
  }
}

function packageVersion(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version
}

/** With a plus where files differ from it; `null` outside of a repository. */
function commit(): string | null {
  const run = (...args: string[]): string =>
    spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' }).stdout?.trim() ?? ''
  const name = run('rev-parse', '--short', 'HEAD')
  if (name === '') return null
  return run('status', '--porcelain', '--', 'src', 'package-lock.json') === '' ? name : `${name}+`
}
