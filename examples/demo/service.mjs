/** What the demo's two services share: a JSON answer that also says what the service saw of the request. */
import { createServer } from 'node:http'

/** Routes are `METHOD /path` with `{id}` for one segment; the first that fits answers `[status, body]`. */
export function service(name, routes) {
  const table = Object.entries(routes).map(([key, answer]) => {
    const [method, path] = key.split(' ')
    return { method, pattern: new RegExp(`^${path.replace('{id}', '([^/]+)')}$`), answer }
  })

  return createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const { pathname } = new URL(request.url, 'http://service')
      const [status, answer] = find(table, request.method, pathname, body) ?? [404, { error: 'not found' }]
      response.writeHead(status, {
        'content-type': 'application/json',
        'x-powered-by': 'demo',
        'x-internal-token': 'must-not-reach-the-client',
      })
      response.end(`${JSON.stringify({ ...answer, service: name, saw: seen(request) })}\n`)
    })
  })
}

function find(table, method, path, body) {
  for (const route of table) {
    const match = route.method === method ? route.pattern.exec(path) : null
    if (match !== null) return route.answer(match[1], body)
  }
  return undefined
}

function seen(request) {
  const { url, method, headers } = request
  return {
    method,
    url,
    host: headers.host,
    request_id: headers['x-request-id'],
    via: headers.via,
    gateway: headers['x-gateway'],
  }
}
