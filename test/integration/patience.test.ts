import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { payload, payloadHash } from '../support/payload.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire } from '../support/wire.ts'

// The front end has limits of its own: ten seconds without a byte, 16 kB a second while uploading. They must not be
// felt where the configuration allows more. Nothing but time shows that, so all of it passes at once.
const pause = 13_000

let upstream: RawUpstream
let gateway: RunningGateway

beforeAll(async () => {
  upstream = await RawUpstream.start()
  gateway = await startGateway(
    {
      access_log: 'off',
      limits: { body_size: 'off' },
      timeouts: { response: '60s', body_idle: '60s' },
      routes: [{ name: 'any', upstream: `http://${upstream.target}` }],
    },
    { workers: 1 },
  )
  // What fails is told by its own test.
  for (const [name, run] of runs)
    under.set(
      name,
      run().catch((error: unknown) => error),
    )
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

/** Everything that is tried, begun at once before the first test. */
const runs = new Map<string, () => Promise<void>>()
const under = new Map<string, Promise<unknown>>()

function scenario(name: string, run: () => Promise<void>): void {
  runs.set(name, run)
}

function scenarios(rows: readonly (readonly string[])[], name: string, run: (...row: string[]) => Promise<void>): void {
  for (const row of rows) scenario(name.replace('%s', row[0] as string), () => run(...row))
}

const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, pause))

scenario('an answer that takes long to begin', async () => {
  upstream.on('/late', (request) => void wait().then(() => request.reply('200 OK', [], 'at last')))
  expect(await call(gateway.port, 'GET /late')).toMatchObject({ status: 200, body: 'at last' })
})

scenario('an answer to an upload that takes long to begin', async () => {
  upstream.on('/late-upload', (request) => void wait().then(() => request.reply('200 OK', [], request.body)))
  const wire = await Wire.open(gateway.port)
  wire.request('POST /late-upload', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n')
  expect(await wire.response()).toMatchObject({ status: 200, body: 'hello' })
  wire.close()
})

scenarios(
  [
    ['counted', 'Content-Length: 10', 'start', ' end.'],
    ['chunked', 'Transfer-Encoding: chunked', '5\r\nstart\r\n', '5\r\n end.\r\n0\r\n\r\n'],
  ],
  'silence in the middle of a %s answer',
  async (name, field, start, end) => {
    upstream.on(`/gap-${name}`, (request) => {
      request.send(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n${start}`)
      void wait().then(() => request.send(end))
    })
    expect(await call(gateway.port, `GET /gap-${name}`)).toMatchObject({
      status: 200,
      body: 'start end.',
      complete: true,
    })
  },
)

scenarios(
  [
    ['counted', 'Content-Length: 10', 'start', ' end.'],
    ['chunked', 'Transfer-Encoding: chunked', '5\r\nstart\r\n', '5\r\n end.\r\n0\r\n\r\n'],
  ],
  'silence in the middle of a %s upload',
  async (name, field, start, end) => {
    upstream.on(`/pause-${name}`, (request) => void request.ended.then(() => request.reply('200 OK', [], request.body)))
    const wire = await Wire.open(gateway.port)
    wire.request(`POST /pause-${name}`, [field], start)
    await wait()
    wire.send(end)
    expect(await wire.response()).toMatchObject({ status: 200, body: 'start end.' })
    wire.close()
  },
)

scenario('an upload of one byte a second', async () => {
  upstream.on('/trickle', (request) => void request.ended.then(() => request.reply('200 OK', [], request.body)))
  const wire = await Wire.open(gateway.port)
  const count = pause / 1000
  wire.request('POST /trickle', [`Content-Length: ${count}`])
  for (let i = 0; i < count; i++) {
    wire.send('x')
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  expect(await wire.response()).toMatchObject({ status: 200, body: 'x'.repeat(count) })
  wire.close()
})

scenarios([['counted'], ['chunked']], 'a client that stops reading a large %s answer for a while', async (name) => {
  const size = 32 * 1024 * 1024
  upstream.on(`/unread-${name}`, (request) => {
    const chunked = name === 'chunked'
    request.send(`HTTP/1.1 200 OK\r\n${chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${size}`}\r\n\r\n`)
    for (const piece of payload(size)) {
      if (chunked) request.send(`${piece.length.toString(16)}\r\n`)
      request.send(piece)
      if (chunked) request.send('\r\n')
    }
    if (chunked) request.send('0\r\n\r\n')
  })
  const wire = await Wire.open(gateway.port)
  wire.pause()
  wire.request(`GET /unread-${name}`)
  await wait()
  wire.resume()
  expect(await wire.response()).toMatchObject({ status: 200, bytes: size, hash: payloadHash(size), complete: true })
  wire.close()
})

scenario('but who goes on uploading behind a refusal that said close is cut off', async () => {
  const wire = await Wire.open(gateway.port)
  wire.request('POST /refused', ['Content-Length: 10000000000'])
  upstream.on('/refused', (request) => request.reply('403 Forbidden', [], 'no'))
  const drip = setInterval(() => wire.send('x'.repeat(1000)), 200)
  expect(await wire.response()).toMatchObject({ status: 403, body: 'no' })
  await wire.closed
  clearInterval(drip)
})

scenario('an upstream that stops taking a large upload for a while', async () => {
  const size = 32 * 1024 * 1024
  upstream.on('/untaken', (request) => {
    request.socket.pause()
    void wait().then(() => request.socket.resume())
    void request.ended.then(() => request.reply('200 OK', [], request.hash))
  })
  const wire = await Wire.open(gateway.port)
  wire.request('POST /untaken', [`Content-Length: ${size}`])
  await wire.pump(payload(size))
  expect(await wire.response()).toMatchObject({ status: 200, body: payloadHash(size) })
  wire.close()
})

test.each([...runs.keys()])(
  'the configured limits are the only ones: %s',
  async (name) => expect(await under.get(name)).toBeUndefined(),
  40_000,
)
