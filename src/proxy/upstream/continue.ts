import type { Socket } from 'node:net'

const statusLine = Buffer.from('HTTP/1.1 100')
const headEnd = Buffer.from('\r\n\r\n')
/** Bytes that a `100 Continue` may have before it counts as something else. */
const longest = 4096

/**
 * Takes `100 Continue` out of what a socket reads, as long as `expecting` says that a response is due to begin: some
 * servers send it although nobody asked, a client has to bear that (RFC 9110 §15.2), and undici does not.
 */
export function skipContinue(socket: Socket, expecting: () => boolean): void {
  let held: Buffer | null = null
  const read = socket.read.bind(socket)
  socket.read = (size?: number): Buffer | null => {
    const chunk = read(size) as Buffer | null
    if (chunk === null || size !== undefined || !expecting()) return chunk
    let bytes: Buffer = held === null ? chunk : Buffer.concat([held, chunk])
    held = null
    while (startsAlike(bytes)) {
      const end = bytes.indexOf(headEnd)
      if (end === -1 && bytes.length < longest) {
        held = bytes
        return null
      }
      if (end === -1) return bytes
      bytes = bytes.subarray(end + headEnd.length)
      if (bytes.length === 0) return null
    }
    return bytes
  }
}

/** Whether `bytes` are, or may turn out to be, the beginning of a `100 Continue`. */
function startsAlike(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, statusLine.length)
  return bytes.compare(statusLine, 0, length, 0, length) === 0
}
