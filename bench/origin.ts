/**
 * The upstream of all benches: uWebSockets.js. One small JSON answer to everything, but `/api/bytes/N` answers with N bytes, and
 * `/api/slow` after 100 ms. Bodies of requests are read to their end first. Writes its port as first line.
 */
// oxlint-disable-next-line no-restricted-imports -- the fastest origin that there is for Node
import uWS from 'uWebSockets.js'

/** Milliseconds. */
const pause = 100

const small = JSON.stringify({
  id: 42,
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  active: true,
  roles: ['admin', 'user'],
})

const bodies = new Map<string, Buffer>()

function bodyOf(length: string): Buffer {
  let body = bodies.get(length)
  if (body === undefined) bodies.set(length, (body = Buffer.alloc(Number(length), 'x')))
  return body
}

function answer(res: uWS.HttpResponse, type: string, body: string | Buffer): void {
  res.cork(() => {
    res.writeHeader('content-type', type)
    res.end(body)
  })
}

const app = uWS.App()
app.get('/api/bytes/:length', (res, req) => {
  res.onAborted(() => {})
  answer(res, 'application/octet-stream', bodyOf(req.getParameter(0)))
})
app.get('/api/slow', (res) => {
  let isOpen = true
  res.onAborted(() => {
    isOpen = false
  })
  setTimeout(() => {
    if (isOpen) answer(res, 'application/json', small)
  }, pause)
})
app.get('/*', (res) => {
  res.onAborted(() => {})
  answer(res, 'application/json', small)
})
app.any('/*', (res) => {
  res.onAborted(() => {})
  res.onData((_chunk, isLast) => {
    if (isLast) answer(res, 'application/json', small)
  })
})
app.listen('127.0.0.1', 0, (socket) => {
  if (socket === false) process.exit(1)
  console.log(uWS.us_socket_local_port(socket))
})
