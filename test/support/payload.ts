import { createHash } from 'node:crypto'

const pieceSize = 65_536

/** Noise, the same in every run: no two places look alike, so that bytes that were lost, doubled or swapped show. */
const noise = Buffer.alloc(pieceSize)
let state = 0x9e3779b9
for (let i = 0; i < pieceSize; i++) {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  noise[i] = state & 0xff
}

/** `size` bytes in pieces, each of memory of its own and numbered. Another `turn` (below 60) gives other bytes. */
export function* payload(size: number, turn = 0): Generator<Buffer> {
  const turned = Buffer.concat([noise.subarray(turn * 1009), noise.subarray(0, turn * 1009)])
  for (let at = 0; at < size; at += pieceSize) {
    const piece = Buffer.from(turned.subarray(0, Math.min(pieceSize, size - at)))
    if (piece.length >= 8) piece.writeDoubleBE(at)
    yield piece
  }
}

/** The same with the framing of a chunked body around each piece, and its end. */
export function* chunkedPayload(size: number, turn = 0): Generator<Buffer> {
  for (const piece of payload(size, turn)) {
    yield Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
  }
  yield Buffer.from('0\r\n\r\n')
}

/** SHA-256 of `payload(size, turn)`. */
export function payloadHash(size: number, turn = 0): string {
  const hash = createHash('sha256')
  for (const piece of payload(size, turn)) hash.update(piece)
  return hash.digest('hex')
}
