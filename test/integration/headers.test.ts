import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { identityHeaders } from '../../src/core/headers.ts'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type Answer, type ArrivedRequest, RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire, type WireResponse } from '../support/wire.ts'

let upstream: RawUpstream
let gateway: RunningGateway
/** Trusts 127.0.0.0/8 and 10.0.0.0/8. */
let behind: RunningGateway
/** Replaces and drops `server`. */
let renamed: RunningGateway
let nameless: RunningGateway

const injector = `
export default {
  name: 'injector', summary: 'Adds a header.', class: 'traffic', priority: 100,
  schema: { parse: (config) => config },
  injects: () => ['X-Injected-Tier'],
  create: () => ({ access: (ctx) => { ctx.headers.push('x-injected-tier', 'gold') } }),
}
`

beforeAll(async () => {
  upstream = await RawUpstream.start()
  const config = {
    access_log: 'off',
    workers: 1,
    routes: [
      { name: 'injecting', paths: ['/injecting/*'], upstream: 'raw', plugins: [{ use: './injector.js' }] },
      { name: 'any', paths: ['/*'], upstream: 'raw' },
    ],
    upstreams: [{ name: 'raw', targets: [{ target: upstream.target }] }],
  }
  const files = { 'injector.js': injector }
  ;[gateway, behind, renamed, nameless] = await Promise.all([
    startGateway(config, { files }),
    startGateway({ ...config, trusted_proxies: ['127.0.0.0/8', '10.0.0.0/8'] }, { files }),
    startGateway({ ...config, server_header: 'edge' }, { files }),
    startGateway({ ...config, server_header: 'off' }, { files }),
  ])
}, 60_000)

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

let count = 0

/** Sends a GET with these fields; both sides of it. */
async function through(
  fields: readonly (string | Buffer)[],
  answer: Answer = (request) => request.reply(),
  { at = gateway, path = `/path-${count++}`, method = 'GET' } = {},
): Promise<{ sent: ArrivedRequest; response: WireResponse }> {
  upstream.on(path, answer)
  const wire = await Wire.open(at.port)
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: test', ...fields]
  for (const line of lines)
    wire.send(Buffer.concat([typeof line === 'string' ? Buffer.from(line, 'utf8') : line, Buffer.from('\r\n')]))
  wire.send('\r\n')
  const response = await wire.response(method)
  wire.close()
  return { sent: upstream.to(path)[0] as ArrivedRequest, response: response as WireResponse }
}

describe('what the gateway tells the upstream', () => {
  test('who calls, how, and what was asked for', async () => {
    const { sent } = await through(['Host: api.example.com:9999'].slice(1))
    expect(sent.field('x-forwarded-for')).toBe('127.0.0.1')
    expect(sent.field('x-forwarded-proto')).toBe('http')
    expect(sent.field('x-forwarded-host')).toBe('test')
    expect(sent.field('x-forwarded-port')).toBe(String(gateway.port))
    expect(sent.field('via')).toBe('1.1 sluice')
  })

  test('Via is appended to what is there', async () => {
    const { sent } = await through(['Via: 1.0 first, 1.1 second', 'Via: 2 third'])
    expect(sent.field('via')).toBe('1.0 first, 1.1 second, 2 third, 1.1 sluice')
  })

  test('a request id is made, and the client hears it', async () => {
    const { sent, response } = await through([])
    expect(sent.field('x-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)
    expect(response.field('x-request-id')).toBe(sent.field('x-request-id'))
  })

  test('a sane request id of the client is kept', async () => {
    const { sent, response } = await through(['X-Request-ID: order:42_A.b-c/d+e='])
    expect(sent.field('x-request-id')).toBe('order:42_A.b-c/d+e=')
    expect(response.field('x-request-id')).toBe('order:42_A.b-c/d+e=')
  })

  test.each(['', 'a b', '"quoted"', 'x'.repeat(129), 'é', '<script>'])('request id %j is replaced', async (id) => {
    const { sent, response } = await through([`X-Request-Id: ${id}`])
    expect(sent.field('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
    expect(response.field('x-request-id')).toBe(sent.field('x-request-id'))
  })

  test("the upstream's own request id does not double the answer's", async () => {
    const { sent, response } = await through([], (request) => request.reply('200 OK', ['X-Request-Id: its-own']))
    expect(response.field('x-request-id')).toBe(sent.field('x-request-id'))
  })

  test('what an untrusted client claims of a proxy is dropped', async () => {
    const { sent } = await through([
      'X-Forwarded-For: 203.0.113.9',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: evil.example',
      'X-Forwarded-Port: 1',
      'X-Real-IP: 203.0.113.9',
      'Forwarded: for=203.0.113.9;host=evil.example',
    ])
    expect(sent.field('x-forwarded-for')).toBe('127.0.0.1')
    expect(sent.field('x-forwarded-proto')).toBe('http')
    expect(sent.field('x-forwarded-host')).toBe('test')
    expect(sent.field('x-forwarded-port')).toBe(String(gateway.port))
    expect(sent.field('x-real-ip')).toBeUndefined()
    expect(sent.field('forwarded')).toBeUndefined()
  })
})

describe('addresses of peers', () => {
  test('clients at once are told apart, also when one of them has gone', async () => {
    const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
    const wires = await Promise.all(addresses.map((from) => Wire.open(gateway.port, { from })))
    const seen = async (wire: Wire, path: string): Promise<string | undefined> => {
      wire.request(`GET ${path}`)
      expect((await wire.response())?.status).toBe(200)
      return upstream.to(path)[0]?.field('x-forwarded-for')
    }
    for (const [i, wire] of wires.entries()) expect(await seen(wire, `/peer-${i}`)).toBe(addresses[i])
    wires[0]?.close()
    wires[2]?.close()
    const late = await Wire.open(gateway.port, { from: '127.0.0.4' })
    expect(await seen(late, '/peer-late')).toBe('127.0.0.4')
    expect(await seen(wires[1] as Wire, '/peer-again')).toBe('127.0.0.2')
    for (const wire of [...wires, late]) wire.close()
  })
})

describe('behind a trusted proxy', () => {
  const options = (): { at: RunningGateway } => ({ at: behind })
  const plain: Answer = (request) => request.reply()

  test('X-Forwarded-* are believed and continued', async () => {
    const { sent } = await through(
      [
        'X-Forwarded-For: 203.0.113.9, 10.0.0.7',
        'X-Forwarded-Proto: https',
        'X-Forwarded-Host: shop.example',
        'X-Forwarded-Port: 443',
      ],
      plain,
      options(),
    )
    expect(sent.field('x-forwarded-for')).toBe('203.0.113.9, 10.0.0.7, 127.0.0.1')
    expect(sent.field('x-forwarded-proto')).toBe('https')
    expect(sent.field('x-forwarded-host')).toBe('shop.example')
    expect(sent.field('x-forwarded-port')).toBe('443')
  })

  test('Forwarded is believed and continued where there is no X-Forwarded-For', async () => {
    const { sent } = await through(['Forwarded: for="[2001:db8::7]:4711";proto=https, for=10.1.1.1'], plain, options())
    expect(sent.field('forwarded')).toBe('for="[2001:db8::7]:4711";proto=https, for=10.1.1.1, for=127.0.0.1')
    expect(sent.field('x-forwarded-for')).toBe('2001:db8::7, 127.0.0.1')
  })

  test.each(['ftp', 'https, http', ''])('an odd X-Forwarded-Proto (%j) is not passed on', async (proto) => {
    const { sent } = await through([`X-Forwarded-Proto: ${proto}`], plain, options())
    expect(sent.field('x-forwarded-proto')).toBe('http')
  })
})

describe('identity headers', () => {
  test.each(identityHeaders)('%s of a client never arrives, whatever its case and number', async (name) => {
    const upper = name.toUpperCase()
    const mixed = name.replace(/(^|-)./g, (start) => start.toUpperCase())
    const { sent } = await through([`${name}: admin`, 'X-Between: yes', `${upper}: root`, `${mixed}: `, `${mixed}: x`])
    expect(sent.all(name)).toEqual([])
    expect(sent.field('x-between')).toBe('yes')
  })

  test('what a plugin injects is removed on every route, and injected on its own', async () => {
    const elsewhere = await through(['X-Injected-Tier: platinum', 'x-injected-TIER: gold'])
    expect(elsewhere.sent.all('x-injected-tier')).toEqual([])
    const there = await through(['X-Injected-Tier: platinum'], undefined, { path: '/injecting/a' })
    expect(there.sent.all('x-injected-tier')).toEqual(['gold'])
  })

  test('naming them in Connection changes nothing', async () => {
    const { sent } = await through([
      'Connection: x-user-id, x-request-id, via, x-forwarded-for, host',
      'X-User-Id: root',
    ])
    expect(sent.all('x-user-id')).toEqual([])
    expect(sent.field('x-request-id')).toBeDefined()
    expect(sent.field('via')).toBe('1.1 sluice')
    expect(sent.field('x-forwarded-for')).toBe('127.0.0.1')
    expect(sent.field('host')).toBe(upstream.target)
  })
})

describe('hop-by-hop fields', () => {
  test('stop at the gateway on their way to the upstream', async () => {
    const { sent } = await through([
      'Connection: close, X-Hop, ,Keep-Alive',
      'Connection: x-second-HOP',
      'X-Hop: 1',
      'x-hop: 2',
      'X-Second-Hop: 3',
      'Keep-Alive: timeout=5',
      'TE: trailers, deflate',
      'Trailer: X-Sum',
      'Upgrade: h2c',
      'Proxy-Connection: keep-alive',
      'Proxy-Authorization: Basic eDp5',
      'Proxy-Authenticate: Basic',
      'X-End: yes',
    ])
    const names = ['connection', 'x-hop', 'x-second-hop', 'keep-alive', 'te', 'trailer', 'upgrade']
    for (const name of [...names, 'proxy-connection', 'proxy-authorization', 'proxy-authenticate']) {
      expect([name, sent.all(name)]).toEqual([name, []])
    }
    expect(sent.field('x-end')).toBe('yes')
  })

  test('stop at the gateway on their way to the client', async () => {
    const { response } = await through([], (request) =>
      request.reply('200 OK', [
        'Connection: X-Hop, keep-alive',
        'X-Hop: 1',
        'Keep-Alive: timeout=5',
        'Proxy-Authenticate: Basic',
        'Proxy-Connection: keep-alive',
        'Trailer: X-Sum',
        'TE: trailers',
        'Upgrade: h2c',
        'X-End: yes',
      ]),
    )
    for (const name of [
      'connection',
      'x-hop',
      'keep-alive',
      'proxy-authenticate',
      'proxy-connection',
      'trailer',
      'te',
      'upgrade',
    ]) {
      expect([name, response.field(name)]).toEqual([name, undefined])
    }
    expect(response.field('x-end')).toBe('yes')
  })

  test.each([
    ['counted', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['chunked', 'GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'],
  ])(
    'Connection: close of the client closes its connection, and not that to the upstream (%s)',
    async (name, method, bytes) => {
      const path = `/closing-${name}`
      upstream.on(path, (request) => request.send(bytes))
      const wire = await Wire.open(gateway.port)
      wire.request(`${method} ${path}`, ['Connection: close'])
      expect(await wire.response(method)).toMatchObject({ complete: true })
      await wire.closed
      expect(upstream.to(path)[0]?.socket.destroyed).toBe(false)
    },
  )

  test('trailers of the upstream are dropped, the answer is complete', async () => {
    const { response } = await through([], (request) =>
      request.send(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n',
      ),
    )
    expect(response.body).toBe('body')
    expect(response.complete).toBe(true)
    expect(response.field('x-sum')).toBeUndefined()
  })
})

describe('everything else', () => {
  test('passes unchanged and in order, Authorization and Cookie included', async () => {
    const fields = [
      'Authorization: Bearer a.b.c',
      'X-API-Key: k-1',
      'Cookie: a=1; b=2',
      'X-Twice: 1',
      'X-Other: ',
      'X-Twice: 2',
      'Accept: */*',
    ]
    const { sent } = await through(fields)
    expect(sent.fields.slice(1, 1 + fields.length).map(([name, value]) => `${name}: ${value}`)).toEqual(
      fields.map((field) => field.replace(/^[^:]+/, (name) => name.toLowerCase())),
    )
  })

  test('values in UTF-8 arrive byte for byte', async () => {
    const value = '"grüße, 日本語, 🦊"'
    const { sent } = await through([`X-Text: ${value}`])
    expect(Buffer.from(sent.field('x-text') as string, 'latin1').toString('utf8')).toBe(value)
  })

  // The front end's build for Node.js 20 takes bytes beyond ASCII at either end of a value for spaces.
  test('or without what lies beyond ASCII at their ends', async () => {
    const { sent } = await through(['X-Text: é José é'])
    expect(['Jos', 'é José é']).toContain(Buffer.from(sent.field('x-text') as string, 'latin1').toString('utf8'))
  })

  test('a value with characters that hide line breaks from latin1 cannot add a field', async () => {
    const { sent } = await through(['X-Text: a\u010a\u010dX-User-Id: root'])
    expect(sent.all('x-user-id')).toEqual([])
    expect(Buffer.from(sent.field('x-text') as string, 'latin1').toString('utf8')).toBe('a\u010a\u010dX-User-Id: root')
  })

  test.each([
    ['latin1', Buffer.from('caf\xe9 \xff\x80', 'latin1')],
    ['UTF-8', Buffer.from('grüße, 日本語, 🦊', 'utf8')],
  ])('response values in %s reach the client byte for byte', async (_name, bytes) => {
    const { response } = await through([], (request) => {
      request.send('HTTP/1.1 200 OK\r\nX-Text: ')
      request.send(bytes)
      request.send('\r\nContent-Length: 2\r\n\r\nok')
    })
    expect(response.field('x-text')).toBe(bytes.toString('latin1'))
    expect(response.body).toBe('ok')
  })

  test('several Set-Cookie stay apart and in order', async () => {
    const cookies = ['a=1; Path=/', 'b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT', 'a=3']
    const { response } = await through([], (request) =>
      request.reply(
        '200 OK',
        cookies.map((cookie) => `Set-Cookie: ${cookie}`),
      ),
    )
    expect(response.fields.filter(([name]) => name === 'set-cookie').map(([, value]) => value)).toEqual(cookies)
  })

  test('the answer has exactly one Date and no word of the front end', async () => {
    const { response } = await through([], (request) =>
      request.reply('200 OK', ['Date: Wed, 21 Oct 2015 07:28:00 GMT']),
    )
    expect(response.fields.filter(([name]) => name.toLowerCase() === 'date')).toHaveLength(1)
    expect(response.field('uwebsockets')).toBeUndefined()
  })

  test('15 kB of fields work in both directions', async () => {
    const fields = Array.from({ length: 15 }, (_, i) => `x-large-${i}: ${String(i).repeat(1000).slice(0, 1000)}`)
    const { sent, response } = await through(fields, (request) => request.reply('200 OK', fields))
    for (const field of fields) {
      const [name, value] = field.split(': ') as [string, string]
      expect(sent.field(name)).toBe(value)
      expect(response.field(name)).toBe(value)
    }
  })
})

describe('server_header', () => {
  const answer: Answer = (request) => request.reply('200 OK', ['Server: nginx', 'X-A: b'])

  test("passes the upstream's by default", async () => {
    expect((await through([], answer)).response.field('server')).toBe('nginx')
  })

  test('replaces it, and adds it where there is none', async () => {
    const { response } = await through([], answer, { at: renamed })
    expect(response.field('server')).toBe('edge')
    expect(response.field('x-a')).toBe('b')
    expect((await through([], undefined, { at: renamed })).response.field('server')).toBe('edge')
  })

  test('drops it', async () => {
    const { response } = await through([], answer, { at: nameless })
    expect(response.field('server')).toBeUndefined()
    expect(response.field('x-a')).toBe('b')
  })
})

test('the host that the client asked for stands in X-Forwarded-Host', async () => {
  await call(gateway.port, 'GET /asked-host', ['Host: Api.Example.com:9999'])
  expect(upstream.to('/asked-host')[0]?.field('x-forwarded-host')).toBe('Api.Example.com:9999')
})
