/**
 * The service behind the gateway: answers with the number at the end of the path and with whom the gateway says is calling
 * (see echoOf). `/large` is two megabytes. Every POST is noted in a file before it is answered, so that one that came twice is
 * found even if this process was killed. `node origin.js PORT FILE`; says the port to the process that started it.
 */
import { openSync, writeSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { echoOf } from '../load/echo.ts'

const [port, file] = process.argv.slice(2) as [string, string]
const notes = openSync(file, 'a')
const note = Buffer.alloc(8)
const large = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${2 << 20}\r\n\r\n${'x'.repeat(2 << 20)}`

const server = createServer({ noDelay: true }, (socket) => {
  let text = ''
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1')
    for (let length = lengthOf(text); length > 0 && text.length >= length; length = lengthOf(text)) {
      answer(socket, text.slice(0, length))
      text = text.slice(length)
    }
  })
  socket.on('error', () => {})
})
server.listen(Number(port), '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.once('disconnect', () => process.exit())

/** Length of the request that `text` begins with, as far as that is known; 0: not yet. */
function lengthOf(text: string): number {
  const end = text.indexOf('\r\n\r\n') + 4
  if (end === 3) return 0
  if (text.startsWith('GET')) return end
  const head = text.slice(0, end)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return end + Number(length)
  const last = text.indexOf('0\r\n\r\n', end)
  return last === -1 ? 0 : last + 5
}

function answer(socket: Socket, request: string): void {
  const [line = ''] = request.split('\r\n', 1)
  const [method, path = ''] = line.split(' ')
  if (path.endsWith('/large')) {
    socket.write(large)
    return
  }
  const number = path.slice(path.lastIndexOf('/') + 1)
  if (method === 'POST') {
    note.writeDoubleLE(Number(number))
    writeSync(notes, note)
  }
  const [, caller = ''] = /\r\nx-(?:user|consumer)-id: *([^\r]*)/i.exec(request) ?? []
  const body = echoOf(number, caller)
  const status = method === 'POST' ? '201 Created' : '200 OK'
  socket.write(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nx-powered-by: loadtest\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
}
