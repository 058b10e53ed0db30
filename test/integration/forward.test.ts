import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type Answer, type ArrivedRequest, RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire, type WireResponse } from '../support/wire.ts'

let upstream: RawUpstream
let gateway: RunningGateway

beforeAll(async () => {
  upstream = await RawUpstream.start()
  gateway = await startGateway(
    {
      access_log: 'off',
      routes: [
        { name: 'any', paths: ['/any/*'], upstream: 'raw' },
        { name: 'users', paths: ['/api/v1/users/*'], strip_path: true, upstream: 'raw' },
        { name: 'item', paths: ['/shop/items/{id}'], strip_path: true, upstream: 'raw' },
        { name: 'cut', paths: ['/cut/here/*'], strip_path: '/cut/here', upstream: 'raw' },
        { name: 'kept', paths: ['/kept/*'], preserve_host: true, upstream: 'raw' },
        { name: 'mounted', paths: ['/mounted/*'], upstream: `http://${upstream.target}/root/v2` },
        { name: 'limited', paths: ['/limited'], methods: ['GET', 'POST'], upstream: 'raw' },
        { name: 'limited-too', paths: ['/limited'], methods: ['DELETE'], upstream: 'raw' },
      ],
      upstreams: [{ name: 'raw', targets: [{ target: upstream.target }] }],
    },
    { workers: 1 },
  )
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

/** Sends a request, answers it so, and returns both sides. */
async function through(
  line: string,
  answer: Answer,
  fields: readonly string[] = [],
  body = '',
): Promise<{ sent: ArrivedRequest; response: WireResponse }> {
  const target = line.split(' ')[1] as string
  const path = target.split('?')[0] as string
  const before = upstream.to(path).length
  upstream.on(path, answer)
  const response = await call(gateway.port, line, fields, body)
  return { sent: upstream.to(path)[before] as ArrivedRequest, response }
}

const ok: Answer = (request) => request.reply()

describe('request line', () => {
  test.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'get', 'M-SEARCH'])(
    'method %s arrives as it was sent',
    async (method) => {
      const { sent, response } = await through(`${method} /any/method`, ok)
      expect(sent.head.split('\r\n')[0]).toBe(`${method} /any/method HTTP/1.1`)
      expect(response.status).toBe(200)
    },
  )

  test.each([
    '/any/',
    '/any/a/b/c/',
    '/any/%E2%82%AC/%C3%A9',
    "/any/a!$&'()*+,;=:@-._~",
    '/any/%20%3F%23%25',
    '/any/...',
    '/any/.hidden/..data',
  ])('path %s arrives byte for byte', async (path) => {
    const { sent } = await through(`GET ${path}`, ok)
    expect(sent.target).toBe(path)
  })

  test.each(['a=1&b=2', 'a=%2F%2e%2e%5C&a=&&=', 'x=../../etc', 'q=//\\a', "!$'()*+,;:@/?", '%zz', 'a?b?c'])(
    'query %s arrives byte for byte',
    async (query) => {
      const { sent } = await through(`GET /any/query?${query}`, ok)
      expect(sent.target).toBe(`/any/query?${query}`)
    },
  )

  test('an empty query arrives as none', async () => {
    const { sent } = await through('GET /any/empty-query?', ok)
    expect(sent.target).toBe('/any/empty-query')
  })
})

describe('strip_path and the base of the upstream', () => {
  async function arrivesAs(path: string): Promise<string> {
    const count = upstream.requests.length
    await call(gateway.port, `GET ${path}`)
    return (upstream.requests[count] as ArrivedRequest).target
  }

  test('true keeps the path from its last literal segment on', async () => {
    expect(await arrivesAs('/api/v1/users/42?full=1')).toBe('/users/42?full=1')
    expect(await arrivesAs('/api/v1/users/')).toBe('/users/')
    expect(await arrivesAs('/shop/items/7')).toBe('/items/7')
  })

  test('a string drops exactly that prefix', async () => {
    expect(await arrivesAs('/cut/here/1/2')).toBe('/1/2')
    expect(await arrivesAs('/cut/here/')).toBe('/')
  })

  test('the path of an upstream URL stands before that of the request', async () => {
    expect(await arrivesAs('/mounted/x?y')).toBe('/root/v2/mounted/x?y')
  })
})

describe('Host', () => {
  test('is the target by default', async () => {
    const { sent } = await through('GET /any/host', ok, ['Host: Api.Example.com:8080'])
    expect(sent.field('host')).toBe(upstream.target)
  })

  test('is what the client sent with preserve_host', async () => {
    const { sent } = await through('GET /kept/host', ok, ['Host: Api.Example.com:8080'])
    expect(sent.field('host')).toBe('Api.Example.com:8080')
  })
})

describe('answers without a body', () => {
  test('HEAD with a Content-Length keeps it and has no body', async () => {
    const { response } = await through('HEAD /any/head-counted', (request) =>
      request.send('HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n'),
    )
    expect(response.field('content-length')).toBe('1234')
    expect(response.field('x-a')).toBe('b')
  })

  test.each([
    ['chunked', 'Transfer-Encoding: chunked\r\n'],
    ['without any length', ''],
  ])('HEAD answered %s has neither length nor body', async (name, framing) => {
    const { response } = await through(`HEAD /any/head-${name.split(' ')[0]}`, (request) =>
      request.send(`HTTP/1.1 200 OK\r\n${framing}X-A: b\r\n\r\n`),
    )
    expect(response.status).toBe(200)
    expect(response.field('content-length')).toBeUndefined()
    expect(response.field('x-a')).toBe('b')
  })

  test.each(['204 No Content', '304 Not Modified'])(
    '%s: the connection goes on with the next answer',
    async (status) => {
      upstream.on('/any/bodiless', (request) => request.send(`HTTP/1.1 ${status}\r\nETag: "x"\r\n\r\n`))
      upstream.on('/any/after', (request) => request.reply('200 OK', [], 'after'))
      const wire = await Wire.open(gateway.port)
      wire.request('GET /any/bodiless')
      const first = await wire.response()
      wire.request('GET /any/after')
      const second = await wire.response()
      wire.close()
      expect(first?.status).toBe(Number(status.slice(0, 3)))
      expect(first?.field('etag')).toBe('"x"')
      expect(first?.field('content-length')).toBeUndefined()
      expect(first?.field('transfer-encoding')).toBeUndefined()
      expect(second?.body).toBe('after')
    },
  )

  test('304 keeps the Content-Length of what it stands for', async () => {
    const { response } = await through('GET /any/not-modified', (request) =>
      request.send('HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "x"\r\n\r\n'),
    )
    expect(response.status).toBe(304)
    expect(response.field('content-length')).toBe('99')
  })

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ])('%s answered %j leaves the client connection usable', async (method, bytes) => {
    upstream.on('/any/over', (request) => request.send(bytes))
    upstream.on('/any/after', (request) => request.reply('200 OK', [], 'after'))
    const wire = await Wire.open(gateway.port)
    wire.request(`${method} /any/over`)
    await wire.response(method)
    wire.request('GET /any/after')
    expect(await wire.response()).toMatchObject({ status: 200, body: 'after' })
    wire.close()
  })

  test('HEAD, 204 and 304 leave the upstream connection usable', async () => {
    upstream.on('/any/reuse', (request) => {
      if (request.method === 'HEAD') request.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
      else request.reply('200 OK', [], request.connection.toString())
    })
    await call(gateway.port, 'HEAD /any/reuse')
    const { body } = await call(gateway.port, 'GET /any/reuse')
    const [head, get] = upstream.to('/any/reuse')
    expect(body).toBe(String(get?.connection))
    expect(get?.connection).toBe(head?.connection)
  })
})

describe('status line', () => {
  test.each(['200 OK', '201 Created', '404 Not Here', '418 I am a teapot', '299 Odd', '503 Busy', '599 Network'])(
    '%s reaches the client with its reason',
    async (status) => {
      const { response } = await through('GET /any/status', (request) => request.reply(status, [], 'body'))
      expect(`${response.status} ${response.reason}`).toBe(status)
      expect(response.body).toBe('body')
    },
  )

  test('no reason gives the usual one', async () => {
    const { response } = await through('GET /any/reasonless', (request) =>
      request.send('HTTP/1.1 202 \r\nContent-Length: 0\r\n\r\n'),
    )
    expect(`${response.status} ${response.reason}`).toBe('202 Accepted')
  })
})

describe('OPTIONS, TRACE, CONNECT', () => {
  test('OPTIONS goes to the upstream', async () => {
    const { sent, response } = await through('OPTIONS /any/options', (request) =>
      request.reply('204 No Content', ['Allow: GET']),
    )
    expect(sent.method).toBe('OPTIONS')
    expect(response.status).toBe(204)
    expect(response.field('allow')).toBe('GET')
  })

  test('OPTIONS with Max-Forwards 0 is answered by the gateway', async () => {
    const response = await call(gateway.port, 'OPTIONS /any/no-hops', ['Max-Forwards: 0'])
    expect(response.status).toBe(200)
    expect(response.field('allow')).toContain('GET')
    expect(upstream.to('/any/no-hops')).toEqual([])
  })

  test('OPTIONS with Max-Forwards 3 arrives with 2', async () => {
    const { sent } = await through('OPTIONS /any/hops', ok, ['Max-Forwards: 3'])
    expect(sent.field('max-forwards')).toBe('2')
  })

  test('Max-Forwards of other methods is left alone', async () => {
    const { sent } = await through('GET /any/hops-get', ok, ['Max-Forwards: 0'])
    expect(sent.field('max-forwards')).toBe('0')
  })

  test.each(['TRACE', 'CONNECT'])('%s is refused with what is allowed', async (method) => {
    const response = await call(gateway.port, `${method} /any/refused`)
    expect(response.status).toBe(405)
    expect(response.field('allow')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
    expect(JSON.parse(response.body)).toMatchObject({ error: 'method_not_supported' })
    expect(upstream.to('/any/refused')).toEqual([])
  })
})

describe('answers of the gateway itself', () => {
  test('no route: 404 as JSON with the request id', async () => {
    const response = await call(gateway.port, 'GET /nowhere', ['X-Request-Id: abc-1'])
    expect(response.status).toBe(404)
    expect(response.field('content-type')).toBe('application/json')
    expect(response.field('x-request-id')).toBe('abc-1')
    expect(JSON.parse(response.body)).toEqual({
      error: 'route_not_found',
      message: 'No route matches this request.',
      request_id: 'abc-1',
    })
  })

  test('a path without a route for the method: 405 with all that are allowed', async () => {
    const response = await call(gateway.port, 'PUT /limited')
    expect(response.status).toBe(405)
    const allowed = (response.field('allow') as string).split(', ')
    expect(allowed.sort()).toEqual(['DELETE', 'GET', 'HEAD', 'POST'])
    expect(JSON.parse(response.body)).toMatchObject({ error: 'method_not_allowed' })
  })

  test('problem details for clients that ask for them', async () => {
    const response = await call(gateway.port, 'GET /nowhere', [
      'Accept: application/problem+json',
      'X-Request-Id: abc-2',
    ])
    expect(response.status).toBe(404)
    expect(response.field('content-type')).toBe('application/problem+json')
    expect(JSON.parse(response.body)).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'No route matches this request.',
      code: 'route_not_found',
      request_id: 'abc-2',
    })
  })

  test('HEAD gets the head of that answer, with its length, and nothing behind it', async () => {
    const wire = await Wire.open(gateway.port)
    wire.request('GET /nowhere', ['X-Request-Id: abc-3'])
    const get = await wire.response('GET')
    wire.request('HEAD /nowhere', ['X-Request-Id: abc-3'])
    const head = await wire.response('HEAD')
    wire.request('GET /nowhere', ['X-Request-Id: abc-3'])
    const next = await wire.response('GET')
    wire.close()
    expect(head?.status).toBe(404)
    expect(head?.field('content-length')).toBe(get?.field('content-length'))
    expect(next?.body).toBe(get?.body)
  })

  test('the connection stays open behind 404 and 405', async () => {
    const wire = await Wire.open(gateway.port)
    for (const line of ['GET /nowhere', 'PUT /limited', 'GET /nowhere']) {
      wire.request(line)
      expect((await wire.response())?.complete).toBe(true)
    }
    wire.close()
  })
})

describe('interim responses', () => {
  const fields = (response: WireResponse | null): string[][] =>
    (response?.interim ?? []).map((one) => [
      String(one.status),
      ...one.fields.map(([name, value]) => `${name}: ${value}`),
    ])

  test.each([1, 2])('%d × 103 Early Hints go on to the client before the answer', async (count) => {
    const { response } = await through('GET /any/hints', (request) => {
      for (let i = 0; i < count; i++) request.send(`HTTP/1.1 103 Early Hints\r\nlink: </${i}.css>; rel=preload\r\n\r\n`)
      request.reply('200 OK', ['X-A: b'], 'body')
    })
    expect(fields(response)).toEqual(Array.from({ length: count }, (_, i) => ['103', `link: </${i}.css>; rel=preload`]))
    expect(`${response.status} ${response.reason}`).toBe('200 OK')
    expect(response.field('x-a')).toBe('b')
    expect(response.field('x-request-id')).toBeDefined()
    expect(response.body).toBe('body')
  })

  test.each([
    ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n', 'body'],
    ['204', 'HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n', ''],
    ['502 of its own', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n', null],
  ])('103, then %s', async (name, bytes, body) => {
    const { response } = await through(`GET /any/hints-${name.replaceAll(' ', '-')}`, (request) => {
      request.send('HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n')
      request.send(bytes)
    })
    expect(fields(response)).toEqual([['103', 'link: </a.css>']])
    if (body === null) expect(JSON.parse(response.body)).toMatchObject({ error: 'upstream_bad_response' })
    else expect(response.body).toBe(body)
  })

  test('the connection goes on with the next request', async () => {
    upstream.on('/any/hints-then', (request) => {
      request.send('HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n')
      request.reply('200 OK', [], 'first')
    })
    upstream.on('/any/hints-next', (request) => request.reply('200 OK', [], 'second'))
    const wire = await Wire.open(gateway.port)
    wire.request('GET /any/hints-then')
    expect((await wire.response())?.body).toBe('first')
    wire.request('GET /any/hints-next')
    const next = await wire.response()
    wire.close()
    expect(next?.body).toBe('second')
    expect(next?.interim).toEqual([])
  })

  test('100 Continue of the upstream stops at the gateway', async () => {
    const { response } = await through('GET /any/continue', (request) => {
      request.send('HTTP/1.1 100 Continue\r\n\r\n')
      request.reply('200 OK', [], 'body')
    })
    expect(response.interim).toEqual([])
    expect(response.body).toBe('body')
  })
})

describe('Expect', () => {
  test('100-continue is answered, the body arrives, the field does not', async () => {
    upstream.on('/any/expect', (request) => {
      void request.ended.then(() => request.reply('200 OK', [], request.body))
    })
    const wire = await Wire.open(gateway.port)
    wire.request('POST /any/expect', ['Expect: 100-continue', 'Content-Length: 5'])
    const arrived = await upstream.arrival('/any/expect')
    wire.send('hello')
    const response = await wire.response()
    wire.close()
    expect(response?.interim.map(({ status }) => status)).toEqual([100])
    expect(response?.body).toBe('hello')
    expect(arrived.field('expect')).toBeUndefined()
  })

  test('anything else is answered 417', async () => {
    const response = await call(gateway.port, 'POST /any/expect-odd', ['Expect: 200-ok', 'Content-Length: 0'])
    expect(response.status).toBe(417)
    expect(JSON.parse(response.body)).toMatchObject({ error: 'expectation_failed' })
    expect(upstream.to('/any/expect-odd')).toEqual([])
  })
})
