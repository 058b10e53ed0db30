/**
 * Clients that dawdle: `node slow-client.js HOST PORT COUNT PATH`. A third of them send a request one byte at a time, a third ask for a
 * large answer and hardly read it, a third connect and say nothing. Whoever is cut off comes back.
 */
import { connect, type Socket } from 'node:net'

const [host, port, count, path] = process.argv.slice(2) as [string, string, string, string]
const request = `GET ${path} HTTP/1.1\r\nhost: loadtest\r\n\r\n`
const drip = `GET ${path} HTTP/1.1\r\nhost: loadtest\r\nx-slow: ${'y'.repeat(4000)}\r\n\r\n`

process.once('disconnect', () => process.exit())
for (let i = 0; i < Number(count); i++) open(i)

function open(i: number): void {
  const socket = connect({ port: Number(port), host })
  let timer: NodeJS.Timeout | undefined
  socket.once('connect', () => {
    if (i % 3 === 0) timer = sendSlowly(socket)
    else if (i % 3 === 1) timer = readSlowly(socket)
  })
  socket.on('error', () => {})
  socket.once('close', () => {
    clearInterval(timer)
    setTimeout(() => open(i), 100)
  })
}

function sendSlowly(socket: Socket): NodeJS.Timeout {
  let sent = 0
  return setInterval(() => {
    socket.write(drip.charAt(sent++ % drip.length))
  }, 50)
}

/** 16 kB or so every half second: what the system keeps for a socket is full soon. */
function readSlowly(socket: Socket): NodeJS.Timeout {
  socket.write(request)
  socket.on('data', () => socket.pause())
  return setInterval(() => socket.resume(), 500)
}
