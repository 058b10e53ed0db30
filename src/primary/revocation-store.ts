import type { RedisClient, RedisReply, RedisScript } from '../services/redis.ts'
import { RedisFault } from '../services/redis.ts'
import type { Log } from '../telemetry/logger.ts'
import { type Field, fieldOf, packed, type Revocation, unpacked } from './revocation.ts'

/** The node's list, as far as the store has to do with it. */
export interface LocalList {
  readonly all: ReadonlyMap<Field, Revocation>
  /** Takes over what is later than what it has. */
  learn(revocations: readonly Revocation[]): void
}

/**
 * Writes revocations to a hash, unless it has later ones, and tells all gateways of those that it took.
 * KEYS[1] the hash; ARGV[1] the channel; then field, time (0: now, as Redis has it) and the rest of each. Its field `#` counts
 * the messages, so that who has missed one can tell. Returns the times that the fields have now.
 */
const write = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, times = {}, {}
for i = 2, #ARGV, 3 do
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  local before = old and tonumber(string.match(old, '^%d+')) or 0
  local at = tonumber(ARGV[i + 1])
  if at == 0 then at = math.max(now, before + 1) end
  if at > before then
    local text = string.format('%.0f', at) .. ' ' .. ARGV[i + 2]
    redis.call('HSET', KEYS[1], ARGV[i], text)
    taken[#taken + 1] = ARGV[i]
    taken[#taken + 1] = text
  end
  times[#times + 1] = string.format('%.0f', math.max(at, before))
end
if #taken > 0 then
  local number = redis.call('HINCRBY', KEYS[1], '#', 1)
  redis.call('PUBLISH', ARGV[1], string.format('%.0f', number) .. ' ' .. cjson.encode(taken))
end
return times
`

/** Takes out those of the given fields whose time is over. KEYS[1] the hash; ARGV the fields. */
const forget = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = 0
for i = 1, #ARGV do
  local text = redis.call('HGET', KEYS[1], ARGV[i])
  local expires = text and tonumber(string.match(text, '^%d+ (%d+)')) or 0
  if expires > 0 and expires <= now then gone = gone + redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return gone
`

/** Revocations that one command carries: enough to be quick, not enough to hold Redis up. */
const batch = 500
/** Fields that Redis looks at in one step of reading all. */
const step = 1000
/** Milliseconds between two looks whether a message was missed: after a failover, say, of which nobody tells. */
const checkEvery = 5000
/** Milliseconds before a failed reading is tried again, at first and at most. */
const pauses = { first: 250, longest: 5000 }

/**
 * The list in Redis, which all gateways share. Each has the whole of it in memory and hears of changes; whenever it may have
 * missed one it reads all of it again. What Redis lacks, because it was restarted empty or could not be reached, a gateway
 * that knows it writes again: of two revocations about the same the later counts, so the order does not matter.
 */
export class RevocationStore {
  readonly #redis: RedisClient
  readonly #list: LocalList
  readonly #log: Log
  readonly #key: string
  readonly #write: RedisScript
  readonly #forget: RedisScript
  /** Number of the last message up to which all are known; -1: nothing is known. */
  #last = -1
  /** Numbers of messages that came while all was read. */
  #heard: number[] = []
  #isReading = false
  #readAgain = false
  #failures = 0
  #synced = false
  #closed = false
  #retry: NodeJS.Timeout | undefined
  #check: NodeJS.Timeout | undefined
  #ends: (() => void)[] = []
  readonly #waiting: (() => void)[] = []

  constructor(redis: RedisClient, list: LocalList, log: Log) {
    this.#redis = redis
    this.#list = list
    this.#log = log
    this.#key = redis.key('revocations')
    this.#write = redis.script(write)
    this.#forget = redis.script(forget)
  }

  /** Begins to listen and to read. */
  open(): void {
    this.#ends = [
      this.#redis.subscribe(
        this.#key,
        (message) => this.#hear(message),
        () => this.read(),
      ),
      this.#redis.onState((state) => {
        if (state === 'ready') this.read()
        else this.#synced = false
      }),
    ]
    this.#check = setInterval(() => void this.#compare(), checkEvery).unref()
    this.read()
  }

  /** Whether the list is that of Redis, as far as can be known. */
  get synced(): boolean {
    return this.#synced
  }

  /** Resolves when the list was read for the first time. */
  first(): Promise<void> {
    if (this.#last !== -1) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Writes what was just decided; the list learns the times that Redis gives. False when not all could be written. */
  async decide(revocations: readonly Revocation[]): Promise<boolean> {
    for (let i = 0; i < revocations.length; i += batch) {
      const part = revocations.slice(i, i + batch)
      const times = await this.#put(part, () => 0)
      if (times === null) return false
      this.#list.learn(part.map((revocation, n) => ({ ...revocation, at: times[n] ?? revocation.at })))
    }
    return true
  }

  /** Lets Redis forget what is over. */
  async forget(fields: readonly Field[]): Promise<void> {
    for (let i = 0; i < fields.length && this.#redis.ready; i += batch)
      await this.#forget.run([this.#key], fields.slice(i, i + batch))
  }

  /** Reads all of the list and writes what it lacks; once more if it is at it. Tried until it works. */
  read(): void {
    clearTimeout(this.#retry)
    this.#readAgain = true
    if (!this.#isReading) void this.#readAll()
  }

  close(): void {
    this.#closed = true
    for (const end of this.#ends) end()
    clearInterval(this.#check)
    clearTimeout(this.#retry)
  }

  async #readAll(): Promise<void> {
    this.#isReading = true
    while (this.#readAgain && !this.#closed) {
      this.#readAgain = false
      this.#heard = []
      const fault = await this.#readOnce()
      if (fault === null) {
        this.#failures = 0
        continue
      }
      this.#synced = false
      // Of a Redis that can't be reached the connection tells.
      if (fault.kind === 'refused' && this.#failures === 0)
        this.#log.error({ reason: fault.detail }, 'revocations can not be read from Redis')
      const pause = Math.min(pauses.longest, pauses.first * 2 ** Math.min(this.#failures++, 10))
      this.#retry = setTimeout(() => this.read(), pause).unref()
      break
    }
    this.#isReading = false
  }

  async #readOnce(): Promise<RedisFault | null> {
    const number = await this.#redis.run('HGET', [this.#key, '#'])
    if (number instanceof RedisFault) return number
    const times = new Map<Field, number>()
    const over: Field[] = []
    let cursor = '0'
    do {
      const reply = await this.#redis.run('HSCAN', [this.#key, cursor, 'COUNT', step])
      if (reply instanceof RedisFault) return reply
      const [next, flat] = reply as [string, string[]]
      cursor = next
      const found = revocationsOf(flat)
      for (const { kind, value, at, expires } of found) {
        times.set(fieldOf(kind, value), at)
        if (expires !== 0 && expires <= Date.now()) over.push(fieldOf(kind, value))
      }
      // What a store says that was left meanwhile, counts no more.
      if (this.#closed) return null
      this.#list.learn(found)
    } while (cursor !== '0')

    const fault = await this.#supply(times)
    if (fault !== null) return fault
    this.#last = this.#heard.sort((a, b) => a - b).reduce((last, n) => (n === last + 1 ? n : last), Number(number ?? 0))
    this.#synced = true
    for (const resolve of this.#waiting.splice(0)) resolve()
    void this.forget(over)
    return null
  }

  /** Writes what Redis, which has fields of these times, lacks. */
  async #supply(times: ReadonlyMap<Field, number>): Promise<RedisFault | null> {
    const lacking: Revocation[] = []
    const now = Date.now()
    for (const [field, revocation] of this.#list.all) {
      const isOver = revocation.expires !== 0 && revocation.expires <= now
      if (!isOver && revocation.at > (times.get(field) ?? 0)) lacking.push(revocation)
    }
    for (let i = 0; i < lacking.length; i += batch) {
      const reply = await this.#put(lacking.slice(i, i + batch), ({ at }) => at)
      if (reply === null) return new RedisFault('disconnected', 'not all revocations could be written')
    }
    if (lacking.length > 0)
      this.#log.info({ revocations: lacking.length }, 'revocations that Redis lacked were written')
    return null
  }

  /** The times that the fields have now; `null` when they could not be written. */
  async #put(revocations: readonly Revocation[], timeOf: (one: Revocation) => number): Promise<number[] | null> {
    const args = revocations.flatMap((one) => [fieldOf(one.kind, one.value), timeOf(one), packed(one)])
    const reply = await this.#write.run([this.#key], [this.#key, ...args])
    if (!(reply instanceof RedisFault)) return (reply as RedisReply[]).map(Number)
    this.#synced = false
    if (reply.kind === 'refused') this.#log.error({ reason: reply.detail }, 'revocations can not be written to Redis')
    return null
  }

  #hear(message: string): void {
    if (this.#closed) return
    const blank = message.indexOf(' ')
    const number = Number(message.slice(0, blank))
    try {
      this.#list.learn(revocationsOf(JSON.parse(message.slice(blank + 1)) as string[]))
    } catch {
      return this.read()
    }
    if (this.#isReading) this.#heard.push(number)
    else if (number === this.#last + 1) this.#last = number
    // One or more were missed. A lower number is one that came late, or Redis has begun anew: the comparison tells.
    else if (number > this.#last) this.read()
  }

  async #compare(): Promise<void> {
    if (!this.#synced || this.#isReading) return
    const before = this.#last
    const reply = await this.#redis.run('HGET', [this.#key, '#'])
    if (reply instanceof RedisFault || this.#isReading) return
    const number = Number(reply ?? 0)
    // What was said meanwhile is on its way.
    if (number < before || (number > this.#last && this.#last === before)) this.read()
  }
}

function revocationsOf(flat: readonly string[]): Revocation[] {
  const revocations: Revocation[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const revocation = unpacked(flat[i] as string, flat[i + 1] as string)
    if (revocation !== null) revocations.push(revocation)
  }
  return revocations
}
