import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import type { LoadResult } from '../load.ts'
import { createFolder, loadCore, outputOf, startProcess } from '../processes.ts'
import { compare, type Group, measureInTurns, type Send } from '../rounds.ts'
import type { TlsJob } from '../tls-client.ts'
import { onStage, startAll } from './stage.ts'
import type { Workload } from './workload.ts'

export const tls: Workload = {
  name: 'tls',
  title: 'TLS',
  about:
    'TLS 1.3 with a P-256 certificate, plain HTTP to the upstream: requests on kept connections; then a new connection for every request, with a whole handshake, and with a session resumed. For handshakes the client (of Node) is often the limit: compare the processor time.',
  minutes: 3.5,
  run: ({ plan, choice, peers, step }) =>
    onStage(async (stage) => {
      const setup = { origin: stage.origin.port, tls: await writeCertificate() }
      const subjects = await startAll(stage, peers, setup)
      const secure = subjects.map((subject) => ({ ...subject, load: { secure: true } }))
      const groups = await compare('kept connections', secure, plan, (share, text) => step(share / 3, text), { choice })
      for (const [i, resumes] of [false, true].entries()) {
        const title = resumes ? 'resumed handshakes' : 'new handshakes'
        const send: Send = ({ port, seconds }) => sendHandshakes({ port, seconds, connections: 16, resumes })
        const part = (share: number, text: string): void => step((1 + i + share) / 3, `${title}, ${text}`)
        const rows = await measureInTurns(subjects, send, plan, part)
        groups.push({ title, generator: 'node:tls', rows, unit: 'handshakes/s' } satisfies Group)
      }
      return { groups }
    }),
}

/** PEM files. */
async function writeCertificate(): Promise<{ cert: string; key: string; both: string }> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  })
  const folder = createFolder()
  const write = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  return { cert: write('cert.pem', cert), key: write('key.pem', key), both: write('both.pem', `${cert}\n${key}`) }
}

async function sendHandshakes(job: TlsJob): Promise<LoadResult> {
  const client = join(import.meta.dirname, '../tls-client.js')
  const started = startProcess(loadCore, process.execPath, [client, JSON.stringify(job)])
  return JSON.parse(await outputOf(started, 'the TLS client')) as LoadResult
}
