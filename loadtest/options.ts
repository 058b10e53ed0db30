import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { didYouMean } from '../src/config/nearest.ts'
import type { Asked } from './kinds.ts'
import type { Target } from './load/job.ts'

/** What the command line asks for. */
export interface Options {
  /** Names, in the order in which they run. */
  readonly scenarios: readonly string[]
  /** A few seconds of each, in which only errors decide. */
  readonly smoke: boolean
  /** `null`: as the scenario says. */
  readonly seconds: number | null
  /** Requests a second; `null`: a share of what the gateway is found to do. */
  readonly rate: number | null
  readonly connections: number
  readonly mostConnections: number
  /** Load processes. */
  readonly processes: number
  readonly workers: number
  readonly store: 'node' | 'redis' | null
  /** Milliseconds. */
  readonly timeout: number
  /** Somebody else's gateway; `null`: one of our own. */
  readonly foreign: ForeignTarget | null
  readonly objectives: string | null
  readonly out: string | null
}

export interface ForeignTarget {
  readonly url: string
  readonly target: Target
  readonly asked: Asked
  /** Whose memory is looked at. */
  readonly pid: number | null
}

/** What can't be done as asked; its message is for the person who asked. */
export class UsageError extends Error {}

export const usage = `
  --smoke               a few seconds of each, in which only errors decide: how fast it was is told
  --seconds N           length of the load
  --rate N              requests a second (ramp: at its top); otherwise found out
  --connections N       kept open (64); --most-connections N: at most (1024)
  --processes N         load processes (1)
  --timeout N           seconds after which an answer counts as lost (10)
  --objectives FILE     instead of loadtest/objectives.yaml
  --out FOLDER          of the report, instead of loadtest/results

of a gateway that is started:
  --workers N           workers (half of the cores, at least 2)
  --store node|redis    where limits are counted (redis where redis-server is installed)

of a gateway that runs already:
  --url URL             http:// or https://, on this machine …
  --i-own-the-target    … or elsewhere, if you may load it
  --path P              in turns if given several times; {n} in it is a new number each time (/)
  --header 'N: V'       sent with every request; may be given several times
  --credentials FILE    values of Authorization, a line each, in turns
  --pid N               process of the gateway, for its memory
`

/** Throws a `UsageError`. `null`: help is wanted. */
export function readOptions(args: readonly string[], known: readonly string[]): Options | null {
  const { values, positionals } = parse(args)
  if (values.help) return null
  if (positionals.length === 0 && !values.smoke) return null
  const wanted = positionals.length === 0 || positionals.includes('all') ? known : positionals
  for (const name of wanted) {
    if (!known.includes(name))
      throw new UsageError(`there is no scenario "${name}"${didYouMean(name, known)}: ${known.join(', ')}, or all`)
  }
  const { store } = values
  if (store !== undefined && store !== 'node' && store !== 'redis') throw new UsageError('--store is node or redis')
  return {
    scenarios: wanted,
    smoke: values.smoke,
    seconds: amount('seconds', values.seconds),
    rate: amount('rate', values.rate),
    connections: count('connections', values.connections),
    mostConnections: count('most-connections', values['most-connections']),
    processes: count('processes', values.processes),
    workers: values.workers === undefined ? usualWorkers() : count('workers', values.workers),
    store: store ?? null,
    timeout: (amount('timeout', values.timeout) ?? 0) * 1000,
    foreign: foreignOf(values),
    objectives: values.objectives ?? null,
    out: values.out ?? null,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        smoke: { type: 'boolean', default: false },
        seconds: { type: 'string' },
        rate: { type: 'string' },
        connections: { type: 'string', default: '64' },
        'most-connections': { type: 'string', default: '1024' },
        processes: { type: 'string', default: '1' },
        workers: { type: 'string' },
        store: { type: 'string' },
        timeout: { type: 'string', default: '10' },
        url: { type: 'string' },
        path: { type: 'string', multiple: true, default: ['/'] },
        header: { type: 'string', multiple: true, default: [] },
        credentials: { type: 'string' },
        pid: { type: 'string' },
        'i-own-the-target': { type: 'boolean', default: false },
        objectives: { type: 'string' },
        out: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    })
  } catch (error) {
    // The first sentence says what is wrong; the rest is about arguments that begin with a dash.
    throw new UsageError((error as Error).message.split('. ', 1).join())
  }
}

/** Two at least: with one, nobody serves while it is started anew. */
function usualWorkers(): number {
  return Math.max(2, availableParallelism() >> 1)
}

type Values = ReturnType<typeof parse>['values']

function foreignOf({ url, path, header, credentials, pid, ...values }: Values): ForeignTarget | null {
  if (url === undefined) return null
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw new UsageError('--url is an address such as http://127.0.0.1:8080')
  const secure = parsed.protocol === 'https:'
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1')
  if (!isLoopback(host) && !values['i-own-the-target']) {
    throw new UsageError(`${host} is not this machine: add --i-own-the-target if it is yours to load`)
  }
  for (const one of header) {
    if (!/^[\w-]+: ?[\x20-\x7e]*$/.test(one)) throw new UsageError(`--header is "Name: value", not "${one}"`)
  }
  for (const one of path) {
    if (!/^\/[\x21-\x7e]*$/.test(one))
      throw new UsageError(`--path begins with a slash and has no blanks, unlike "${one}"`)
  }
  return {
    url,
    target: { secure, host, port: Number(parsed.port) || (secure ? 443 : 80) },
    asked: { paths: path, headers: header, credentials: credentials === undefined ? [] : linesOf(credentials) },
    pid: pid === undefined ? null : count('pid', pid),
  }
}

/** Throws a `UsageError` when there is no such file. */
export function readGiven(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new UsageError(`${path} can't be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

function linesOf(path: string): string[] {
  return readGiven(path)
    .split(/\r?\n/)
    .filter((line) => line !== '')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

function amount(name: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const value = Number(text)
  if (!(value > 0 && value < 1e7)) throw new UsageError(`--${name} must be a number above 0, not "${text}"`)
  return value
}

function count(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`--${name} must be a whole number above 0, not "${text}"`)
  return value
}
