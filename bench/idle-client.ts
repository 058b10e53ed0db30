/**
 * Idle clients, in a process of their own: connections that send a request now and then, so that nobody takes them for dead,
 * and else keep still. Tells when all are there; for a line of input, how many are left.
 */
import { connect, type Socket } from 'node:net'

const [port, count] = process.argv.slice(2).map(Number) as [number, number]

/** So many connect at a time: no listener's backlog runs over. */
const atOnce = 100

/** Milliseconds between two requests of one: less than the shortest time-out of those who are measured, 10 s. */
const pause = 7000

const asked = 'GET /api/users/42 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'
const crowd = new Set<Socket>()

function join(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write(asked)
    socket.once('data', () => {
      crowd.add(socket)
      resolve()
    })
    socket.on('data', () => {})
    socket.on('error', () => {})
    socket.once('close', () => {
      crowd.delete(socket)
      resolve()
    })
  })
}

for (let i = 0; i < count; i += atOnce) {
  await Promise.all(Array.from({ length: Math.min(atOnce, count - i) }, join))
}
console.log(crowd.size)
process.stdin.on('data', () => console.log(crowd.size))

/** Those who come next ask now: a few at a time, all of them within the pause. */
let next = crowd.values()
setInterval(() => {
  for (let i = 0; i < Math.ceil(count / (pause / 100)); i++) {
    const { value, done } = next.next()
    if (done === true) {
      next = crowd.values()
      return
    }
    value.write(asked)
  }
}, 100)
