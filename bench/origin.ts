/** The upstream of all benches: uWebSockets.js, one small JSON answer to everything. Writes its port as first line. */
// oxlint-disable-next-line no-restricted-imports -- the fastest origin that there is for Node
import uWS from 'uWebSockets.js'

const body = JSON.stringify({
  id: 42,
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  active: true,
  roles: ['admin', 'user'],
})

const app = uWS.App()
app.any('/*', (res) => {
  res.onAborted(() => {})
  res.cork(() => {
    res.writeHeader('content-type', 'application/json')
    res.end(body)
  })
})
app.listen('127.0.0.1', 0, (socket) => {
  if (socket === false) process.exit(1)
  console.log(uWS.us_socket_local_port(socket))
})
