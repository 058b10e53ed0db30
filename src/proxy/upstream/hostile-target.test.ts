import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecordingSink, requestTo, settingsFor } from '../../../test/support/recording-sink.ts'
import type { UpstreamClient } from './client.ts'
import { createResolver } from './resolver.ts'
import { createSocketClient } from './socket-client.ts'
import { createUndiciClient } from './undici-client.ts'

/** How a target frames its answer, and whether that is right. */
const framings = {
  length: (body: string) => [`content-length: ${body.length}\r\n`, body],
  chunks: (body: string) => ['transfer-encoding: chunked\r\n', `${chunk(body)}0\r\n\r\n`],
  pieces: (body: string) => [
    'transfer-encoding: chunked\r\n',
    `${(body.match(/.{1,9000}/g) ?? []).map(chunk).join('')}0\r\n\r\n`,
  ],
  close: (body: string) => ['connection: close\r\n', body],
  tooLong: (body: string) => [`content-length: ${body.length + 7}\r\n`, body],
  tooShort: (body: string) => [`content-length: ${Math.max(0, body.length - 7)}\r\n`, body],
  noLastChunk: (body: string) => ['transfer-encoding: chunked\r\n', chunk(body)],
  badChunk: (body: string) => ['transfer-encoding: chunked\r\n', `${chunk(body)}xyz\r\n\r\n`],
} as const satisfies Record<string, (body: string) => readonly [string, string]>

const truthful = new Set(['length', 'chunks', 'pieces', 'close'])

function chunk(text: string): string {
  return text === '' ? '' : `${text.length.toString(16)}\r\n${text}\r\n`
}

const behaviour = fc.record({
  framing: fc.constantFrom(...(Object.keys(framings) as (keyof typeof framings)[])),
  closes: fc.boolean(),
  size: fc.oneof(fc.constantFrom(0, 1, 65_536), fc.nat(300_000)),
  /** Where the answer is torn, in thousandths of it, and the milliseconds until the next part. */
  tears: fc.array(fc.record({ at: fc.nat(1000), wait: fc.nat(4) }), { maxLength: 4 }),
  /** What comes after the answer, or, with `early`, after half of it. */
  end: fc.constantFrom('end', 'destroy', 'reset'),
  early: fc.boolean(),
  /** Milliseconds that the reader pauses after each piece; -1: it never does. */
  pause: fc.constantFrom(-1, 0, 1, 6),
  /** The reader goes away after so many pieces. */
  leavesAfter: fc.option(fc.nat(3), { nil: null, freq: 4 }),
  upload: fc.option(fc.nat(200_000), { nil: null, freq: 3 }),
})

type Behaviour = typeof behaviour extends fc.Arbitrary<infer T> ? T : never

/** What the target sends, torn into parts, and whether that is an answer which a reader gets whole. */
function answerOf({ framing, closes, size, tears, early, end }: Behaviour): {
  parts: string[]
  body: string
  whole: boolean
} {
  const body = '0123456789abcdef'.repeat(size / 16 + 1).slice(0, size)
  const [fields, framed] = framings[framing](body)
  const text = `HTTP/1.1 200 OK\r\n${closes ? 'connection: close\r\n' : ''}${fields}\r\n${framed}`
  const sent = early ? text.slice(0, text.length / 2) : text
  const places = [0, ...tears.map(({ at }) => Math.floor((sent.length * at) / 1000)).sort((a, b) => a - b), sent.length]
  const parts = places.slice(1).map((place, i) => sent.slice(places[i], place))
  // A reset may overtake what is still on its way.
  return { parts, body, whole: truthful.has(framing) && !early && end === 'end' }
}

async function answer(socket: Socket, one: Behaviour): Promise<void> {
  for (const [i, part] of answerOf(one).parts.entries()) {
    socket.write(part)
    await sleep(one.tears[i]?.wait ?? 0)
  }
  if (one.end === 'end') socket.end()
  else if (one.end === 'reset') socket.resetAndDestroy()
  else socket.destroy()
}

/** The reader's side of it, until the attempt is over or the reader has left. */
async function play(client: UpstreamClient, one: Behaviour): Promise<RecordingSink> {
  const sink = new RecordingSink()
  const change = one.upload === null ? {} : { method: 'POST', bodyLength: one.upload }
  const attempt = client.start(requestTo(change), sink, false)
  sink.attempt = attempt
  let pieces = 0
  const left = new Promise<void>((resolve) => {
    sink.onChunk = () => {
      if (one.leavesAfter !== null && pieces++ >= one.leavesAfter) {
        attempt.abort()
        return resolve()
      }
      if (one.pause < 0) return
      attempt.pause()
      setTimeout(() => attempt.resume(), one.pause)
    }
  })
  if (one.upload !== null) {
    attempt.write(Buffer.alloc(one.upload))
    attempt.end()
  }
  const late = new AbortController()
  await Promise.race([sink.over, left, sleep(15_000, 'late', { signal: late.signal })]).then((end) => {
    late.abort()
    expect(end, 'the attempt never ends').not.toBe('late')
  })
  return sink
}

describe.each([
  ['socket', createSocketClient],
  ['undici', createUndiciClient],
] as const)('over the %s client', (_name, create) => {
  test('whatever a target does, an attempt ends once, whole answers arrive whole, and others are failures', async () => {
    const resolver = createResolver({ refresh: 60_000 })
    let current: Behaviour | null = null
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket)).on('error', () => {})
      socket.once('data', () => void answer(socket, current as Behaviour))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      await fc.assert(
        fc.asyncProperty(behaviour, async (one) => {
          current = one
          const client = create(settingsFor(port), resolver)
          const sink = await play(client, one)
          const { body, whole } = answerOf(one)
          if (one.leavesAfter === null && one.upload === null) {
            if (whole) expect({ failure: sink.failure, body: sink.body }).toEqual({ failure: null, body })
            else if (sink.failure === null) expect(body.startsWith(sink.body)).toBe(true)
          }
          const isShort = one.framing === 'tooLong' || one.framing === 'noLastChunk'
          if (isShort && one.leavesAfter === null) expect(sink.failure).not.toBe(null)
          client.close()
          const closed = [...sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
          for (const socket of sockets) socket.destroy()
          await Promise.all(closed)
          expect(sink.faults).toEqual([])
        }),
        { numRuns: 150, endOnFailure: true },
      )
    } finally {
      server.close()
    }
  })
})
