import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { createFolder, loadCore, outputOf, type Started, startProcess } from './processes.ts'

/** What sends the requests. autocannon is the generator of record; wrk needs less of the core that it shares. */
export type Generator = 'autocannon' | 'wrk'

export interface LoadJob {
  readonly port: number
  readonly connections: number
  readonly seconds: number
  /** Asked for in turns. */
  readonly paths: readonly string[]
  /** Values of the Authorization field, in turns; none: without. */
  readonly credentials?: readonly string[]
  /** Speaks TLS and believes every certificate. */
  readonly secure?: boolean
  /** Bytes of body to send with POST; 0: GET. */
  readonly upload?: number
}

export interface LoadResult {
  readonly requests: number
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Answers other than 2xx, errors, time-outs. */
  readonly failed: number
}

/** Runs one measurement on the load core. Throws when the generator fails. */
export function measure(generator: Generator, job: LoadJob): Promise<LoadResult> {
  return generator === 'wrk' ? measureWithWrk(job) : measureWithAutocannon(job)
}

/** The requests of a job: as many as it takes to see every path and every credential. */
export function requestsOf({ paths, credentials = [] }: LoadJob): { path: string; credential: string | null }[] {
  return Array.from({ length: Math.max(paths.length, credentials.length) }, (_, i) => ({
    path: paths[i % paths.length] as string,
    credential: credentials[i % credentials.length] ?? null,
  }))
}

interface Client {
  readonly started: Started
  readonly lines: Interface
}

let client: Client | null = null

/** One process for all measurements: what its engine has learnt in one it knows in the next. Jobs in, results out, by line. */
async function measureWithAutocannon(job: LoadJob): Promise<LoadResult> {
  if (client === null) {
    const started = startProcess(loadCore, process.execPath, [join(import.meta.dirname, 'load-client.js')])
    client = { started, lines: createInterface({ input: started.process.stdout as NodeJS.ReadableStream }) }
  }
  const { started, lines } = client
  started.process.stdin?.write(`${JSON.stringify(job)}\n`)
  return new Promise((resolve, reject) => {
    lines.once('line', (line) => {
      lines.removeAllListeners('close')
      resolve(JSON.parse(line) as LoadResult)
    })
    lines.once('close', () => {
      client = null
      reject(new Error(`autocannon failed\n${started.stderr()}`))
    })
  })
}

async function measureWithWrk(job: LoadJob): Promise<LoadResult> {
  const started = startProcess(loadCore, 'wrk', wrkArguments(job))
  return readWrk(await outputOf(started, 'wrk'))
}

function wrkArguments(job: LoadJob): string[] {
  const { port, connections, seconds, upload = 0, secure = false } = job
  const script = join(createFolder(), 'requests.lua')
  const list = requestsOf(job)
    .map(({ path, credential }) => {
      const headers = credential === null ? '{}' : `{ authorization = ${JSON.stringify(credential)} }`
      return upload === 0
        ? `wrk.format('GET', ${JSON.stringify(path)}, ${headers})`
        : `wrk.format('POST', ${JSON.stringify(path)}, ${headers}, string.rep('x', ${upload}))`
    })
    .join(', ')
  writeFileSync(
    script,
    `local requests, i = nil, 0
init = function() requests = { ${list} } end
request = function() i = i % #requests + 1; return requests[i] end
done = function(summary, latency)
  local errors = summary.errors
  print(string.format('RESULT %d %d %f %f %d', summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
`,
  )
  const url = `${secure ? 'https' : 'http'}://127.0.0.1:${port}`
  // wrk counts whole seconds.
  return ['-t1', `-c${connections}`, `-d${Math.max(1, Math.round(seconds))}s`, '--timeout', '10s', '-s', script, url]
}

/** wrk counts in microseconds. */
function readWrk(output: string): LoadResult {
  const match = /RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)/.exec(output)
  if (match === null) throw new Error(`wrk said nothing\n${output}`)
  const [requests, microseconds, p50, p99, failed] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ]
  return { requests, perSecond: (requests * 1e6) / microseconds, p50: p50 / 1000, p99: p99 / 1000, failed }
}
