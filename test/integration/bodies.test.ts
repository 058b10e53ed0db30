import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { chunkedPayload, payload, payloadHash } from '../support/payload.ts'
import { type ArrivedRequest, RawUpstream } from '../support/raw-upstream.ts'
import { residentBytes } from '../support/resident.ts'
import { call, Wire, type WireResponse } from '../support/wire.ts'

const size = 64 * 1024 * 1024
/** What a worker may grow by while 64 MB pass through it or are held back before it. */
const growth = 48 * 1024 * 1024

let upstream: RawUpstream
let gateway: RunningGateway
let worker: number
let hash: string

beforeAll(async () => {
  hash = payloadHash(size)
  upstream = await RawUpstream.start()
  const targets = [{ target: upstream.target }]
  gateway = await startGateway(
    {
      access_log: 'off',
      limits: { body_size: 'off' },
      routes: [
        { name: 'undici', paths: ['/undici/*'], upstream: 'undici' },
        { name: 'any', paths: ['/*'], upstream: 'socket' },
      ],
      upstreams: [
        { name: 'socket', targets },
        { name: 'undici', targets, client: 'undici' },
      ],
    },
    { workers: 1 },
  )
  worker = (await gateway.workerPids())[0] as number
  // Code that is compiled and heaps that grow once are no part of what a body costs.
  for (const prefix of ['', '/undici']) {
    const warm = 8 * 1024 * 1024
    upstream.on(`${prefix}/warm`, (request) => {
      request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${warm}\r\n\r\n`)
      void new Pump(request.socket, payload(warm))
    })
    for (let i = 0; i < 4; i++) await call(gateway.port, `GET ${prefix}/warm`)
    const body = Buffer.alloc(warm).toString('latin1')
    for (let i = 0; i < 4; i++) await call(gateway.port, `POST ${prefix}/warmed`, [`Content-Length: ${warm}`], body)
  }
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

/** Writes at the pace of the reader. Bytes handed to the kernel are counted in `sent`. */
class Pump {
  sent = 0
  readonly #socket: Socket
  readonly done: Promise<void>

  constructor(socket: Socket, pieces: Iterable<Buffer>) {
    this.#socket = socket
    this.done = this.#run(pieces)
  }

  async #run(pieces: Iterable<Buffer>): Promise<void> {
    for (const piece of pieces) {
      if (this.#socket.destroyed) return
      if (!this.#socket.write(piece)) {
        await new Promise<void>((resolve) => {
          this.#socket.once('drain', resolve)
          this.#socket.once('close', () => resolve())
        })
      }
      this.sent += piece.length
    }
  }

  /**
   * Resolves when nothing moves any more: while a good number of other requests went through the same worker, and so
   * its event loop has turned often, not a byte was taken.
   */
  async blocked(): Promise<number> {
    for (;;) {
      const before = this.sent
      for (let i = 0; i < 100; i++) await call(gateway.port, 'GET /turn')
      if (this.sent === before) return before
    }
  }
}

interface Framing {
  readonly name: string
  readonly head: string
  readonly pieces: () => Iterable<Buffer>
  readonly closes?: true
}

const framings: readonly Framing[] = [
  { name: 'counted', head: `Content-Length: ${size}\r\n`, pieces: () => payload(size) },
  { name: 'chunked', head: 'Transfer-Encoding: chunked\r\n', pieces: () => chunkedPayload(size) },
]
const responseFramings: readonly Framing[] = [
  ...framings,
  { name: 'close-delimited', head: 'Connection: close\r\n', pieces: () => payload(size), closes: true },
]

/** Answers with 64 MB. */
function pour(request: ArrivedRequest, { head, pieces, closes }: Framing): Pump {
  request.send(`HTTP/1.1 200 OK\r\n${head}\r\n`)
  const pump = new Pump(request.socket, pieces())
  if (closes === true) void pump.done.then(() => request.socket.end())
  return pump
}

describe.each(['', '/undici'])('64 MB (%s)', (prefix) => {
  test.each(responseFramings)('$name from the upstream arrive whole', async (framing) => {
    const path = `${prefix}/down-${framing.name}`
    upstream.on(path, (request) => void pour(request, framing))
    const before = residentBytes(worker)
    const response = await call(gateway.port, `GET ${path}`)
    expect(response).toMatchObject({ status: 200, bytes: size, hash, complete: true })
    expect(residentBytes(worker) - before).toBeLessThan(growth)
  })

  test.each(responseFramings)(
    '$name to a client that stops reading: the upstream is held back, nothing is lost',
    async (framing) => {
      const path = `${prefix}/held-down-${framing.name}`
      let pump: Pump | null = null
      upstream.on(path, (request) => (pump = pour(request, framing)))
      const before = residentBytes(worker)
      const wire = await Wire.open(gateway.port)
      wire.pause()
      wire.request(`GET ${path}`)
      await upstream.arrival(path)
      const sent = await (pump as unknown as Pump).blocked()
      expect(sent).toBeLessThan(size)
      expect(residentBytes(worker) - before).toBeLessThan(growth)
      wire.resume()
      const response = await wire.response()
      wire.close()
      expect(response).toMatchObject({ status: 200, bytes: size, hash, complete: true })
    },
  )

  test.each(framings)('$name to the upstream arrive whole', async (framing) => {
    const path = `${prefix}/up-${framing.name}`
    const before = residentBytes(worker)
    const wire = await Wire.open(gateway.port)
    wire.send(`POST ${path} HTTP/1.1\r\nHost: test\r\n${framing.head}\r\n`)
    await new Pump(wire.socket, framing.pieces()).done
    expect((await wire.response())?.status).toBe(200)
    wire.close()
    const [arrived] = upstream.to(path)
    expect(arrived).toMatchObject({ bytes: size, hash, ending: 'complete' })
    expect(residentBytes(worker) - before).toBeLessThan(growth)
  })

  test.each(framings)(
    '$name to an upstream that stops reading: the client is held back, nothing is lost',
    async (framing) => {
      const path = `${prefix}/held-up-${framing.name}`
      upstream.on(path, (request) => {
        request.socket.pause()
        void request.ended.then(() => request.reply())
      })
      const before = residentBytes(worker)
      const wire = await Wire.open(gateway.port)
      wire.send(`POST ${path} HTTP/1.1\r\nHost: test\r\n${framing.head}\r\n`)
      const pump = new Pump(wire.socket, framing.pieces())
      const arrived = await upstream.arrival(path)
      const sent = await pump.blocked()
      expect(sent).toBeLessThan(size)
      expect(residentBytes(worker) - before).toBeLessThan(growth)
      arrived.socket.resume()
      await pump.done
      expect((await wire.response())?.status).toBe(200)
      wire.close()
      expect(arrived).toMatchObject({ bytes: size, hash, ending: 'complete' })
    },
  )
})

describe.each(['', '/undici'])('pieces go on at once (%s)', (prefix) => {
  const rounds = 50
  const piece = (i: number): string => `piece ${String(i).padStart(4, '0')};`
  const whole = Array.from({ length: rounds }, (_, i) => piece(i)).join('')

  test.each([
    ['counted', `Content-Length: ${whole.length}\r\n`, (text: string) => text, '', false],
    [
      'chunked',
      'Transfer-Encoding: chunked\r\n',
      (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`,
      '0\r\n\r\n',
      false,
    ],
    ['close-delimited', '', (text: string) => text, '', true],
  ])(
    '%s from the upstream: the next one is sent when the client has the one before',
    async (name, head, frame, end, closes) => {
      const path = `${prefix}/lockstep-down-${name}`
      let request: ArrivedRequest | null = null
      upstream.on(path, (arrived) => {
        request = arrived
        arrived.send(`HTTP/1.1 200 OK\r\n${head}\r\n${frame(piece(0))}`)
      })
      const wire = await Wire.open(gateway.port)
      let came = ''
      let next = 1
      wire.socket.on('data', (bytes: Buffer) => {
        came += bytes.toString('latin1')
        if (next > rounds || !came.includes(piece(next - 1))) return
        const arrived = request as unknown as ArrivedRequest
        if (next < rounds) arrived.send(frame(piece(next)))
        else if (closes) arrived.socket.end()
        else if (end !== '') arrived.send(end)
        next++
      })
      wire.request(`GET ${path}`)
      const response = await wire.response()
      wire.close()
      expect(response).toMatchObject({ status: 200, body: whole, complete: true })
    },
  )

  test.each([
    ['counted', `Content-Length: ${whole.length}\r\n`, (text: string) => text, ''],
    [
      'chunked',
      'Transfer-Encoding: chunked\r\n',
      (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`,
      '0\r\n\r\n',
    ],
  ])(
    '%s to the upstream: the next one is sent when the upstream has the one before',
    async (name, head, frame, end) => {
      const path = `${prefix}/lockstep-up-${name}`
      const wire = await Wire.open(gateway.port)
      upstream.on(path, (request) => {
        let next = 1
        request.onBody = () => {
          if (!request.body.endsWith(piece(next - 1))) return
          wire.send(next < rounds ? frame(piece(next)) : end)
          next++
        }
        void request.ended.then(() => request.reply('200 OK', [], request.body))
      })
      wire.send(`POST ${path} HTTP/1.1\r\nHost: test\r\n${head}\r\n${frame(piece(0))}`)
      const response = await wire.response()
      wire.close()
      expect(response).toMatchObject({ status: 200, body: whole })
    },
  )

  test('both at once: each piece of the answer comes while the upload goes on', async () => {
    const path = `${prefix}/lockstep-both`
    const frame = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
    upstream.on(path, (request) => {
      request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      request.onBody = (bytes) => request.send(frame(bytes.toString('latin1')))
      void request.ended.then((ending) => ending === 'complete' && request.send('0\r\n\r\n'))
    })
    const wire = await Wire.open(gateway.port)
    let came = ''
    let next = 1
    wire.socket.on('data', (bytes: Buffer) => {
      came += bytes.toString('latin1')
      if (next > rounds || !came.includes(piece(next - 1))) return
      wire.send(next < rounds ? frame(piece(next)) : '0\r\n\r\n')
      next++
    })
    wire.send(`POST ${path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n${frame(piece(0))}`)
    const response = await wire.response()
    wire.close()
    expect(response).toMatchObject({ status: 200, body: whole, complete: true })
  })
})

describe('bodies of special sizes', () => {
  test('an empty chunked answer stays empty, the connection goes on', async () => {
    upstream.on('/empty', (request) => request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'))
    const wire = await Wire.open(gateway.port)
    for (let i = 0; i < 3; i++) {
      wire.request('GET /empty')
      expect(await wire.response()).toMatchObject({ status: 200, body: '', complete: true })
    }
    wire.close()
  })

  test('an empty chunked answer whose end comes later', async () => {
    upstream.on('/empty-later', (request) => {
      request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      setImmediate(() => request.send('0\r\n\r\n'))
    })
    expect(await call(gateway.port, 'GET /empty-later')).toMatchObject({ status: 200, body: '', complete: true })
  })

  test.each(['', '/undici'])('a head whose body begins later (%s)', async (prefix) => {
    upstream.on(`${prefix}/later`, (request) => {
      request.send('HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n')
      void call(gateway.port, 'GET /turn').then(() => request.send('4\r\nbody\r\n0\r\n\r\n'))
    })
    const response = await call(gateway.port, `GET ${prefix}/later`)
    expect(response).toMatchObject({ status: 200, body: 'body', complete: true })
    expect(response.field('x-a')).toBe('b')
  })

  test('an empty close-delimited answer', async () => {
    upstream.on('/empty-close', (request) => {
      request.send('HTTP/1.1 200 OK\r\n\r\n')
      request.socket.end()
    })
    expect(await call(gateway.port, 'GET /empty-close')).toMatchObject({ status: 200, body: '', complete: true })
  })

  test.each([1, 4095, 16_384, 65_535, 65_536, 65_537, 262_144, 1_000_003])('%d bytes both ways', async (bytes) => {
    const body = Buffer.concat([...payload(bytes)]).toString('latin1')
    upstream.on('/size', (request) => void request.ended.then(() => request.reply('200 OK', [], request.body)))
    const response = await call(gateway.port, 'POST /size', [`Content-Length: ${bytes}`], body)
    expect(response).toMatchObject({ status: 200, bytes, hash: payloadHash(bytes), complete: true })
  })
})

describe.each(['', '/undici'])('many slow readers at once (%s)', (prefix) => {
  test.each(['counted', 'chunked'])('each gets its own bytes of a %s answer', async (name) => {
    const bytes = 4 * 1024 * 1024
    const readers = Array.from({ length: 12 }, async (_, i) => {
      const path = `${prefix}/own-${name}-${i}`
      upstream.on(path, (request) => {
        const counted = name === 'counted'
        request.send(
          `HTTP/1.1 200 OK\r\n${counted ? `Content-Length: ${bytes}` : 'Transfer-Encoding: chunked'}\r\n\r\n`,
        )
        void new Pump(request.socket, counted ? payload(bytes, i) : chunkedPayload(bytes, i))
      })
      const wire = await Wire.open(gateway.port)
      // Reads one piece, then none while another request goes through.
      wire.socket.on('data', () => {
        wire.pause()
        void call(gateway.port, 'GET /turn').then(() => wire.resume())
      })
      wire.request(`GET ${path}`)
      const response = await wire.response()
      wire.close()
      return [response?.bytes, response?.hash, response?.complete]
    })
    expect(await Promise.all(readers)).toEqual(readers.map((_, i) => [bytes, payloadHash(bytes, i), true]))
  })
})

describe.each(['', '/undici'])('an answer that comes while the upload goes on (%s)', (prefix) => {
  test.each(framings)(
    'reaches the client whole, and the $name upload is broken off',
    async ({ name, head, pieces }) => {
      const path = `${prefix}/early-${name}`
      upstream.on(path, (request) => request.reply('403 Forbidden', [], 'enough'))
      const wire = await Wire.open(gateway.port)
      wire.send(`POST ${path} HTTP/1.1\r\nHost: test\r\n${head}\r\n`)
      const pump = new Pump(wire.socket, pieces())
      const response = await wire.response()
      expect(response).toMatchObject({ status: 403, body: 'enough', complete: true })
      expect(response?.field('connection')).toBe('close')
      expect(await upstream.to(path)[0]?.ended).toBe('broken')
      wire.close()
      await pump.done
    },
  )

  test.each([
    ['counted', (bytes: number) => `Content-Length: ${bytes}\r\n`, payload],
    ['chunked', () => 'Transfer-Encoding: chunked\r\n', chunkedPayload],
  ])('a large one, too (%s)', async (name, field, pieces) => {
    const bytes = 4 * 1024 * 1024
    const path = `${prefix}/early-large-${name}`
    upstream.on(path, (request) => {
      request.send(`HTTP/1.1 200 OK\r\n${field(bytes)}\r\n`)
      void new Pump(request.socket, pieces(bytes))
    })
    const wire = await Wire.open(gateway.port)
    wire.send(`POST ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nonly this`)
    const response = (await wire.response()) as WireResponse
    expect(response).toMatchObject({ status: 200, bytes, hash: payloadHash(bytes), complete: true })
    expect(await upstream.to(path)[0]?.ended).toBe('broken')
    wire.close()
  })
})
