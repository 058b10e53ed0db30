import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { recordInstruments } from '../../test/support/instruments.ts'
import { type RedisServer, startRedis, startRedisCluster, stopRedis } from '../../test/support/redis.ts'
import type { Topic } from '../core/messages.ts'
import { RedisClient } from '../services/redis.ts'
import { RevokedCredentials } from '../services/revocations.ts'
import { pluginLog } from '../telemetry/logger.ts'
import { Link as WorkerEnd } from '../worker/link.ts'
import { Link } from './link.ts'
import type { Revocation } from './revocation.ts'
import { readItem } from './revocation-item.ts'
import { type Outcome, RevocationList } from './revocations.ts'

/** The services of a node without its processes: what they say to each other is cloned as on the channel. */
class Node {
  readonly lines: Record<string, unknown>[] = []
  readonly instruments = recordInstruments()
  readonly #link = new Link()
  readonly #log = pino({ level: 'info' }, { write: (line: string) => void this.lines.push(JSON.parse(line)) })
  readonly list = new RevocationList(this.#link, this.#log, this.instruments)
  #redis: RedisClient | null = null
  #workers = 0
  isClustered = false

  constructor() {
    nodes.push(this)
  }

  configure(server: RedisServer | null, file: string | null = null, max_entries = 1_000_000): void {
    this.#redis?.close()
    this.#redis = server === null ? null : this.#client(server)
    this.list.configure(
      { security: { require_auth: false, revocations: { file, token_lifetime: 3_600_000, max_entries } } },
      this.#redis,
    )
  }

  /** A worker; `deaf`: it never answers. */
  join(deaf = false): { readonly revoked: RevokedCredentials; readonly id: number; leave(): void; goDeaf(): void } {
    const id = ++this.#workers
    let isDeaf = deaf
    const end = new WorkerEnd((message) => {
      if (message.type === 'service' && !isDeaf) this.#link.hear(id, message.topic, structuredClone(message.body))
    })
    const revoked = new RevokedCredentials({ link: end })
    const tell = (topic: Topic, body: unknown): void => end.hear(topic, structuredClone(body))
    this.#link.join({ id, tell })
    return { revoked, id, leave: () => this.#link.leave(id), goDeaf: () => (isDeaf = true) }
  }

  revoke(...items: object[]): Promise<Outcome> {
    return this.list.revoke(items.map((item) => this.#read(item)))
  }

  async close(): Promise<void> {
    await this.list.close()
    this.#redis?.close()
  }

  #read(item: object): Revocation {
    const read = readItem(item, this.list.rules)
    if (typeof read === 'string') throw new Error(read)
    return read
  }

  #client({ port }: RedisServer): RedisClient {
    return new RedisClient(
      {
        mode: this.isClustered ? 'cluster' : 'single',
        addresses: [{ host: '127.0.0.1', port }],
        master: null,
        username: null,
        password: null,
        sentinel_username: null,
        sentinel_password: null,
        database: 0,
        tls: null,
        key_prefix: 'sluice:',
        connect_timeout: 1000,
        command_timeout: 250,
        max_in_flight: 1000,
      },
      { role: 'primary', instruments: this.instruments, log: pluginLog(this.#log) },
    )
  }
}

const nodes: Node[] = []
let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-revocations-'))
})
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()))
  await stopRedis()
  rmSync(folder, { recursive: true, force: true })
})

function startNode(server: RedisServer | null = null, file: string | null = null): Node {
  const node = new Node()
  node.configure(server, file)
  return node
}

async function until(what: string, isSo: () => boolean | Promise<boolean>, bound = 15_000): Promise<void> {
  const end = Date.now() + bound
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not so within ${bound} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe('on one node', () => {
  test('a revocation holds on every worker when it is answered, and on those that come later', async () => {
    const node = startNode()
    const [first, second] = [node.join(), node.join()]
    const before = first.revoked.generation
    expect(first.revoked.has('jti', 'a')).toBe(false)
    const outcome = await node.revoke({ jti: 'a' }, { sub: 'alice', reason: 'lost laptop' })
    expect(outcome).toMatchObject({ workers: 2, silent: [], stored: 'memory', complete: true })
    for (const { revoked } of [first, second, node.join()]) {
      expect([revoked.has('jti', 'a'), revoked.has('sub', 'alice'), revoked.has('sub', 'a')]).toEqual([
        true,
        true,
        false,
      ])
    }
    expect(first.revoked.generation).not.toBe(before)
    expect(node.instruments.read('sluice_revocations_entries{kind="sub"}')).toBe(1)
    expect(node.instruments.read('sluice_revocations_acknowledge_seconds')).toBe(1)
  })

  test('it is forgotten when its time is over, and can be taken back', async () => {
    const node = startNode()
    const { revoked } = node.join()
    await node.revoke({ jti: 'short', expires_in: 0.05 }, { jti: 'long' }, { key: 'k' })
    await until('over', () => !revoked.has('jti', 'short'))
    expect(revoked.has('jti', 'long')).toBe(true)
    expect(await node.list.restore('key', 'other')).toBe(null)
    expect(await node.list.restore('key', 'k')).toMatchObject({ workers: 1, complete: true })
    expect(revoked.has('key', 'k')).toBe(false)
    expect(await node.list.restore('key', 'k')).toBe(null)
    await node.revoke({ key: 'k' })
    expect(revoked.has('key', 'k')).toBe(true)
  })

  test('it may be meant for what was issued before a moment', async () => {
    const node = startNode()
    const { revoked } = node.join()
    const moment = Date.now() - 60_000
    await node.revoke({ sub: 'alice', issued_before: new Date(moment).toISOString() }, { sub: 'bob' })
    expect(revoked.has('sub', 'alice', moment - 1)).toBe(true)
    expect(revoked.has('sub', 'alice', moment)).toBe(false)
    expect(revoked.has('sub', 'alice')).toBe(true)
    expect(revoked.has('sub', 'bob', moment)).toBe(true)
    await node.revoke({ sub: 'alice' })
    expect(revoked.has('sub', 'alice', moment)).toBe(true)
    expect(node.join().revoked.has('sub', 'alice', moment)).toBe(true)
  })

  test('a worker that dies does not hold it up, one that hangs is named', async () => {
    const node = startNode()
    const dying = node.join()
    node.join()
    dying.goDeaf()
    const outcome = node.revoke({ jti: 'a' })
    dying.leave()
    expect(await outcome).toMatchObject({ workers: 1, silent: [] })

    node.join().goDeaf()
    expect(await node.revoke({ jti: 'b' })).toMatchObject({ workers: 1, silent: [process.pid], complete: true })
  })

  test('there is a bound', async () => {
    const node = new Node()
    node.configure(null, null, 2)
    await node.revoke({ jti: 'a' }, { jti: 'b' })
    const at = { ...[...node.list.all.values()][0], value: 'c' } as Revocation
    expect(node.list.hasRoomFor([at])).toBe(false)
    expect(node.list.hasRoomFor([{ ...at, value: 'a' }])).toBe(true)
  })
})

describe('over one Redis', () => {
  test('what one node revokes holds on the others at once, and what it takes back', async () => {
    const server = await startRedis()
    const [one, other] = [startNode(server), startNode(server)]
    const there = other.join().revoked
    await Promise.all([one.list.known(5000), other.list.known(5000)])
    expect(await one.revoke({ jti: 'a', reason: 'é: x' }, { sub: 'b', issued_before: 5 })).toMatchObject({
      stored: 'redis',
      complete: true,
    })
    // By the message: the comparison that finds what was missed comes later.
    const isThere = (): boolean => there.has('jti', 'a') && there.has('sub', 'b') && !there.has('sub', 'b', 6000)
    await until('there, too', isThere, 3000)
    expect(other.list.all.get('jti:a')?.reason).toBe('é: x')
    await one.list.restore('jti', 'a')
    await until('taken back there', () => !there.has('jti', 'a'))

    const late = startNode(server)
    await late.list.known(5000)
    const { revoked } = late.join()
    expect([revoked.has('jti', 'a'), revoked.has('sub', 'b')]).toEqual([false, true])
  })

  test('a Redis that comes back empty gets the list again', async () => {
    const server = await startRedis()
    const [one, other] = [startNode(server), startNode(server)]
    const { revoked } = one.join()
    await one.revoke({ jti: 'a' }, { key: 'k' })
    await until('known', () => other.list.all.size === 2 && other.list.synced)
    await server.restart()
    expect(revoked.has('jti', 'a')).toBe(true)
    await until('written again', async () => (await server.command('HEXISTS', 'sluice:revocations', 'jti:a')) === 1)
    await until('in step', () => one.list.synced && other.list.synced)
    expect(one.instruments.read('sluice_revocations_synced')).toBe(1)
    await other.revoke({ jti: 'b' })
    await until('heard', () => revoked.has('jti', 'b'))
    expect(revoked.has('jti', 'a')).toBe(true)
  })

  test('a Redis that was emptied gets it again, and a message that was missed is noticed', async () => {
    const server = await startRedis()
    const node = startNode(server)
    await node.revoke({ jti: 'a' })
    await until('in step', () => node.list.synced)
    await server.command('FLUSHALL')
    await until('written again', async () => (await server.command('HEXISTS', 'sluice:revocations', 'jti:a')) === 1)
    await server.command('HSET', 'sluice:revocations', 'jti:quiet', `${Date.now()} 0 0 0 `)
    await server.command('HINCRBY', 'sluice:revocations', '#', '1')
    await until('read', () => node.list.all.has('jti:quiet'))
  })

  test.each(['stopped', 'frozen'])(
    'while it is %s a revocation holds here, and goes to the others later',
    async (how) => {
      const server = await startRedis()
      const [one, other] = [startNode(server), startNode(server)]
      const [here, there] = [one.join().revoked, other.join().revoked]
      await one.revoke({ jti: 'before' })
      await until('known', () => there.has('jti', 'before'))
      if (how === 'stopped') await server.stop()
      else server.freeze()

      const outcome = await one.revoke({ sub: 'alice' })
      expect(outcome).toMatchObject({ workers: 1, stored: 'memory', complete: false })
      expect(here.has('sub', 'alice')).toBe(true)
      expect(there.has('sub', 'alice')).toBe(false)
      expect(there.has('jti', 'before')).toBe(true)
      await until('known to be out of step', () => !one.list.synced)

      if (how === 'stopped') await server.restart()
      else server.thaw()
      await until('heard', () => there.has('sub', 'alice'))
      await until('in step', () => one.list.synced)
    },
  )

  test('what was taken back while a node was away is not brought back by it', async () => {
    const server = await startRedis()
    const [one, other] = [startNode(server), startNode(server)]
    const there = other.join().revoked
    await one.revoke({ key: 'k' }, { key: 'l' })
    await until('known', () => there.has('key', 'k') && there.has('key', 'l'))
    other.configure(null)
    await one.list.restore('key', 'k')
    expect(there.has('key', 'k')).toBe(true)
    other.configure(server)
    await until('taken back there', () => !there.has('key', 'k'))
    await until('in step', () => other.list.synced)
    expect(there.has('key', 'l')).toBe(true)
    expect(one.list.all.get('key:k')?.removed).toBe(true)
  })

  test('a decision counts though a clock that was ahead made the one before', async () => {
    const server = await startRedis()
    const node = startNode(server)
    const { revoked } = node.join()
    await node.list.known(5000)
    await server.command('HSET', 'sluice:revocations', 'key:k', `${Date.now() + 3_600_000} 0 0 0 `)
    await server.command('HINCRBY', 'sluice:revocations', '#', '1')
    await until('read', () => revoked.has('key', 'k'))
    await node.list.restore('key', 'k')
    const late = startNode(server)
    await late.list.known(5000)
    expect(late.join().revoked.has('key', 'k')).toBe(false)
  })

  test('a cluster will do as well', async () => {
    const cluster = await startRedisCluster()
    const pair = cluster.nodes.slice(0, 2).map((server) => {
      const node = new Node()
      node.isClustered = true
      node.configure(server)
      return node
    })
    const there = pair[1]?.join().revoked
    await Promise.all(pair.map((node) => node.list.known(5000)))
    expect(await pair[0]?.revoke({ jti: 'a' })).toMatchObject({ stored: 'redis', complete: true })
    await until('heard', () => there?.has('jti', 'a') === true, 3000)
  })

  test('what is over leaves Redis', async () => {
    const server = await startRedis()
    const node = startNode(server)
    await node.revoke({ jti: 'a', expires_in: 0.05 }, { jti: 'b' })
    await new Promise((resolve) => setTimeout(resolve, 100))
    const late = startNode(server)
    await late.list.known(5000)
    await until('gone', async () => (await server.command('HEXISTS', 'sluice:revocations', 'jti:a')) === 0)
    expect(await server.command('HEXISTS', 'sluice:revocations', 'jti:b')).toBe(1)
    expect([...late.list.all.keys()]).toEqual(['jti:b'])
  })

  test('a hundred thousand are no trouble', async () => {
    const server = await startRedis()
    const [one, other] = [startNode(server), startNode(server)]
    const [here, there] = [one.join().revoked, other.join().revoked]
    await Promise.all([one.list.known(5000), other.list.known(5000)])
    for (let i = 0; i < 10; i++)
      await one.revoke(...Array.from({ length: 10_000 }, (_, n) => ({ jti: `token-${i}-${n}` })))
    expect(here.has('jti', 'token-9-9999')).toBe(true)
    await until('there, too', () => there.has('jti', 'token-9-9999'))
    const late = startNode(server)
    await late.list.known(20_000)
    expect(late.list.all.size).toBe(100_000)
    expect(late.join().revoked.has('jti', 'token-9-9999')).toBe(true)
  }, 60_000)
})

describe('in a file', () => {
  const file = (): string => join(folder, 'revoked.jsonl')

  test('they outlive the gateway', async () => {
    const node = startNode(null, file())
    const { revoked } = node.join()
    expect(await node.revoke({ jti: 'a' }, { sub: 'b', reason: 'r' })).toMatchObject({ stored: 'file', complete: true })
    await node.list.restore('jti', 'a')
    expect(revoked.has('jti', 'a')).toBe(false)
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    await node.close()
    const again = startNode(null, file()).join().revoked
    expect([again.has('jti', 'a'), again.has('sub', 'b')]).toEqual([false, true])
  })

  test('they may be written by hand, while it runs', async () => {
    writeFileSync(file(), '# who left\n{"sub":"alice"}\n\n{"jti":"x"}')
    const node = startNode(null, file())
    const { revoked } = node.join()
    expect([revoked.has('sub', 'alice'), revoked.has('jti', 'x')]).toEqual([true, true])
    await node.revoke({ key: 'k' })
    expect(readFileSync(file(), 'utf8')).toMatch(/^# who left\n\{"sub":"alice"\}\n\n\{"jti":"x"\}\n\{"key":"k",.*\}\n$/)
    writeFileSync(file(), '{"sub":"bob"}\n{"jti":"x"}\n')
    await until('read', () => revoked.has('sub', 'bob'))
    expect([revoked.has('sub', 'alice'), revoked.has('jti', 'x'), revoked.has('key', 'k')]).toEqual([
      false,
      true,
      false,
    ])
    expect(node.lines.filter(({ msg }) => msg === 'revocations were read again').length).toBe(1)
  })

  test('a line that makes no sense is told of, without its content', () => {
    writeFileSync(file(), '{"sub":"alice"}\n{"token":"secret-thing"}\nsecret-thing\n{"jti":"x"}\n')
    const node = startNode(null, file())
    const { revoked } = node.join()
    expect([revoked.has('sub', 'alice'), revoked.has('jti', 'x')]).toEqual([true, true])
    expect(node.lines.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'holds a token: write "token_hash", the SHA-256 of it'],
      [3, 'it is not JSON'],
    ])
    expect(JSON.stringify(node.lines)).not.toContain('secret-thing')
  })

  test('a file that can not be written leaves them in memory, and says so', async () => {
    const node = startNode(null, join(folder, 'not-there', 'revoked.jsonl'))
    const { revoked } = node.join()
    expect(await node.revoke({ jti: 'a' })).toMatchObject({ stored: 'memory', complete: false })
    expect(revoked.has('jti', 'a')).toBe(true)
    expect(node.lines.at(-1)?.['msg']).toBe('the file of revocations can not be written')
  })

  test('dead lines are cleared away', async () => {
    const node = startNode(null, file())
    for (let i = 0; i < 4; i++)
      await node.revoke(...Array.from({ length: 400 }, (_, n) => ({ jti: `j${n}`, reason: `${i}` })))
    const lines = readFileSync(file(), 'utf8').trim().split('\n')
    expect(lines.length).toBeGreaterThanOrEqual(400)
    for (let i = 0; i < 4; i++)
      await node.revoke(...Array.from({ length: 400 }, (_, n) => ({ jti: `j${n}`, reason: `${i}` })))
    expect(readFileSync(file(), 'utf8').trim().split('\n').length).toBeLessThan(2200)
    await node.close()
    expect(startNode(null, file()).list.all.size).toBe(400)
  })

  test('what was revoked before there was a file goes into it', async () => {
    const node = startNode()
    await node.revoke({ jti: 'a' })
    node.configure(null, file())
    await until('written', () => existsSync(file()) && readFileSync(file(), 'utf8').includes('"jti":"a"'))
    expect(node.list.all.has('jti:a')).toBe(true)
  })

  test('beside Redis it is a copy, for a start while Redis is away', async () => {
    const server = await startRedis()
    const node = startNode(server, file())
    await node.revoke({ jti: 'a' }, { jti: 'b' })
    await node.list.restore('jti', 'b')
    await node.close()
    await server.stop()

    const again = startNode(server, file())
    const { revoked } = again.join()
    expect([revoked.has('jti', 'a'), revoked.has('jti', 'b')]).toEqual([true, false])
    await again.list.known(100)
    expect(again.lines.some(({ msg }) => String(msg).startsWith('revocations are not known yet'))).toBe(true)
    expect(await again.revoke({ jti: 'c' })).toMatchObject({ stored: 'file', complete: false })
    await server.restart()
    await until('written', async () => (await server.command('HEXISTS', 'sluice:revocations', 'jti:c')) === 1)
    expect(await server.command('HEXISTS', 'sluice:revocations', 'jti:a')).toBe(1)
  })
})
