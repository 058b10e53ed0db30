import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { canPin } from './processes.ts'
import { root } from './servers.ts'

/** What the figures were measured on: without it they say nothing. */
export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memory: string
  readonly kernel: string
  readonly pinned: boolean
  readonly versions: Readonly<Record<string, string>>
}

export function describeMachine(): Machine {
  const processors = cpus()
  return {
    processor: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: `${type()} ${release()}`,
    pinned: canPin,
    versions: {
      sluice: packageVersion(root),
      node: process.version,
      'uWebSockets.js': packageVersion(join(root, 'node_modules/uWebSockets.js')),
      undici: packageVersion(join(root, 'node_modules/undici')),
      autocannon: packageVersion(join(root, 'node_modules/autocannon')),
      '@fastify/http-proxy': packageVersion(join(root, 'node_modules/@fastify/http-proxy')),
      'http-proxy': packageVersion(join(root, 'node_modules/http-proxy')),
      nginx: commandVersion('nginx', '-v', /nginx\/([\d.]+)/),
      haproxy: commandVersion('haproxy', '-v', /version ([\d.]+)/),
      caddy: commandVersion('caddy', 'version', /v?([\d.]+)/),
      redis: commandVersion('redis-server', '-v', /v=([\d.]+)/),
      wrk: commandVersion('wrk', '-v', /wrk \D*([\d.]+)/),
    },
  }
}

function packageVersion(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version
}

function commandVersion(command: string, flag: string, pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(command, [flag], { encoding: 'utf8' })
  return pattern.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[1] ?? 'not installed'
}
