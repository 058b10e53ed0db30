import { createHash } from 'node:crypto'
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { certificateFor } from '../support/certificate.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { payload, payloadHash } from '../support/payload.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire } from '../support/wire.ts'

type Answer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

let server: Http2SecureServer
let older: RawUpstream
let plain: RawUpstream
let gateway: RunningGateway
let sessions = 0
const answers = new Map<string, Answer>()

beforeAll(async () => {
  const authority = await certificateFor(['test authority'], { isCa: true })
  const certificate = await certificateFor(['127.0.0.1'], { ca: authority })
  server = createSecureServer(certificate)
  server.on('session', () => sessions++)
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    const answer = answers.get(String(headers[':path']).split('?')[0] as string)
    if (answer !== undefined) return answer(stream, headers)
    stream.respond({ ':status': 200 })
    stream.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  older = await RawUpstream.start(certificate)
  plain = await RawUpstream.start()
  const tls = { ca: 'authority.pem' }
  gateway = await startGateway(
    {
      limits: { body_size: 'off' },
      routes: [
        {
          name: 'older',
          paths: ['/older/*'],
          upstream: { name: 'older', url: `https://127.0.0.1:${older.port}`, http2: true, tls },
        },
        {
          name: 'plain',
          paths: ['/plain/*'],
          upstream: { name: 'plain', url: `http://${plain.target}`, client: 'undici' },
        },
        { name: 'h2', paths: ['/*'], upstream: { name: 'h2', url: `https://127.0.0.1:${port}`, http2: true, tls } },
      ],
    },
    { workers: 1, files: { 'authority.pem': authority.cert } },
  )
})

afterAll(async () => {
  await stopGateways()
  server.close()
  await Promise.all([older.stop(), plain.stop()])
})

function logged(path: string): Promise<Record<string, unknown>> {
  return gateway.waitFor(`the access log line of ${path}`, () =>
    gateway.accessLog().find((line) => line['path'] === path),
  )
}

describe('HTTP/2 upstream', () => {
  test('method, path, query, fields and body arrive; the answer comes back', async () => {
    let headers: IncomingHttpHeaders = {}
    let body = ''
    answers.set('/a', (stream, received) => {
      headers = received
      stream.setEncoding('latin1').on('data', (text: string) => (body += text))
      stream.on('end', () => {
        stream.respond({ ':status': 201, 'x-a': 'b', 'set-cookie': ['a=1', 'b=2'] })
        stream.end('created')
      })
    })
    const fields = [
      'X-Text: one',
      'X-User-Id: root',
      'Connection: X-Hop',
      'X-Hop: 1',
      'TE: trailers',
      'Content-Length: 5',
    ]
    const response = await call(gateway.port, 'PUT /a?x=%20y', fields, 'hello')
    expect(headers).toMatchObject({
      ':method': 'PUT',
      ':path': '/a?x=%20y',
      ':scheme': 'https',
      'x-text': 'one',
      via: '1.1 sluice',
    })
    for (const name of ['x-user-id', 'x-hop', 'te', 'connection', 'keep-alive', 'transfer-encoding'])
      expect(headers).not.toHaveProperty(name)
    expect(body).toBe('hello')
    expect(response).toMatchObject({ status: 201, body: 'created', complete: true })
    expect(response.field('x-a')).toBe('b')
    expect(response.field('set-cookie')).toBe('a=1|b=2')
  })

  test('requests at once share a connection', async () => {
    await call(gateway.port, 'GET /warm')
    const before = sessions
    const streams: ServerHttp2Stream[] = []
    answers.set('/together', (stream) => {
      if (streams.push(stream) < 10) return
      for (const one of streams) {
        one.respond({ ':status': 200 })
        one.end('done')
      }
    })
    const responses = await Promise.all(Array.from({ length: 10 }, () => call(gateway.port, 'GET /together')))
    expect(responses.map(({ body }) => body)).toEqual(Array(10).fill('done'))
    expect(sessions).toBe(before)
  })

  test.each(['HEAD', '204', '304'])('%s has no body', async (kind) => {
    answers.set('/bodiless', (stream) => {
      stream.respond({ ':status': kind === 'HEAD' ? 200 : Number(kind), 'x-a': 'b' }, { endStream: true })
    })
    const wire = await Wire.open(gateway.port)
    const method = kind === 'HEAD' ? 'HEAD' : 'GET'
    for (let i = 0; i < 2; i++) {
      wire.request(`${method} /bodiless`)
      expect((await wire.response(method))?.field('x-a')).toBe('b')
    }
    wire.close()
  })

  test('16 MB pass in both directions', async () => {
    const size = 16 * 1024 * 1024
    answers.set('/large', (stream) => {
      const hash = createHash('sha256')
      stream.on('data', (bytes: Buffer) => hash.update(bytes))
      stream.on('end', () => {
        stream.respond({ ':status': 200, 'x-hash': hash.digest('hex') })
        for (const piece of payload(size)) stream.write(piece)
        stream.end()
      })
    })
    const wire = await Wire.open(gateway.port)
    wire.request('POST /large', [`Content-Length: ${size}`])
    await wire.pump(payload(size))
    const response = await wire.response()
    wire.close()
    expect(response?.field('x-hash')).toBe(payloadHash(size))
    expect(response).toMatchObject({ status: 200, bytes: size, hash: payloadHash(size), complete: true })
  })

  test('an answer that is reset reaches the client as incomplete', async () => {
    answers.set('/reset', (stream) => {
      stream.respond({ ':status': 200 })
      // Node would end the body in the regular way, and then reset the stream.
      stream._final = (done) => done()
      stream.write('some', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
    })
    const response = await call(gateway.port, 'GET /reset')
    expect(response).toMatchObject({ status: 200, complete: false })
    expect(await logged('/reset')).toMatchObject({ failure: 'upstream_body_broken' })
  })

  test('an upload that breaks off is reset and never complete', async () => {
    let arrived: () => void = () => {}
    const came = new Promise<void>((resolve) => (arrived = resolve))
    const outcome = new Promise<string>((resolve) => {
      answers.set('/broken', (stream) => {
        stream.once('data', () => arrived())
        stream.on('end', () => resolve('complete'))
        stream.on('aborted', () => resolve('aborted'))
      })
    })
    const wire = await Wire.open(gateway.port)
    wire.request('POST /broken', ['Content-Length: 10'], 'some')
    await came
    wire.close()
    expect(await outcome).toBe('aborted')
    expect(await logged('/broken')).toMatchObject({ failure: 'client_closed' })
  })

  test('a target that speaks HTTP/1.1 only is spoken to in that', async () => {
    const response = await call(gateway.port, 'POST /older/a', ['Content-Length: 5'], 'hello')
    expect(response.status).toBe(200)
    expect(older.to('/older/a')[0]).toMatchObject({ body: 'hello', ending: 'complete' })
  })
})

describe('HTTP/1.1 upstream with client: undici', () => {
  test('values in UTF-8 and latin1 pass byte for byte', async () => {
    const value = '"grüße, 日本語, 🦊"'
    const bytes = Buffer.from('caf\xe9', 'latin1')
    plain.on('/plain/text', (request) => {
      request.send('HTTP/1.1 200 OK\r\nX-Text: ')
      request.send(bytes)
      request.send('\r\nContent-Length: 0\r\n\r\n')
    })
    const wire = await Wire.open(gateway.port)
    wire.send(Buffer.from(`GET /plain/text HTTP/1.1\r\nHost: test\r\nX-Text: ${value}\r\n\r\n`))
    const response = await wire.response()
    wire.close()
    const arrived = plain.to('/plain/text')[0]?.field('x-text') ?? ''
    expect(Buffer.from(arrived, 'latin1').toString('utf8')).toBe(value)
    expect(response?.field('x-text')).toBe(bytes.toString('latin1'))
  })

  test.each(['PROPFIND', 'M-SEARCH', 'get'])('method %s arrives as it was sent, or is refused', async (method) => {
    const response = await call(gateway.port, `${method} /plain/method`)
    expect([200, 500, 501]).toContain(response.status)
    if (response.status === 200) expect(plain.to('/plain/method').at(-1)?.method).toBe(method)
  })

  test('103 goes on, 100 does not', async () => {
    plain.on('/plain/hints', (request) => {
      request.send('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n')
      request.reply('200 OK', [], 'body')
    })
    const response = await call(gateway.port, 'GET /plain/hints')
    expect(response.interim.map(({ status }) => status)).toEqual([103])
    expect(response.body).toBe('body')
  })

  test('connections are kept', async () => {
    for (let i = 0; i < 5; i++) await call(gateway.port, 'GET /plain/kept')
    expect(new Set(plain.to('/plain/kept').map(({ connection }) => connection)).size).toBe(1)
  })
})
