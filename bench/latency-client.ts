/**
 * The clients of the latency bench, in a process of their own: a file with the job in, result out, as JSON.
 *
 * Open loop: requests are due by a clock, whatever became of those before, and the time of each counts from when it was due.
 * One that finds no free connection waits, and that counts too. So a pause of whoever is measured is felt by all requests
 * that were due meanwhile, and not, as with clients that wait for an answer before they ask again, by one.
 */

import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { build, type Histogram } from 'hdr-histogram-js'

export interface LatencyJob {
  readonly port: number
  readonly connections: number
  /** Requests a second. */
  readonly rate: number
  /** What comes within the first `warmup` seconds is not counted. */
  readonly warmup: number
  readonly seconds: number
  readonly requests: readonly { readonly path: string; readonly credential: string | null }[]
}

/** Milliseconds. */
export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

export interface LatencyResult {
  /** Requests that were due, and that were sent before the time was up. */
  readonly due: number
  readonly sent: number
  /** Answers other than 200, and connections that broke. */
  readonly failed: number
  readonly latency: Percentiles
  /** From when a request was due until this process looked at its clock: what it adds by itself. */
  readonly lag: Percentiles
}

/** Milliseconds that requests in flight are waited for in the end. */
const patience = 2000

/** All connections share it: a chunk is looked at before the next one is read. */
const memory = Buffer.allocUnsafeSlow(65_536)

/** One keep-alive connection with one request at a time. */
class Line {
  /** When its request was due, by the clock of the schedule. */
  due = 0
  #socket: Socket
  readonly #port: number
  readonly #onAnswer: (line: Line, isGood: boolean) => void
  /** Bytes of the answer that are still to come; -1: its head has not come. */
  #left = -1
  #head = ''
  #closed = false

  constructor(port: number, onAnswer: (line: Line, isGood: boolean) => void) {
    this.#port = port
    this.#onAnswer = onAnswer
    this.#socket = this.#connect()
  }

  send(request: Buffer, due: number): void {
    this.due = due
    this.#left = -1
    this.#head = ''
    this.#socket.write(request)
  }

  close(): void {
    this.#closed = true
    this.#socket.destroy()
  }

  #connect(): Socket {
    const onread = { buffer: memory, callback: (size: number) => this.#read(size) }
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true, onread })
    socket.on('error', () => {})
    socket.once('close', () => {
      if (this.#closed) return
      this.#socket = this.#connect()
      this.#onAnswer(this, false)
    })
    return socket
  }

  #read(size: number): boolean {
    if (this.#left !== -1) this.#left -= size
    else {
      this.#head += memory.toString('latin1', 0, size)
      const end = this.#head.indexOf('\r\n\r\n')
      if (end === -1) return true
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#head)?.[1] ?? 0)
      this.#left = end + 4 + length - this.#head.length
    }
    if (this.#left > 0) return true
    this.#onAnswer(this, this.#left === 0 && this.#head.startsWith('200', 9))
    return true
  }
}

function histogram(): Histogram {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: 3 })
}

function percentilesOf(microseconds: Histogram): Percentiles {
  const at = (percentile: number): number => microseconds.getValueAtPercentile(percentile) / 1000
  return { p50: at(50), p99: at(99), p999: at(99.9) }
}

function run(job: LatencyJob): Promise<LatencyResult> {
  const { port, connections, rate, warmup, seconds, requests } = job
  const texts = requests.map(({ path, credential }) => {
    const field = credential === null ? '' : `authorization: ${credential}\r\n`
    return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n${field}\r\n`, 'latin1')
  })
  const latency = histogram()
  const lag = histogram()
  const idle: Line[] = []
  /** Requests that are due by when they are. */
  const waiting: number[] = []
  let first = 0
  let failed = 0
  let inFlight = 0
  let next = 0
  let sent = 0
  const gap = 1000 / rate
  const counted = Math.ceil(warmup * rate)
  const all = counted + Math.floor(seconds * rate)
  const lines = Array.from({ length: connections }, () => new Line(port, answered))
  idle.push(...lines)
  const start = performance.now() + 50
  const countedFrom = start + counted * gap

  function answered(line: Line, isGood: boolean): void {
    // One that broke while it had nothing to do is made anew where it stands.
    if (line.due === 0) return
    inFlight--
    if (line.due >= countedFrom) {
      if (isGood) latency.recordValue(Math.max(1, Math.round((performance.now() - line.due) * 1000)))
      else failed++
    }
    line.due = 0
    if (first < waiting.length) begin(line, waiting[first++] as number)
    else idle.push(line)
  }

  function begin(line: Line, due: number): void {
    inFlight++
    if (due >= countedFrom) sent++
    line.send(texts[sent % texts.length] as Buffer, due)
  }

  return new Promise((resolve) => {
    const turn = (): void => {
      const now = performance.now()
      while (next < all && start + next * gap <= now) {
        const due = start + next * gap
        if (next++ >= counted) lag.recordValue(Math.max(1, Math.round((now - due) * 1000)))
        const line = idle.pop()
        if (line === undefined) waiting.push(due)
        else begin(line, due)
      }
      const end = start + all * gap
      const isOver = next === all && now >= end
      if (!isOver || (inFlight > 0 && now < end + patience)) {
        setImmediate(turn)
        return
      }
      for (const line of lines) line.close()
      failed += inFlight
      resolve({ due: all - counted, sent, failed, latency: percentilesOf(latency), lag: percentilesOf(lag) })
    }
    // Timers are a millisecond apart, in which many requests are due: the clock is looked at without a pause.
    setImmediate(turn)
  })
}

const job = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as LatencyJob
console.log(JSON.stringify(await run(job)))
process.exit(0)
