import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'

/** An address that neither accepts nor refuses: connecting to it hangs. */
export interface FullBacklog {
  readonly port: number
  stop(): void
}

const script = `
const server = require('node:net').createServer()
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => process.stdout.write(server.address().port + '\\n'))
`

/**
 * A process that listens and is then stopped, with as many connections as its backlog takes: the kernel answers no
 * further handshake.
 */
export async function fullBacklog(): Promise<FullBacklog> {
  const child: ChildProcess = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const port = await new Promise<number>((resolve) =>
    child.stdout?.once('data', (text: Buffer) => resolve(Number(text))),
  )
  child.kill('SIGSTOP')
  while (!/^State:\tT/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8'))) await new Promise(setImmediate)

  const sockets: Socket[] = []
  // A backlog of n holds n + 1 connections.
  for (let i = 0; i < 2; i++) {
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('error', () => {})
    sockets.push(socket)
    await new Promise((resolve) => socket.once('connect', resolve))
  }
  return {
    port,
    stop() {
      for (const socket of sockets) socket.destroy()
      child.kill('SIGKILL')
    },
  }
}
