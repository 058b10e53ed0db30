import { buildResponseHead } from '../../src/proxy/upstream/response-head.ts'

const small = ['content-type', 'application/json', 'content-length', '110', 'connection', 'keep-alive']
const usual = [
  'date',
  'Thu, 01 Jan 1970 00:00:00 GMT',
  'content-type',
  'application/json; charset=utf-8',
  'content-length',
  '110',
  'connection',
  'keep-alive',
  'cache-control',
  'private, max-age=0',
  'etag',
  'W/"6e-abcdef"',
  'vary',
  'Accept-Encoding',
  'x-powered-by',
  'Express',
  'set-cookie',
  'session=0123456789abcdef; Path=/; HttpOnly',
  'x-content-type-options',
  'nosniff',
]

function building(fields: readonly string[]): () => void {
  return () => {
    if (buildResponseHead(200, 'OK', fields) === null) throw new Error('no head')
  }
}

/** What a response costs whose head has not been seen before. */
export const suite = {
  name: 'response head',
  cases: { '3 fields': building(small), '10 fields': building(usual) },
}
