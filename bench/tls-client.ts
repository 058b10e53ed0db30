/** Clients that open a TLS connection for every request, in a process of their own. Job in, result out, as JSON. */
import { connect } from 'node:tls'
import type { LoadResult } from './load.ts'

export interface TlsJob {
  readonly port: number
  readonly seconds: number
  readonly connections: number
  /** Whether a connection resumes the session of the one before. */
  readonly resumes: boolean
}

const { port, seconds, connections, resumes } = JSON.parse(process.argv[2] as string) as TlsJob

const times: number[] = []
let failed = 0

/** One connection with one request. The session that the next one may resume. */
function once(session: Buffer | undefined, isFirst: boolean): Promise<Buffer | undefined> {
  const begin = performance.now()
  return new Promise((resolve) => {
    let next: Buffer | undefined
    let isGood = false
    const resumed = session === undefined ? {} : { session }
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, minVersion: 'TLSv1.3', ...resumed })
    const take = (answer: string): void => {
      isGood = answer.startsWith('HTTP/1.1 200') && (isFirst || socket.isSessionReused() === resumes)
      // In TLS 1.3 the session comes behind the handshake: before the answer, as a rule. Not every server sends another one.
      if (isFirst && resumes && next === undefined) socket.once('session', () => socket.destroy())
      else socket.destroy()
    }
    socket.on('session', (fresh: Buffer) => (next = fresh))
    socket.write('GET /api/users/42 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
    socket.setEncoding('latin1').once('data', take)
    socket.setTimeout(5000, () => socket.destroy())
    socket.on('error', () => {})
    socket.once('close', () => {
      times.push(performance.now() - begin)
      if (!isGood) failed++
      resolve(next)
    })
  })
}

const begin = performance.now()
const end = begin + seconds * 1000

async function client(): Promise<void> {
  let session = resumes ? await once(undefined, true) : undefined
  while (performance.now() < end) {
    const next = await once(session, session === undefined)
    if (resumes) session = next ?? session
  }
}

await Promise.all(Array.from({ length: connections }, client))
const elapsed = performance.now() - begin
times.sort((a, b) => a - b)
const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN
const result: LoadResult = {
  requests: times.length,
  perSecond: (times.length * 1000) / elapsed,
  p50: at(0.5),
  p99: at(0.99),
  failed,
}
console.log(JSON.stringify(result))
