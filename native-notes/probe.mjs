/**
 * Asks the native front end, over real sockets, what native-notes/uwebsockets.md says of it, and prints each answer.
 * Run it before a new version of the library is taken: `node native-notes/probe.mjs`. Exit 1 when one differs.
 * It waits for the idle time-out of what the library leaves silent: about fifteen seconds.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { generate } from 'selfsigned'

process.env.UWS_HTTP_MAX_HEADERS_SIZE = '16384'
const uws = createRequire(import.meta.url)('uWebSockets.js')

/** What the server saw of the requests of the probe under way, one object each. */
let seen = []
let differing = 0

const plain = await listen(uws.App())
uws._cfg('silent')
const folder = mkdtempSync(join(tmpdir(), 'sluice-probe-'))
const pem = await generate([{ name: 'commonName', value: 'localhost' }])
writeFileSync(join(folder, 'key.pem'), pem.private)
writeFileSync(join(folder, 'cert.pem'), pem.cert)
const files = { key_file_name: join(folder, 'key.pem'), cert_file_name: join(folder, 'cert.pem') }
const tls12 = await listen(uws.SSLApp(files))
const tls13 = await listen(uws.SSLApp({ ...files, ssl_ciphers: 'PSK-AES128-CBC-SHA' }))

const get = 'GET / HTTP/1.1\r\nHost: a\r\n'
const chunked = `${get}Transfer-Encoding: chunked\r\n\r\n`

// What it adds to answers. `_cfg('silent')` was set above.
await probe("_cfg('silent') drops its own header", [`${get}\r\n`], /^HTTP\/1\.1 200 OK\r\n(?!.*uWebSockets)/s)
await probe('adds Date', [`${get}\r\n`], /\r\nDate: /)

// What it answers by itself, and then closes.
const refused = { closed: true, requests: 0 }
await probe('HTTP/1.0', ['GET / HTTP/1.0\r\nHost: a\r\n\r\n'], /^HTTP\/1\.1 505 /, refused)
await probe('absolute form', ['GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n'], /^HTTP\/1\.1 505 /, refused)
await probe('OPTIONS *', ['OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'], /^HTTP\/1\.1 505 /, refused)
await probe(
  'Content-Length with chunked',
  [chunked.replace('Tr', 'Content-Length: 1\r\nTr')],
  /^HTTP\/1\.1 400 /,
  refused,
)
await probe('no Host', ['GET / HTTP/1.1\r\nX: y\r\n\r\n'], /^HTTP\/1\.1 400 /, refused)
await probe('PROXY protocol 1', [`PROXY TCP4 192.0.2.7 192.0.2.8 4000 80\r\n${get}\r\n`], /^HTTP\/1\.1 505 /, refused)
await probe('17 kB head, two reads', [`${get}X: ${'x'.repeat(9_000)}`, 'x'.repeat(8_000)], /^HTTP\/1\.1 431 /, refused)
await probe('pipelined before the answer', [`GET /later HTTP/1.1\r\nHost: a\r\n\r\n${get}\r\n`], /^$/, {
  closed: true,
  requests: 1,
})
await probe('chunk size +1', [`${chunked}+1\r\nx\r\n0\r\n\r\n`], /^HTTP\/1\.1 400 /, { closed: true, completed: 0 })
await probe('trailer field', [`${chunked}1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n`], /HTTP\/1\.1 505 /, {
  closed: true,
  requests: 1,
  completed: 1,
})
await probe('Expect: 100-continue', [`${get}Content-Length: 1\r\nExpect: 100-continue\r\n\r\n`], /^HTTP\/1\.1 100 /)

// What it lets through and the listener must catch.
const passed = { requests: 1, completed: 1 }
await probe('17 kB head, one read', [`${get}X: ${'x'.repeat(17_000)}\r\n\r\n`], /^HTTP\/1\.1 200 /, passed)
await probe('two Content-Length', [`${get}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`], /^HTTP\/1\.1 200 /, passed)
await probe('Transfer-Encoding: gzip', [`${chunked.replace('chunked', 'gzip')}0\r\n\r\n`], /^HTTP\/1\.1 200 /, passed)
await probe('two Host', [`${get}Host: b\r\n\r\n`], /^HTTP\/1\.1 200 /, passed)
await probe('method GE(T', ['GE(T / HTTP/1.1\r\nHost: a\r\n\r\n'], /^HTTP\/1\.1 200 /, passed)
await probe('byte 0xe9 in the path', [latin1('GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n')], /^HTTP\/1\.1 200 /, passed)
await probe('byte 0xe9 in a value is lost', [latin1(`${get}X: \xe9b\r\n\r\n`)], /^HTTP\/1\.1 200 /, {
  sees: ({ fields }) => fields.join() === 'host=a,x=b',
})
await probe('an empty field name hides what follows', [`${get}: v\r\nX: y\r\n\r\n`], /^HTTP\/1\.1 200 /, {
  sees: ({ fields }) => fields.join() === 'host=a',
})
await probe('PROXY protocol 2', [withProxy(7)], /^HTTP\/1\.1 200 /, {
  sees: ({ proxied }) => proxied === '192.0.2.7',
})
await probe('PROXY protocol 2, header by itself', [proxyHeader(7), `${get}\r\n`], /^HTTP\/1\.1 505 /, refused)
await probe('a second PROXY header changes the address', [withProxy(7), withProxy(9)], /200 .*200 /s, {
  sees: () => seen[1]?.proxied === '192.0.2.9',
  answers: 2,
})

// Its reading of chunked bodies, which the listener can't see.
await probe('chunk extension after a space', [`${chunked}1 ;a=b\r\nx\r\n0\r\n\r\n`], /^HTTP\/1\.1 200 /, passed)
await probe(
  'chunk extension read as digits: 1;a is 0x1ba',
  [`${chunked}1;a\r\n${'x'.repeat(442)}\r\n0\r\n\r\n`],
  /200 /,
  {
    sees: ({ bytes }) => bytes === 442,
  },
)
await probe('any two bytes end a chunk', [`${chunked}1\r\nxYZ0\r\n\r\n`], /^HTTP\/1\.1 200 /, passed)
await probe(
  'two bytes behind the last chunk are skipped, then a request is read',
  [`${chunked}0\r\nXXGET /second HTTP/1.1\r\nHost: a\r\n\r\n`],
  /^HTTP\/1\.1 200 /,
  { sees: () => seen[1]?.url === '/second' },
)

// What it leaves silent until its idle time-out. All at once: each waits for it.
const fields = Array.from({ length: 101 }, (_, i) => `X-${i}: 1\r\n`).join('')
await Promise.all([
  silent('a field line without a colon', `${get}nonsense\r\n\r\n`),
  silent('no field at all', 'GET / HTTP/1.1\r\n\r\n'),
  silent('over 100 fields', `${get}${fields}\r\n`),
])

await handshake('TLS 1.1 is refused', tls12, 'TLSv1.1', false)
await handshake('TLS 1.2 is the floor', tls12, 'TLSv1.2', true)
await handshake('min_version 1.3: TLS 1.2 fails', tls13, 'TLSv1.2', false)
await handshake('min_version 1.3: TLS 1.3 works', tls13, 'TLSv1.3', true)

rmSync(folder, { recursive: true })
process.exit(differing === 0 ? 0 : 1)

/** Starts a server that answers when the body is complete (`/later`: never) and notes what it saw. */
function listen(app) {
  app.any('/*', (res, req) => {
    const request = { url: req.getUrl(), fields: [], proxied: '', bytes: 0, completed: false }
    req.forEach((name, value) => request.fields.push(`${name}=${value}`))
    request.proxied = Buffer.from(res.getProxiedRemoteAddressAsText()).toString()
    seen.push(request)
    let aborted = false
    res.onAborted(() => {
      aborted = true
    })
    res.onData((chunk, last) => {
      request.bytes += chunk.byteLength
      if (!last) return
      request.completed = true
      if (request.url !== '/later' && !aborted) res.cork(() => res.end('ok'))
    })
  })
  return new Promise((resolve, reject) => {
    app.listen('127.0.0.1', 0, (socket) => {
      if (socket === false) reject(new Error('cannot listen'))
      else resolve(uws.us_socket_local_port(socket))
    })
  })
}

/** Sends the parts, one packet each, waits for the first answer or the end of the connection, and compares. */
async function probe(what, parts, answer, expected = {}) {
  seen = []
  const outcome = await exchange(parts, expected.closed === true, expected.answers ?? 1)
  const completed = seen.filter((request) => request.completed).length
  const right =
    answer.test(outcome.text) &&
    (expected.requests === undefined || seen.length === expected.requests) &&
    (expected.completed === undefined || completed === expected.completed) &&
    (expected.sees === undefined || (seen[0] !== undefined && expected.sees(seen[0])))
  const line = outcome.text.match(/HTTP\/1\.1 \d+/g)?.join(' then ') ?? 'no answer'
  report(right, what, `${line}${outcome.closed ? ', closed' : ''}, requests ${seen.length}, complete ${completed}`)
}

async function silent(what, bytes) {
  const startedAt = Date.now()
  const { text } = await exchange([bytes], true)
  const seconds = Math.round((Date.now() - startedAt) / 1000)
  report(
    text === '' && seconds >= 8,
    what,
    `${text === '' ? 'silence' : text.split('\r\n')[0]}, closed after ${seconds} s`,
  )
}

function exchange(parts, untilClosed, answers = 1) {
  return new Promise((resolve) => {
    let text = ''
    let sent = 0
    const socket = connect({ port: plain, host: '127.0.0.1', noDelay: true }, next)
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (untilClosed || text.split('HTTP/1.1 ').length <= answers) return
      resolve({ text, closed: false })
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve({ text, closed: true }))

    function next() {
      const part = parts[sent++]
      if (part !== undefined && !socket.destroyed) socket.write(part, () => setTimeout(next, 50))
    }
  })
}

function latin1(text) {
  return Buffer.from(text, 'latin1')
}

/** A client that offers exactly one version of TLS. */
function handshake(what, port, version, expected) {
  return new Promise((resolve) => {
    const done = (works, detail) => {
      report(works === expected, what, detail)
      socket.destroy()
      resolve()
    }
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      ciphers: 'DEFAULT:@SECLEVEL=0',
    })
    socket.on('secureConnect', () => done(true, `${socket.getProtocol()} ${socket.getCipher().name}`))
    socket.on('error', (error) => done(false, error.code ?? error.message))
  })
}

/** PROXY protocol, version 2: TCP over IPv4 from 192.0.2.`last`:4000 to 192.0.2.8:80. */
function proxyHeader(last) {
  const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
  return Buffer.from([...signature, 0x21, 0x11, 0, 12, 192, 0, 2, last, 192, 0, 2, 8, 0x0f, 0xa0, 0, 80])
}

function withProxy(last) {
  return Buffer.concat([proxyHeader(last), latin1(`${get}\r\n`)])
}

function report(right, what, observed) {
  if (!right) differing++
  console.log(`${right ? 'as noted ' : 'DIFFERENT'}  ${what}: ${observed}`)
}
