/**
 * Clients of the flood bench, in a process of their own: a file with the job in, result out, as JSON. `steady` sends good tokens at a fixed
 * rate and measures how long each answer takes; `flood` sends a bad token that nobody has seen before on every connection as
 * soon as the last one is answered.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'

export interface SteadyJob {
  readonly role: 'steady'
  readonly port: number
  readonly seconds: number
  readonly connections: number
  /** Requests a second. */
  readonly rate: number
  /** In turns. */
  readonly tokens: readonly string[]
}

export interface FloodJob {
  readonly role: 'flood'
  readonly port: number
  readonly seconds: number
  readonly connections: number
  /** A good token: with other signatures it makes as many bad ones as one likes. */
  readonly token: string
}

export interface SteadyResult {
  readonly requests: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly failed: number
}

export interface FloodResult {
  readonly requests: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
}

/** One connection with one request at a time. */
class Line {
  readonly #socket: Socket
  readonly #onAnswer: (status: string) => void
  #text = ''

  constructor(port: number, onAnswer: (status: string) => void) {
    this.#onAnswer = onAnswer
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setEncoding('latin1').on('data', (text: string) => this.#read(text))
    this.#socket.on('error', () => onAnswer('error'))
  }

  send(token: string): void {
    this.#socket.write(`GET /api/users/42 HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${token}\r\n\r\n`)
  }

  end(): void {
    this.#socket.destroy()
  }

  #read(text: string): void {
    this.#text += text
    const head = this.#text.indexOf('\r\n\r\n')
    if (head === -1) return
    const length = Number(/content-length: *(\d+)/i.exec(this.#text)?.[1] ?? 0)
    if (this.#text.length < head + 4 + length) return
    const status = this.#text.slice(9, 12)
    this.#text = ''
    this.#onAnswer(status)
  }
}

async function runSteady({ port, seconds, connections, rate, tokens }: SteadyJob): Promise<SteadyResult> {
  const times: number[] = []
  let failed = 0
  let requests = 0
  const idle: { line: Line; sentAt: number }[] = []
  const lines = Array.from({ length: connections }, () => {
    const one = {
      line: new Line(port, (status) => {
        if (status !== '200') failed += 1
        times.push(performance.now() - one.sentAt)
        idle.push(one)
      }),
      sentAt: 0,
    }
    return one
  })
  idle.push(...lines)
  const begin = performance.now()
  /** When the requests were due that found no free connection: they wait, and that counts. */
  const late: number[] = []
  for (let now = begin; now - begin < seconds * 1000; now = performance.now()) {
    const due = Math.floor(((now - begin) / 1000) * rate)
    for (; requests < due; requests++) late.push(now)
    while (late.length > 0) {
      const one = idle.shift()
      if (one === undefined) break
      one.sentAt = late.shift() as number
      one.line.send(tokens[times.length % tokens.length] as string)
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  for (const { line } of lines) line.end()
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN
  return { requests: times.length, p50: at(0.5), p99: at(0.99), failed: failed + late.length }
}

async function runFlood({ port, seconds, connections, token }: FloodJob): Promise<FloodResult> {
  const statuses: Record<string, number> = {}
  const signature = token.lastIndexOf('.') + 1
  const [start, end] = [token.slice(0, signature + 20), token.slice(signature + 32)]
  let requests = 0
  const bad = (): string => `${start}${(requests += 1).toString(36).padStart(12, '0')}${end}`
  const lines = Array.from({ length: connections }, () => {
    const line: Line = new Line(port, (status) => {
      statuses[status] = (statuses[status] ?? 0) + 1
      line.send(bad())
    })
    return line
  })
  for (const line of lines) line.send(bad())
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  for (const line of lines) line.end()
  return { requests, statuses }
}

const job = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as SteadyJob | FloodJob
console.log(JSON.stringify(job.role === 'steady' ? await runSteady(job) : await runFlood(job)))
