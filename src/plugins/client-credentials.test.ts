import { expect, test } from 'vitest'
import { formEncoded, prepareForm } from './client-credentials.ts'

const parameters = [['grant_type', 'a b']] as const

function fieldOf(headers: readonly string[], name: string): string | undefined {
  const place = headers.indexOf(name)
  return place === -1 ? undefined : headers[place + 1]
}

test('basic: both halves are form-encoded first, as RFC 6749 wants', () => {
  const { headers, start } = prepareForm(
    { client_id: 'my gateway', client_secret: 'a:b%c', client_auth: 'basic' },
    parameters,
  )
  const [, credentials = ''] = fieldOf(headers, 'authorization')?.split(' ') ?? []
  expect(Buffer.from(credentials, 'base64').toString()).toBe('my+gateway:a%3Ab%25c')
  expect(start).toBe('grant_type=a+b')
})

test('post: in the body', () => {
  const { headers, start } = prepareForm({ client_id: 'g', client_secret: 'a&b', client_auth: 'post' }, parameters)
  expect(fieldOf(headers, 'authorization')).toBeUndefined()
  expect(start).toBe('grant_type=a+b&client_id=g&client_secret=a%26b')
})

test('none: only the name, for the certificate proves it', () => {
  const { headers, start } = prepareForm({ client_id: 'g', client_auth: 'none' }, parameters)
  expect(fieldOf(headers, 'authorization')).toBeUndefined()
  expect(start).toBe('grant_type=a+b&client_id=g')
})

test('values survive the form', () => {
  for (const text of ['a b&c=d+e%f', '\u00e9\u20ac', '', '~*-._']) {
    expect(new URLSearchParams(`token=${formEncoded(text)}`).get('token')).toBe(text)
  }
})
