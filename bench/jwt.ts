import { verify as verifyInPool } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { compactVerify } from 'jose'
import { noInstruments } from '../src/core/services/instruments.ts'
import type { VerificationKey } from '../src/core/verification-key.ts'
import { isSignedWith } from '../src/services/jwt-signature.ts'
import { VerificationPool } from '../src/services/verification-pool.ts'
import { table } from './report.ts'
import { type BenchSigner, benchSigner } from './signed.ts'
import { median } from './statistics.ts'

/** How signatures of one algorithm are checked, and what that costs. Microseconds a token. */
export interface JwtRow {
  readonly algorithm: string
  readonly way: string
  /** On the clock, with 64 tokens at a time. */
  readonly elapsed: number
  /** Of the event loop's thread: what requests can't have. NaN where the system doesn't tell. */
  readonly loop: number
  /** Of the whole process. */
  readonly processor: number
}

/** Tokens that come together, as in a busy tick. */
const together = 64

type Way = (signer: BenchSigner, tokens: readonly string[]) => Promise<void>

const log = {
  info() {},
  warn() {},
  error: (message: string, fields?: object): void => console.error(message, fields),
}

function ways(pool: VerificationPool): Readonly<Record<string, Way>> {
  const keyOf = ({ kid, algorithm, public: key }: BenchSigner) => ({ kid, algorithms: [algorithm], key, live: true })
  const inPool = async (key: VerificationKey, algorithm: string, token: string): Promise<void> => {
    const result = await pool.verify(token, algorithm, [key])
    if (result !== key) throw new Error(`not verified: ${JSON.stringify(result)}`)
  }
  return {
    'node:crypto, inline': async (signer, tokens) => {
      for (const token of tokens) {
        if (!isSignedWith(signer.public, signer.algorithm, token)) throw new Error('not verified')
      }
      await setImmediate()
    },
    'node:crypto, libuv thread each': async (signer, tokens) => {
      await Promise.all(tokens.map((token) => verifyByLibuv(signer, token)))
    },
    jose: async (signer, tokens) => {
      await Promise.all(tokens.map((token) => compactVerify(token, signer.public)))
    },
    'pool, one a message': async (signer, tokens) => {
      const results: Promise<void>[] = []
      const key = keyOf(signer)
      for (const token of tokens) {
        results.push(inPool(key, signer.algorithm, token))
        await setImmediate()
      }
      await Promise.all(results)
    },
    [`pool, ${together} a message`]: async (signer, tokens) => {
      const key = keyOf(signer)
      await Promise.all(tokens.map((token) => inPool(key, signer.algorithm, token)))
    },
  }
}

function verifyByLibuv({ algorithm, public: key }: BenchSigner, token: string): Promise<void> {
  const dot = token.lastIndexOf('.')
  const hash = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`
  const padding = algorithm.startsWith('PS') ? { padding: 6, saltLength: -1 } : {}
  const options = { key, dsaEncoding: 'ieee-p1363' as const, ...padding }
  const [input, signature] = [Buffer.from(token.slice(0, dot)), Buffer.from(token.slice(dot + 1), 'base64url')]
  return new Promise((resolve, reject) => {
    verifyInPool(hash, input, options, signature, (error, isGood) => {
      if (isGood) resolve()
      else reject(error ?? new Error('not verified'))
    })
  })
}

/** Nanoseconds that the main thread has run, by Linux. */
function loopTime(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0])
  } catch {
    return Number.NaN
  }
}

/** Every way with every algorithm, in turns. */
export async function runJwt({ rounds, seconds }: { rounds: number; seconds: number }): Promise<JwtRow[]> {
  const pool = new VerificationPool(noInstruments, log, { inlineWork: 0 })
  const rows: JwtRow[] = []
  try {
    for (const algorithm of ['RS256', 'PS256', 'ES256', 'EdDSA', 'ES384', 'ES512']) {
      const signer = benchSigner(algorithm)
      const tokens = Array.from({ length: together }, (_, n) => signer.token(n))
      const list = Object.entries(ways(pool)).map(([way, run]) => ({ way, run, samples: [] as Sample[] }))
      for (const { run } of list) await sample(run, signer, tokens, seconds / 10)
      for (let round = 0; round < rounds; round++) {
        for (const { run, samples } of list) samples.push(await sample(run, signer, tokens, seconds / 10))
      }
      for (const { way, samples } of list) {
        const of = (figure: keyof Sample): number => median(samples.map((one) => one[figure]))
        rows.push({ algorithm, way, elapsed: of('elapsed'), loop: of('loop'), processor: of('processor') })
      }
    }
  } finally {
    pool.close()
  }
  return rows
}

type Sample = Pick<JwtRow, 'elapsed' | 'loop' | 'processor'>

async function sample(run: Way, signer: BenchSigner, tokens: readonly string[], seconds: number): Promise<Sample> {
  const [begin, loop, processor] = [performance.now(), loopTime(), process.cpuUsage()]
  let count = 0
  while (performance.now() - begin < seconds * 1000) {
    await run(signer, tokens)
    count += tokens.length
  }
  const used = process.cpuUsage(processor)
  return {
    elapsed: ((performance.now() - begin) * 1000) / count,
    loop: (loopTime() - loop) / 1000 / count,
    processor: (used.user + used.system) / count,
  }
}

export function jwtText(rows: readonly JwtRow[]): string {
  return table(
    ['algorithm', 'signatures checked by', 'µs/token', 'event loop µs', 'cpu µs'],
    rows.map((row) => [row.algorithm, row.way, row.elapsed.toFixed(1), row.loop.toFixed(1), row.processor.toFixed(1)]),
  )
}
