import { describe, expect, it } from 'vitest'
import { AddressSet } from '../core/address-set.ts'
import type { Exchange } from './exchange.ts'
import { decimal, FieldReader, fieldRoles, isSaneRequestId } from './fields.ts'

const roles = fieldRoles(['x-injected'])

function read(...fields: [string, string][]): { reader: FieldReader; headers: string[]; length: number } {
  const headers: string[] = []
  const reader = new FieldReader()
  reader.begin(roles, headers)
  for (const [name, value] of fields) reader.add(name, value)
  const length = reader.bodyLength()
  reader.dropConnectionFields()
  return { reader, headers, length }
}

describe('framing', () => {
  it.each([
    [[['content-length', '5']], 5, null],
    [
      [
        ['content-length', '5'],
        ['content-length', '5'],
      ],
      5,
      null,
    ],
    [
      [
        ['content-length', '5'],
        ['content-length', '6'],
      ],
      6,
      'bad_content_length',
    ],
    [[['content-length', '+5']], -1, 'bad_content_length'],
    [[['content-length', '5, 5']], -1, 'bad_content_length'],
    [[['content-length', '']], -1, 'bad_content_length'],
    [[['content-length', '0x5']], -1, 'bad_content_length'],
    [[['content-length', '99999999999999999999']], -1, 'bad_content_length'],
    [[['transfer-encoding', 'chunked']], -1, null],
    [[['transfer-encoding', 'Chunked']], -1, null],
    [[['transfer-encoding', 'gzip, chunked']], -1, 'bad_transfer_encoding'],
    [
      [
        ['transfer-encoding', 'chunked'],
        ['transfer-encoding', 'chunked'],
      ],
      -1,
      'bad_transfer_encoding',
    ],
    [[['transfer-encoding', 'xchunked']], -1, 'bad_transfer_encoding'],
    [
      [
        ['transfer-encoding', 'chunked'],
        ['content-length', '5'],
      ],
      -1,
      'bad_content_length',
    ],
    [[], 0, null],
  ] as [[string, string][], number, string | null][])('%j', (fields, length, fault) => {
    const result = read(...fields)
    expect(result.reader.fault).toBe(fault)
    if (fault === null) expect(result.length).toBe(length)
  })
})

describe('what stops at the gateway', () => {
  it('hop-by-hop fields, and those that Connection names', () => {
    const { headers } = read(
      ['connection', 'keep-alive, X-Hop'],
      ['x-hop', '1'],
      ['keep-alive', 'timeout=5'],
      ['te', 'trailers'],
      ['trailer', 'x'],
      ['upgrade', 'h2c'],
      ['proxy-authorization', 'Basic x'],
      ['x-stays', '2'],
    )
    expect(headers).toEqual(['x-stays', '2'])
  })

  it('identity headers, however often, and what plugins inject', () => {
    const { headers } = read(
      ['x-user-id', 'root'],
      ['x-user-id', 'admin'],
      ['x-tenant-id', 't'],
      ['x-injected', 'y'],
      ['a', 'b'],
    )
    expect(headers).toEqual(['a', 'b'])
  })

  it('a second Host, an expectation that nobody can meet, bytes that are not UTF-8', () => {
    expect(read(['host', 'a'], ['host', 'a']).reader.fault).toBe('bad_host')
    expect(read(['expect', '200-ok']).reader.fault).toBe('expectation_failed')
    expect(read(['expect', '100-Continue']).reader.fault).toBeNull()
    expect(read(['x', 'caf\ufffd']).reader.fault).toBe('bad_header')
  })
})

describe('the client behind proxies', () => {
  function client(remoteIp: string, trusted: string[], ...fields: [string, string][]): Exchange {
    const { reader } = read(...fields)
    const exchange = { remoteIp, authority: 'gw', scheme: 'http', port: 80 } as Exchange
    reader.resolveClient(exchange, new AddressSet(trusted))
    return exchange
  }

  it('an untrusted peer is the client, whatever it says', () => {
    const seen = client('203.0.113.9', ['10.0.0.0/8'], ['x-forwarded-for', '1.1.1.1'], ['x-forwarded-proto', 'https'])
    expect(seen).toMatchObject({
      clientIp: '203.0.113.9',
      forwardedFor: '203.0.113.9',
      scheme: 'http',
      forwardedHost: 'gw',
    })
  })

  it('walks back to the first address that no trusted proxy added', () => {
    const seen = client('10.0.0.1', ['10.0.0.0/8'], ['x-forwarded-for', '6.6.6.6, 203.0.113.9, 10.0.0.2'])
    expect(seen.clientIp).toBe('203.0.113.9')
    expect(seen.forwardedFor).toBe('6.6.6.6, 203.0.113.9, 10.0.0.2, 10.0.0.1')
  })

  it('stops where the list holds nonsense', () => {
    expect(client('10.0.0.1', ['10.0.0.0/8'], ['x-forwarded-for', 'unknown, 10.0.0.2']).clientIp).toBe('10.0.0.2')
  })

  it('takes scheme, host and port from a trusted proxy', () => {
    const seen = client(
      '10.0.0.1',
      ['10.0.0.1'],
      ['x-forwarded-proto', 'HTTPS'],
      ['x-forwarded-host', 'a.example'],
      ['x-forwarded-port', '8443'],
    )
    expect(seen).toMatchObject({ scheme: 'https', forwardedHost: 'a.example', port: 8443 })
  })

  it('reads Forwarded where X-Forwarded-For is missing', () => {
    expect(
      client('10.0.0.1', ['10.0.0.1'], ['forwarded', 'for="[2001:db8::7]:443";proto=https, for=10.0.0.1']).clientIp,
    ).toBe('2001:db8::7')
  })
})

it('keeps only request ids that need no quoting', () => {
  expect(isSaneRequestId('0190a7b2-7e1c:AZ_9/+=.')).toBe(true)
  for (const id of ['', 'a b', 'a"b', 'a\tb', 'ä', 'x'.repeat(129), '<script>']) expect(isSaneRequestId(id)).toBe(false)
})

it('reads decimals and nothing else', () => {
  expect(decimal('0')).toBe(0)
  expect(decimal('123456789012345')).toBe(123_456_789_012_345)
  for (const text of ['', '-1', '1.0', '1e3', ' 1', '1234567890123456']) expect(decimal(text)).toBe(-1)
})
