import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire } from '../support/wire.ts'

type Line = Record<string, unknown>

let upstream: RawUpstream
let gateway: RunningGateway

beforeAll(async () => {
  upstream = await RawUpstream.start()
  gateway = await startGateway(
    {
      access_log: {
        path: './access.log',
        request_headers: ['User-Agent', 'Authorization', 'Cookie', 'X-API-Key'],
        response_headers: ['X-Cache', 'Set-Cookie'],
      },
      limits: { body_size: '1kb' },
      routes: [
        { name: 'silent', paths: ['/silent/*'], upstream: 'raw', access_log: 'off' },
        { name: 'sampled', paths: ['/sampled/*'], upstream: 'raw', access_log: { sample: 0 } },
        { name: 'down', paths: ['/down/*'], upstream: 'http://127.0.0.1:1' },
        { name: 'any', paths: ['/any/*'], upstream: 'raw' },
      ],
      upstreams: [{ name: 'raw', targets: [{ target: upstream.target }] }],
    },
    { workers: 2 },
  )
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

function lines(file = 'access.log', of = gateway): Line[] {
  const path = join(of.folder, file)
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

/** The line of the request to `path`, once it is written. */
async function logged(path: string, of = gateway): Promise<Line> {
  await expect.poll(() => lines('access.log', of).some((line) => line['path'] === path), { timeout: 5000 }).toBe(true)
  return lines('access.log', of).find((line) => line['path'] === path) as Line
}

describe('the access log', () => {
  test('says of a request what was asked, what became of it, and how long who took', async () => {
    upstream.on('/any/full', (request) => {
      void request.ended.then(() => request.reply('201 Created', ['X-Cache: miss'], 'created'))
    })
    await call(
      gateway.port,
      'POST /any/full?x=1',
      ['X-Request-Id: id-full', 'User-Agent: test/1', 'Content-Length: 4', 'Host: Shop.test:80'],
      'body',
    )
    const line = await logged('/any/full')
    expect(line).toMatchObject({
      request_id: 'id-full',
      client_ip: '127.0.0.1',
      remote_ip: '127.0.0.1',
      method: 'POST',
      scheme: 'http',
      host: 'Shop.test:80',
      route: 'any',
      upstream: 'raw',
      target: upstream.target,
      status: 201,
      upstream_status: 201,
      attempts: 1,
      bytes_in: 4,
      bytes_out: 7,
      request_headers: { 'user-agent': 'test/1' },
      response_headers: { 'x-cache': 'miss' },
    })
    expect(line).not.toHaveProperty('failure')
    expect(new Date(line['time'] as string).getTime()).toBeGreaterThan(Date.now() - 60_000)
    const { duration_ms, gateway_ms, upstream_ms } = line as Record<string, number>
    expect(duration_ms).toBeGreaterThanOrEqual((gateway_ms as number) + (upstream_ms as number) - 0.01)
  })

  test('never holds query values, credentials or bodies', async () => {
    const secret = 'hunter2'
    upstream.on('/any/secret', (request) => {
      void request.ended.then(() => request.reply('200 OK', [`Set-Cookie: session=${secret}`], secret))
    })
    const fields = [
      `Authorization: Bearer ${secret}`,
      `Cookie: a=${secret}`,
      `X-API-Key: ${secret}`,
      `X-Other: ${secret}`,
    ]
    await call(
      gateway.port,
      `POST /any/secret?password=${secret}`,
      [...fields, `Content-Length: ${secret.length}`],
      secret,
    )
    const line = await logged('/any/secret')
    expect(JSON.stringify(line)).not.toContain(secret)
    expect(line['request_headers']).toEqual({ authorization: '***', cookie: '***', 'x-api-key': '***' })
    expect(line['response_headers']).toEqual({ 'set-cookie': '***' })
  })

  test.each([
    ['GET /nowhere', [], '', 404, 'route_not_found'],
    ['POST /any/too-large', ['Content-Length: 2000'], '', 413, 'body_too_large'],
    ['POST /any/ambiguous', ['Content-Length: 1', 'Content-Length: 2'], 'x', 400, 'bad_content_length'],
    ['GET /down/a', [], '', 502, 'upstream_connection_refused'],
  ] as const)('%s: the reason of a failure', async (line, fields, body, status, failure) => {
    await call(gateway.port, line, fields, body)
    const path = line.split(' ')[1] as string
    expect(await logged(path)).toMatchObject({ status, failure })
  })

  test('a path with quotes, control characters and what lies beyond ASCII is one line of JSON', async () => {
    await call(gateway.port, 'GET /any/%22%5D%C3%BC', ['User-Agent: "quoted" \\ \u00c3\u00bc\t\u00e2\u0080\u00a8.'])
    expect(await logged('/any/%22%5D%C3%BC')).toMatchObject({
      request_headers: { 'user-agent': '"quoted" \\ ü\t\u2028.' },
    })
  })

  test('off on a route: nothing of it; sample 0: failures only', async () => {
    upstream.on('/sampled/broken', (request) => request.socket.destroy())
    for (let i = 0; i < 10; i++) {
      await call(gateway.port, 'GET /silent/a')
      await call(gateway.port, 'GET /sampled/a')
    }
    await call(gateway.port, 'POST /sampled/broken', ['Content-Length: 1'], 'x')
    await call(gateway.port, 'GET /any/afterwards')
    await Promise.all([logged('/any/afterwards'), logged('/sampled/broken')])
    expect(lines().filter(({ path }) => path === '/silent/a' || path === '/sampled/a')).toEqual([])
  })

  test('a sample of a half logs about that many', async () => {
    const halved = await startGateway(
      {
        access_log: { path: './access.log', sample: 0.5 },
        routes: [{ name: 'any', upstream: `http://${upstream.target}` }],
      },
      { workers: 1 },
    )
    const wire = await Wire.open(halved.port)
    for (let i = 0; i < 400; i++) {
      wire.request('GET /half')
      await wire.response()
    }
    wire.close()
    expect(await halved.stop()).toBe(0)
    const count = lines('access.log', halved).length
    // Beyond seven standard deviations on either side.
    expect(count).toBeGreaterThan(130)
    expect(count).toBeLessThan(270)
  })

  test('query: true logs the query, too', async () => {
    const open = await startGateway(
      {
        access_log: { path: './access.log', query: true },
        routes: [{ name: 'any', upstream: `http://${upstream.target}` }],
      },
      { workers: 1 },
    )
    await call(open.port, 'GET /asked?a=1&b=%20')
    expect(await logged('/asked', open)).toMatchObject({ query: 'a=1&b=%20' })
  })
})

describe('rotation', () => {
  /** Requests over several connections, so that both workers write. */
  async function send(path: string, count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => call(gateway.port, `GET ${path}`)))
  }
  const count = (file: string, path: string): number => lines(file).filter((line) => line['path'] === path).length
  const file = (name: string): string => join(gateway.folder, name)

  test('SIGUSR2: what comes behind it goes to the new file, no line is lost', async () => {
    await send('/any/before', 40)
    renameSync(file('access.log'), file('rotated.log'))
    gateway.signal('SIGUSR2')
    await expect.poll(() => existsSync(file('access.log')), { timeout: 5000 }).toBe(true)
    await send('/any/behind', 40)
    await expect
      .poll(() => count('access.log', '/any/behind') + count('rotated.log', '/any/behind'), { timeout: 5000 })
      .toBe(40)
    await expect
      .poll(() => count('rotated.log', '/any/before') + count('access.log', '/any/before'), { timeout: 5000 })
      .toBe(40)
    // Both workers have the new file by now.
    await expect
      .poll(async () => {
        const before = lines('rotated.log').length
        await send('/any/later', 8)
        return lines('rotated.log').length - before
      })
      .toBe(0)
  })

  test('a file that was moved away is opened anew without being told', async () => {
    renameSync(file('access.log'), file('moved.log'))
    let sent = 0
    const both = (): number => count('access.log', '/any/moved') + count('moved.log', '/any/moved')
    await expect
      .poll(
        async () => {
          await send('/any/moved', 10)
          sent += 10
          return count('access.log', '/any/moved')
        },
        { timeout: 10_000, interval: 100 },
      )
      .toBeGreaterThan(0)
    await expect.poll(both, { timeout: 5000 }).toBe(sent)
  })
})

describe('/metrics adds up over two workers', () => {
  interface Sample {
    readonly name: string
    readonly labels: Readonly<Record<string, string>>
    readonly value: number
  }

  async function samples(of: RunningGateway): Promise<Sample[]> {
    return [...(await of.metrics()).matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels, value]) => ({
      name: name as string,
      labels: Object.fromEntries(
        [...(labels ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text]),
      ) as Record<string, string>,
      value: Number(value),
    }))
  }

  test('requests by route and status, failures by reason, bytes, connections', async () => {
    const counted = await startGateway(
      {
        access_log: { path: './access.log' },
        routes: [
          { name: 'up', paths: ['/up/*'], upstream: 'raw' },
          { name: 'down', paths: ['/down/*'], upstream: 'http://127.0.0.1:1' },
        ],
        upstreams: [{ name: 'raw', targets: [{ target: upstream.target }] }],
      },
      { workers: 2 },
    )
    upstream.on('/up/ok', (request) => void request.ended.then(() => request.reply('200 OK', [], '0123456789')))
    upstream.on('/up/missing', (request) => request.reply('404 Not Found', [], ''))
    upstream.on('/up/held', () => {})
    const times = <T>(count: number, one: () => Promise<T>): Promise<T[]> =>
      Promise.all(Array.from({ length: count }, one))
    await times(30, () => call(counted.port, 'POST /up/ok', ['Content-Length: 5'], 'hello'))
    await times(20, () => call(counted.port, 'GET /up/missing'))
    await times(10, () => call(counted.port, 'GET /down/a'))
    await times(5, () => call(counted.port, 'GET /nowhere'))
    const held = await Wire.open(counted.port)
    held.request('GET /up/held')
    await upstream.arrival('/up/held')

    const found = await samples(counted)
    const sum = (name: string, wanted: Readonly<Record<string, string>> = {}): number =>
      found
        .filter((one) => one.name === name && Object.entries(wanted).every(([key, value]) => one.labels[key] === value))
        .reduce((total, { value }) => total + value, 0)
    expect(sum('sluice_requests_total')).toBe(65)
    expect(sum('sluice_requests_total', { route: 'up', status: '200' })).toBe(30)
    expect(sum('sluice_requests_total', { route: 'up', status: '404' })).toBe(20)
    expect(sum('sluice_requests_total', { route: 'down', status: '502' })).toBe(10)
    expect(sum('sluice_requests_total', { status: '404' })).toBe(25)
    expect(sum('sluice_request_failures_total', { reason: 'upstream_connection_refused' })).toBe(10)
    expect(sum('sluice_request_failures_total', { reason: 'route_not_found' })).toBe(5)
    expect(sum('sluice_request_failures_total')).toBe(15)
    expect(sum('sluice_request_bytes_total', { route: 'up' })).toBe(150)
    expect(sum('sluice_response_bytes_total', { route: 'up' })).toBe(300)
    expect(sum('sluice_request_duration_seconds_count')).toBe(65)
    expect(sum('sluice_requests_in_flight')).toBe(1)
    expect(sum('sluice_connections_total')).toBe(66)
    expect(sum('sluice_connections_open')).toBe(1)
    expect(sum('sluice_upstream_connections_total', { upstream: 'raw' })).toBe(
      sum('sluice_upstream_connections_open', { upstream: 'raw', state: 'idle' }) + 1,
    )

    held.close()
    await expect.poll(() => lines('access.log', counted).length, { timeout: 5000 }).toBe(66)
    expect(lines('access.log', counted).filter(({ failure }) => failure === 'client_closed')).toHaveLength(1)
    await expect
      .poll(async () => (await samples(counted)).find(({ name }) => name === 'sluice_requests_in_flight')?.value)
      .toBe(0)
  })
})
