import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

export interface RedisOptions {
  /** Of the default user. */
  readonly password?: string
  /** PEM files: speaks TLS only, and asks clients for a certificate of `ca` when `verifyClients` is set. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string; readonly verifyClients?: boolean }
  /** More arguments of redis-server: `['--maxmemory', '10mb']`. */
  readonly args?: readonly string[]
}

const running = new Set<RedisServer>()
process.on('exit', () => {
  for (const server of running) server.killNow()
})

/** For `afterEach` or `afterAll`: ends every Redis that this file has started. */
export async function stopRedis(): Promise<void> {
  await Promise.all([...running].map((server) => server.dispose()))
}

/** Starts a real Redis on a free port of 127.0.0.1, without persistence, and waits until it answers. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  for (let tries = 5; ; tries--) {
    const server = new RedisServer(await freePort(), options)
    running.add(server)
    try {
      await server.start()
      return server
    } catch (error) {
      await server.dispose()
      // Somebody else may have taken the port meanwhile.
      if (tries === 1 || !String(error).includes('Address already in use')) throw error
    }
  }
}

/** Three masters that share the slots, no replicas. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-require-full-coverage', 'no']
  const nodes = await Promise.all(
    [0, 1, 2].map(async () => startRedis({ args: [...args, '--cluster-port', String(await freePort())] })),
  )
  const slots = 16_384
  for (const [i, node] of nodes.entries()) {
    const first = Math.floor((slots * i) / nodes.length)
    const last = Math.floor((slots * (i + 1)) / nodes.length) - 1
    await node.command('CLUSTER', 'ADDSLOTSRANGE', first, last)
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
  }
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]]
  for (const other of others) {
    const bus = String(await other.command('CONFIG', 'GET', 'cluster-port')).split(',')[1] ?? ''
    await first.command('CLUSTER', 'MEET', '127.0.0.1', other.port, bus)
  }
  for (const node of nodes) {
    await until('a working cluster', async () => {
      const info = String(await node.command('CLUSTER', 'INFO'))
      return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')
        ? info.includes('cluster_slots_assigned:16384')
        : false
    })
  }
  return { nodes, addresses: nodes.map(({ port }) => `127.0.0.1:${port}`) }
}

export interface RedisCluster {
  readonly nodes: readonly RedisServer[]
  /** `127.0.0.1:port` of each node. */
  readonly addresses: readonly string[]
}

/** A master, a replica that follows it, and a sentinel that promotes the replica half a second after the master is gone. */
export async function startSentinel(): Promise<RedisSentinel> {
  const name = 'sluice-test'
  const master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(master.port)] })
  await until('a replica in step', async () =>
    String(await replica.command('INFO', 'replication')).includes('master_link_status:up'),
  )
  const watch = `sentinel monitor ${name} 127.0.0.1 ${master.port} 1
sentinel down-after-milliseconds ${name} 500
sentinel failover-timeout ${name} 3000`
  const sentinel = await startRedis({ args: ['--sentinel', watch] })
  await until('a sentinel that knows the replica', async () => {
    const replicas = (await sentinel.command('SENTINEL', 'REPLICAS', name)) as unknown[]
    return replicas.length === 1
  })
  return { name, master, replica, sentinel, addresses: [`127.0.0.1:${sentinel.port}`] }
}

export interface RedisSentinel {
  /** What the sentinel calls the master. */
  readonly name: string
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinel: RedisServer
  /** `127.0.0.1:port` of each sentinel. */
  readonly addresses: readonly string[]
}

/** A real redis-server process. */
export class RedisServer {
  readonly port: number
  readonly folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'))
  readonly #options: RedisOptions
  #process: ChildProcess | null = null
  #ended: Promise<void> = Promise.resolve()
  #output = ''
  #client: Redis | null = null

  /** Use `startRedis`. */
  constructor(port: number, options: RedisOptions) {
    this.port = port
    this.#options = options
  }

  /** With the password, if there is one. */
  get url(): string {
    const { tls, password } = this.#options
    const user = password === undefined ? '' : `:${encodeURIComponent(password)}@`
    return `${tls === undefined ? 'redis' : 'rediss'}://${user}127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#process?.pid ?? 0
  }

  /** Everything that it has written. */
  get output(): string {
    return this.#output
  }

  async start(): Promise<void> {
    this.#output = ''
    const child = spawn('redis-server', this.#arguments(), { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#process = child
    const take = (chunk: Buffer): void => {
      this.#output += chunk.toString()
    }
    child.stdout?.on('data', take)
    child.stderr?.on('data', take)
    let hasEnded = false
    this.#ended = new Promise((resolve) => {
      const ended = (): void => {
        hasEnded = true
        resolve()
      }
      child.once('exit', ended)
      child.once('error', (error) => {
        this.#output += error.message
        ended()
      })
    })
    await until(`an answer of redis-server (${this.#output})`, async () => {
      if (hasEnded) throw new Error(`redis-server ended:\n${this.#output}`)
      return (await this.command('PING').catch(() => '')) === 'PONG'
    })
  }

  /** Ends it as an operator does. */
  async stop(): Promise<void> {
    this.#hangUp()
    this.#process?.kill('SIGTERM')
    await this.#ended
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    this.#hangUp()
    this.killNow()
    await this.#ended
  }

  /** Starts it anew on the same port, ended or not; it remembers nothing. */
  async restart(): Promise<void> {
    await this.kill()
    for (let tries = 50; ; tries--) {
      try {
        return await this.start()
      } catch (error) {
        if (tries === 1 || !String(error).includes('Address already in use')) throw error
        await sleep(50)
      }
    }
  }

  /** Lets it hang: connections stay open and new ones are accepted, nothing is answered. */
  freeze(): void {
    this.#hangUp()
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  /** Any command, through a connection of the test. */
  command(name: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    return this.#connected().call(name, ...args)
  }

  /** Takes away all scripts, as a restart does: the next EVALSHA is answered NOSCRIPT. */
  async flushScripts(): Promise<void> {
    await this.command('SCRIPT', 'FLUSH')
  }

  /** Ends it however and removes its folder. */
  async dispose(): Promise<void> {
    running.delete(this)
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** For when the process ends: nothing is waited for. */
  killNow(): void {
    this.#process?.kill('SIGKILL')
  }

  #connected(): Redis {
    if (this.#client === null) {
      const { password, tls } = this.#options
      this.#client = new Redis({
        host: '127.0.0.1',
        port: this.port,
        maxRetriesPerRequest: 1,
        protocol: 2,
        // A sentinel has no database to load.
        enableReadyCheck: false,
        retryStrategy: () => 20,
        ...(password === undefined ? {} : { password }),
        ...(tls === undefined ? {} : { tls: { rejectUnauthorized: false, ...this.#ownCertificate() } }),
      })
      this.#client.on('error', () => {})
    }
    return this.#client
  }

  /** A connection that waits for a frozen Redis would keep the test from ending. */
  #hangUp(): void {
    this.#client?.disconnect()
    this.#client = null
  }

  #ownCertificate(): object {
    const { tls } = this.#options
    return tls === undefined ? {} : { cert: tls.cert, key: tls.key }
  }

  #arguments(): string[] {
    const { password, tls, args = [] } = this.#options
    const isSentinel = args[0] === '--sentinel'
    if (isSentinel) {
      // It keeps what it learns in its file.
      const file = join(this.folder, 'sentinel.conf')
      writeFileSync(file, `port ${this.port}\nbind 127.0.0.1\ndir ${this.folder}\n${args[1] ?? ''}\n`)
      return [file, '--sentinel']
    }
    const list = ['--bind', '127.0.0.1', '--dir', this.folder, '--save', '', '--appendonly', 'no']
    if (password !== undefined) list.push('--requirepass', password)
    if (tls === undefined) return [...list, '--port', String(this.port), ...args]
    const files = { cert: tls.cert, key: tls.key, ca: tls.ca }
    const paths = Object.entries(files).map(([name, pem]) => {
      const path = join(this.folder, `${name}.pem`)
      writeFileSync(path, pem)
      return path
    })
    const [cert = '', key = '', ca = ''] = paths
    const clients = tls.verifyClients === true ? 'yes' : 'no'
    list.push('--port', '0', '--tls-port', String(this.port), '--tls-auth-clients', clients)
    list.push('--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca)
    return [...list, ...args]
  }
}

/**
 * A port that is free, and that stays so while its Redis is down for a moment: below the range that outgoing connections
 * take theirs from.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 20_000)
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer()
      probe.once('error', () => resolve(false))
      probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`no ${what} within 20 s`)
    await sleep(20)
  }
}
