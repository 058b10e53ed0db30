/**
 * A worker that speaks the protocol and serves nothing: for tests of the primary alone. What it does with a snapshot
 * stands in it: `{ on: 'prepare' | 'activate' | 'drain' | 'collect', do: 'refuse' | 'crash' | 'hang' | 'ignore' }`;
 * with `once` (a path) only the first worker that gets there does, with `butFirst` all others. `TINY_WORKER=crash` dies at its start.
 */
import { mkdirSync } from 'node:fs'
import { Packr } from 'msgpackr'

if (process.env.TINY_WORKER === 'crash') process.exit(7)

const packr = new Packr({ structuredClone: true, moreTypes: true })
let candidate = null
let active = null

const send = (message) => process.send?.(message)

/** Whether nobody has been here before. */
function isFirst(path) {
  try {
    mkdirSync(path)
    return true
  } catch {
    return false
  }
}

/** What this snapshot has the worker do at this moment; undefined: what it should. */
function misbehaviour(moment, snapshot) {
  if (snapshot?.on !== moment) return undefined
  if (snapshot.once !== undefined) return isFirst(snapshot.once) ? snapshot.do : undefined
  if (snapshot.butFirst !== undefined) return isFirst(snapshot.butFirst) ? undefined : snapshot.do
  return snapshot.do
}

process.on('message', (message) => {
  const snapshot =
    message.type === 'prepare' ? packr.unpack(message.snapshot) : message.type === 'activate' ? candidate : active
  const what = misbehaviour(message.type, snapshot)
  if (what === 'crash') process.exit(9)
  if (what === 'hang') for (;;);
  if (what === 'ignore') return
  switch (message.type) {
    case 'prepare':
      if (what === 'refuse') return send({ type: 'refused', version: message.version, reason: 'it does not compile' })
      candidate = snapshot
      return send({ type: 'prepared', version: message.version })
    case 'activate':
      if (what === 'refuse') {
        send({ type: 'fatal', reason: 'it does not listen' })
        return setImmediate(() => process.exit(1))
      }
      active = candidate
      candidate = null
      return send({ type: 'active', version: message.version })
    case 'discard':
      candidate = null
      return
    case 'collect':
      return send({
        type: 'metrics',
        id: message.id,
        report: { pid: process.pid, version: 0, metrics: Buffer.from(JSON.stringify({ active, candidate })) },
      })
    case 'ping':
      return send({ type: 'pong' })
    case 'drain':
      return setImmediate(() => process.exit(0))
  }
})
process.on('disconnect', () => process.exit(0))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
send({ type: 'ready' })
