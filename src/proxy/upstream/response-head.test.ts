import { describe, expect, test } from 'vitest'
import type { ResponseHead } from './client.ts'
import { buildResponseHead, interimHeaders, parseContentLength } from './response-head.ts'

function head(fields: string[], status = 200, reason = 'OK'): ResponseHead {
  const built = buildResponseHead(status, reason, fields)
  expect(built).not.toBeNull()
  return built as ResponseHead
}

test('joins status and fields, without a line end at the end', () => {
  const { block, headers, ascii, contentLength, status } = head(['content-type', 'text/plain', 'x-a', '1', 'x-a', '2'])
  expect(block).toBe('200 OK\r\ncontent-type: text/plain\r\nx-a: 1\r\nx-a: 2')
  expect(headers).toEqual(['content-type', 'text/plain', 'x-a', '1', 'x-a', '2'])
  expect({ ascii, contentLength, status }).toEqual({ ascii: true, contentLength: -1, status: 200 })
})

test('a head without fields, and without a reason', () => {
  expect(head([], 204, '').block).toBe('204 No Content')
  expect(head([], 299, '').block).toBe('299 Unknown')
  expect(head([], 404, 'Nothing Here').block).toBe('404 Nothing Here')
})

test('drops hop-by-hop fields, framing and date', () => {
  const dropped = [
    'connection',
    'keep-alive',
    'proxy-authenticate',
    'proxy-authorization',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
    'date',
  ]
  const { headers, contentLength } = head([
    ...dropped.flatMap((name) => [name, 'x']),
    'content-length',
    '5',
    'etag',
    '"1"',
  ])
  expect(headers).toEqual(['etag', '"1"'])
  expect(contentLength).toBe(5)
})

test('drops what Connection names, in any case, in any place, in any of its lines', () => {
  const fields = ['x-one', '1', 'connection', 'close, X-One , ,', 'x-two', '2', 'connection', 'x-TWO', 'x-three', '3']
  expect(head(fields).headers).toEqual(['x-three', '3'])
  expect(head(['connection', 'Keep-Alive', 'x-three', '3']).headers).toEqual(['x-three', '3'])
})

test('tells bytes beyond ASCII', () => {
  expect(head(['x-name', 'caf\u00e9'])).toMatchObject({ ascii: false, block: '200 OK\r\nx-name: caf\u00e9' })
  expect(head([], 200, 'Tr\u00e8s bien').ascii).toBe(false)
})

describe('refuses', () => {
  test.each([
    ['a line end in a value', ['x', 'a\r\nset-cookie: b']],
    ['a lone carriage return', ['x', 'a\rb']],
    ['a zero byte', ['x', 'a\0b']],
    ['a name that is no token', ['x y', '1']],
    ['an empty name', ['', '1']],
    ['a Content-Length that is no number', ['content-length', '5x']],
    ['an empty Content-Length', ['content-length', '']],
    ['a signed Content-Length', ['content-length', '+5']],
    ['two that differ', ['content-length', '5', 'content-length', '6']],
    ['a list that differs', ['content-length', '5, 6']],
  ])('%s', (_name, fields) => {
    expect(buildResponseHead(200, 'OK', fields)).toBeNull()
  })

  test.each([0, 99, 600, 1000, Number.NaN])('status %d', (status) => {
    expect(buildResponseHead(status, '', [])).toBeNull()
  })

  test('a control character in the reason', () => {
    expect(buildResponseHead(200, 'OK\r\nx: y', [])).toBeNull()
  })
})

test('Content-Length: equal repetitions count as one', () => {
  expect(head(['content-length', '5', 'content-length', '5']).contentLength).toBe(5)
  expect(parseContentLength('5, 5 ,5')).toBe(5)
  expect(parseContentLength('0')).toBe(0)
  expect(parseContentLength('9'.repeat(16))).toBe(-1)
})

test('interim responses', () => {
  expect(interimHeaders(['link', '</a.css>', 'connection', 'x-b', 'x-b', '1'])).toEqual(['link', '</a.css>'])
  expect(interimHeaders(['link', 'a\nb'])).toBeNull()
})
