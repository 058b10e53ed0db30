import { randomBytes } from 'node:crypto'

/** Low digits of the counter as text: counting on costs one concatenation. */
const lowDigits = Array.from({ length: 4096 }, (_, i) => i.toString(16).padStart(3, '0'))

// Version 8, variant 10 (RFC 9562 §5.8): 74 random bits name this worker's life, 48 bits count its requests.
const random = randomBytes(10).toString('hex')
const worker = `${random.slice(0, 8)}-${random.slice(8, 12)}-8${random.slice(12, 15)}-b${random.slice(15, 18)}-`

let high = 0
let low = 0
let block = blockOf(0)

function blockOf(count: number): string {
  return worker + count.toString(16).padStart(9, '0')
}

/**
 * A UUID that no other request has, here or on other nodes. It is not a secret and may be guessed from the last one:
 * a random UUID a request would cost ten times as much (bench/micro/request-id.bench.ts).
 */
export function nextRequestId(): string {
  if (low === 4096) {
    low = 0
    block = blockOf(++high)
  }
  return block + lowDigits[low++]
}
