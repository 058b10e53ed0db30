import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { RawUpstream } from '../support/raw-upstream.ts'
import { call, type WireResponse } from '../support/wire.ts'

let upstream: RawUpstream
let gateway: RunningGateway

/** Writes its name, and what it sees of those before it, to request and answer. */
const marker = (name: string): string => `
export default {
  name: '${name}', summary: 'Leaves a mark.', class: 'traffic', priority: 100,
  schema: { parse: (config) => config ?? {} },
  create: (config) => ({
    access: (ctx) => { ctx.headers.push('x-order', config.mark ?? '${name}') },
    response: (ctx) => { ctx.responseHeaders.push('x-order', config.mark ?? '${name}') },
  }),
}
`

/** Refuses, and says whether request-termination would have answered before. */
const refuser = `
export default {
  name: 'refuser', summary: 'Refuses.', class: 'traffic', priority: 100,
  schema: { parse: (config) => config },
  create: () => ({ access: () => ({ status: 451, headers: ['x-refused-by', 'refuser'], body: 'no' }) }),
}
`

beforeAll(async () => {
  upstream = await RawUpstream.start()
  const mark = (name: string, extra: object = {}): object => ({ use: `./${name}.js`, ...extra })
  gateway = await startGateway(
    {
      access_log: 'off',
      plugins: [mark('a'), mark('b'), { name: 'security-headers', config: {} }],
      routes: [
        { name: 'plain', paths: ['/plain'], upstream: 'raw' },
        { name: 'marked', paths: ['/marked'], upstream: 'marked' },
        {
          name: 'own',
          paths: ['/own'],
          upstream: 'marked',
          plugins: [mark('d'), mark('b', { config: { mark: 'b of the route' } })],
        },
        {
          name: 'placed',
          paths: ['/placed'],
          upstream: 'raw',
          plugins: [mark('d', { before: 'a' }), mark('c', { after: 'a' })],
        },
        {
          name: 'reduced',
          paths: ['/reduced'],
          upstream: 'marked',
          plugins: [
            { use: './a.js', enabled: false },
            { use: './c.js', enabled: false },
            { name: 'security-headers', enabled: false },
          ],
        },
        {
          name: 'first',
          paths: ['/first'],
          upstream: 'raw',
          plugins: [
            { name: 'request-termination', config: { status_code: 200, body: 'terminated' } },
            mark('refuser', { before: 'cors' }),
          ],
        },
        {
          name: 'last',
          paths: ['/last'],
          upstream: 'raw',
          plugins: [
            { name: 'request-termination', config: { status_code: 200, body: 'terminated' } },
            mark('refuser', { after: 'request-termination' }),
          ],
        },
        {
          name: 'blocked',
          paths: ['/blocked'],
          upstream: 'raw',
          plugins: [
            { name: 'request-termination', config: { status_code: 200, body: 'terminated' } },
            { name: 'ip-restriction', config: { deny: ['127.0.0.0/8'] } },
            { name: 'cors', config: { origins: ['https://app.test'] } },
          ],
        },
      ],
      upstreams: [
        { name: 'raw', targets: [{ target: upstream.target }] },
        {
          name: 'marked',
          targets: [{ target: upstream.target }],
          plugins: [mark('c'), mark('a', { config: { mark: 'a of the upstream' } })],
        },
      ],
    },
    {
      workers: 1,
      files: {
        ...Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [`${name}.js`, marker(name)])),
        'refuser.js': refuser,
      },
    },
  )
})

afterAll(async () => {
  await stopGateways()
  await upstream.stop()
})

/** The marks in the order of the access steps and of the response steps, and the answer. */
async function marks(path: string): Promise<{ access: string[]; response: string[]; answer: WireResponse }> {
  const answer = await call(gateway.port, `GET ${path}`)
  return {
    access: upstream.to(path).at(-1)?.all('x-order') ?? [],
    response: (answer.field('x-order') ?? '').split('|'),
    answer,
  }
}

describe('which plugins run on a route, and in which order', () => {
  test('those of the top level, in the order of the file, in both phases', async () => {
    const { access, response, answer } = await marks('/plain')
    expect(access).toEqual(['a', 'b'])
    expect(response).toEqual(['a', 'b'])
    expect(answer.field('x-content-type-options')).toBe('nosniff')
  })

  test("then those of the upstream; its own settings go before the top level's", async () => {
    const { access } = await marks('/marked')
    expect(access).toEqual(['b', 'c', 'a of the upstream'])
  })

  test('then those of the route; its settings go before all others', async () => {
    const { access } = await marks('/own')
    expect(access).toEqual(['c', 'a of the upstream', 'd', 'b of the route'])
  })

  test('before and after place one next to another', async () => {
    const { access } = await marks('/placed')
    expect(access).toEqual(['d', 'a', 'c', 'b'])
  })

  test('enabled: false takes away what the top level or the upstream brings', async () => {
    const { access, answer } = await marks('/reduced')
    expect(access).toEqual(['b'])
    expect(answer.field('x-content-type-options')).toBeUndefined()
  })
})

describe('a plugin that answers ends the access phase', () => {
  test('one placed before all built-in ones', async () => {
    const { answer } = await marks('/first')
    expect(answer.status).toBe(451)
    expect(answer.field('x-refused-by')).toBe('refuser')
    expect(upstream.to('/first')).toEqual([])
  })

  test('one placed behind request-termination never runs', async () => {
    const { answer } = await marks('/last')
    expect(answer).toMatchObject({ status: 200, body: 'terminated' })
  })

  test('ip-restriction goes before request-termination, whatever the order in the file', async () => {
    const { answer } = await marks('/blocked')
    expect(answer.status).toBe(403)
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'ip_forbidden' })
  })

  test('cors answers a preflight before ip-restriction, and marks its refusals', async () => {
    const fields = ['Origin: https://app.test', 'Access-Control-Request-Method: GET']
    const preflight = await call(gateway.port, 'OPTIONS /blocked', fields)
    expect(preflight.status).toBeLessThan(300)
    expect(preflight.field('access-control-allow-origin')).toBe('https://app.test')
    const refused = await call(gateway.port, 'GET /blocked', ['Origin: https://app.test'])
    expect(refused.status).toBe(403)
    expect(refused.field('access-control-allow-origin')).toBe('https://app.test')
  })

  test('response steps run on answers of the gateway, too', async () => {
    const { response, answer } = await marks('/first')
    expect(response).toEqual(['a', 'b'])
    expect(answer.field('x-content-type-options')).toBe('nosniff')
  })
})
