import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FloodJob, FloodResult, SteadyJob, SteadyResult } from './flood-client.ts'
import { createFolder, loadCore, outputOf, startProcess } from './processes.ts'
import { table } from './report.ts'
import { fillConfig, startGateway, startOrigin } from './servers.ts'
import { audience, benchSigner, issuer } from './signed.ts'
import { median } from './statistics.ts'

/** Clients whose tokens are known, alone and while a flood of bad tokens comes. */
export interface FloodRow {
  readonly algorithm: string
  /** Medians over the rounds, milliseconds. */
  readonly alone: { readonly p50: number; readonly p99: number }
  readonly flooded: { readonly p50: number; readonly p99: number }
  /** p99 in the flood by p99 alone: the median over the rounds. */
  readonly ratio: number
  readonly ratios: readonly number[]
  /** Good requests that were not answered with 200. */
  readonly failed: number
  /** Bad tokens, each of them new, and how they were answered. */
  readonly badTokens: number
  readonly badPerSecond: number
  readonly statuses: Readonly<Record<string, number>>
}

export interface FloodPlan {
  readonly rounds: number
  readonly seconds: number
}

/** Good requests a second: far below what a core can do, so that what is measured is not its own crowd. */
const rate = 2000
const steadyConnections = 64
const floodConnections = 32

/** In turns: alone, flooded, alone, flooded… One worker; its threads share the core with it. */
export async function runFlood({ rounds, seconds }: FloodPlan, tell: (text: string) => void): Promise<FloodRow[]> {
  const origin = await startOrigin()
  const rows: FloodRow[] = []
  try {
    for (const algorithm of ['RS256', 'ES256']) {
      const signer = benchSigner(algorithm)
      const tokens = Array.from({ length: 1000 }, (_, n) => signer.token(n))
      const [token] = tokens as [string]
      const jwk = { ...signer.public.export({ format: 'jwk' }), kid: signer.kid, alg: algorithm }
      const gateway = await startGateway(writeConfig(jwk), origin.port, {}, `Bearer ${token}`)
      const steady: Omit<SteadyJob, 'seconds'> = {
        role: 'steady',
        port: gateway.port,
        connections: steadyConnections,
        rate,
        tokens,
      }
      const flood: Omit<FloodJob, 'seconds'> = {
        role: 'flood',
        port: gateway.port,
        connections: floodConnections,
        token,
      }
      try {
        await runClient<SteadyResult>({ ...steady, seconds: Math.min(3, seconds) })
        await runClient<FloodResult>({ ...flood, seconds: Math.min(3, seconds) })
        const alone: SteadyResult[] = []
        const flooded: SteadyResult[] = []
        const floods: FloodResult[] = []
        for (let round = 1; round <= rounds; round++) {
          alone.push(await runClient<SteadyResult>({ ...steady, seconds }))
          // The flood is there before those who are measured come, and stays until they are gone.
          const under = runClient<FloodResult>({ ...flood, seconds: seconds + 2 })
          await new Promise((resolve) => setTimeout(resolve, 1000))
          flooded.push(await runClient<SteadyResult>({ ...steady, seconds }))
          floods.push(await under)
          const text = [alone, flooded].map((list) => list.at(-1)?.p99.toFixed(2)).join(' ms alone, ')
          tell(
            `  flood ${algorithm} round ${round}/${rounds}: p99 ${text} ms with ${floods.at(-1)?.requests} bad tokens`,
          )
        }
        rows.push(rowOf(algorithm, seconds, { alone, flooded, floods }))
      } finally {
        await gateway.started.stop()
      }
    }
    return rows
  } finally {
    await origin.stop()
  }
}

function rowOf(
  algorithm: string,
  seconds: number,
  results: {
    readonly alone: readonly SteadyResult[]
    readonly flooded: readonly SteadyResult[]
    readonly floods: readonly FloodResult[]
  },
): FloodRow {
  const { alone, flooded, floods } = results
  const of = (list: readonly SteadyResult[]) => ({
    p50: median(list.map(({ p50 }) => p50)),
    p99: median(list.map(({ p99 }) => p99)),
  })
  const statuses: Record<string, number> = {}
  for (const flood of floods) {
    for (const [status, count] of Object.entries(flood.statuses)) statuses[status] = (statuses[status] ?? 0) + count
  }
  const ratios = flooded.map(({ p99 }, i) => p99 / (alone[i] as SteadyResult).p99)
  const badTokens = floods.reduce((sum, { requests }) => sum + requests, 0)
  return {
    algorithm,
    alone: of(alone),
    flooded: of(flooded),
    ratio: median(ratios),
    ratios,
    failed: [...alone, ...flooded].reduce((sum, one) => sum + one.failed, 0),
    badTokens,
    badPerSecond: badTokens / floods.length / (seconds + 2),
    statuses,
  }
}

async function runClient<R>(job: SteadyJob | FloodJob): Promise<R> {
  const client = join(import.meta.dirname, 'flood-client.js')
  const file = join(createFolder(), 'job.json')
  writeFileSync(file, JSON.stringify(job))
  const started = startProcess(loadCore, process.execPath, [client, file])
  return JSON.parse(await outputOf(started, `the ${job.role} client`)) as R
}

function writeConfig(jwk: object): string {
  const folder = createFolder()
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [jwk] }))
  const file = join(folder, 'sluice.yaml')
  const chain = `[{ name: jwt, config: { issuer: "${issuer}", audience: ${audience}, jwks: { file: ./jwks.json } } }]`
  writeFileSync(file, fillConfig('plugins.yaml', { chain }))
  return file
}

export function floodText(rows: readonly FloodRow[]): string {
  return table(
    [
      'algorithm',
      'p50 ms alone',
      'flooded',
      'p99 ms alone',
      'flooded',
      'p99 ratio',
      'bad tokens',
      'a second',
      'failed',
    ],
    rows.map((row) => [
      row.algorithm,
      row.alone.p50.toFixed(2),
      row.flooded.p50.toFixed(2),
      row.alone.p99.toFixed(2),
      row.flooded.p99.toFixed(2),
      row.ratio.toFixed(2),
      String(row.badTokens),
      row.badPerSecond.toFixed(0),
      String(row.failed),
    ]),
  )
}
