import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { request } from '../../../test/support/plugin.ts'
import { check, componentsOf, message } from '../../../test/support/signature.ts'
import type { RequestContext } from '../../core/context.ts'
import { signedText } from './signed-text.ts'

const refused = { code: 'credentials_invalid', status: 401 }

describe('parameters of the query', () => {
  // RFC 9421 §2.2.8.
  const query = 'param=value&foo=bar&baz=batman&qux='
  const spaces = 'var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something'

  test.each([
    [query, 'baz', 'batman'],
    [query, 'qux', ''],
    [query, 'param', 'value'],
    [spaces, 'var', 'this%20is%20a%20big%0Amultiline%20value'],
    [spaces, 'bar', 'with%20plus%20whitespace'],
    [spaces, 'fa%C3%A7ade%22%3A%20', 'something'],
  ])('of %s: %s', (text, name, value) => {
    const list = componentsOf(`("@query-param";name="${name}")`)
    const base = signedText(message({ query: text }), list)
    expect(base).toBe(`"@query-param";name="${name}": ${value}\n"@signature-params": ("@query-param";name="${name}")`)
  })

  test('that are there twice can not be signed', () => {
    const list = componentsOf('("@query-param";name="a")')
    expect(signedText(message({ query: 'a=1&a=2' }), list)).toBeNull()
    expect(signedText(message({ query: 'a=1&%61=2' }), list)).toBeNull()
  })
})

describe('RFC 9421 appendix B', () => {
  const rsaPss = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----`
  const ed25519 = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----`
  const shared = 'uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=='
  const config = {
    keys: [
      { id: 'test-key-rsa-pss', consumer: 'rsa', public_key: rsaPss },
      { id: 'test-key-ed25519', consumer: 'ed', public_key: ed25519 },
      { id: 'test-shared-secret', consumer: 'shared', secret: shared, secret_is_base64: true },
    ],
    required: ['@authority'],
  }

  /** B.2: the request of all examples. */
  function example(input: string, signature: string): RequestContext {
    const digest = 'sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:'
    return request({
      method: 'POST',
      scheme: 'https',
      authority: 'example.com',
      path: '/foo',
      query: 'param=Value&Pet=dog',
      bodyLength: 18,
      headers: [
        'date',
        'Tue, 20 Apr 2021 02:07:55 GMT',
        'content-type',
        'application/json',
        'content-digest',
        digest,
        'signature-input',
        input,
        'signature',
        signature,
      ],
    })
  }

  beforeEach(() => void vi.useFakeTimers({ now: 1_618_884_480_000, toFake: ['Date'] }))
  afterEach(() => void vi.useRealTimers())

  test.each([
    [
      'B.2.2 selective, RSA-PSS',
      'rsa',
      'sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
      'sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:',
    ],
    [
      'B.2.3 full coverage, RSA-PSS',
      'rsa',
      'sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"',
      'sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:',
    ],
    [
      'B.2.5 HMAC',
      'shared',
      'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
      'sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:',
    ],
    [
      'B.2.6 Ed25519',
      'ed',
      'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
      'sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:',
    ],
  ])('%s', (_name, consumer, input, signature) => {
    const ctx = example(input, signature)
    expect(check(config, ctx)).toBeUndefined()
    expect(ctx.consumer?.id).toBe(consumer)

    const changed = example(input, signature)
    changed.authority = 'example.org'
    expect(check(config, changed)).toMatchObject({ ...refused, detail: 'signature_wrong' })
    const bit = example(
      input,
      signature.replace(/=:(.)/, (_all, first: string) => `=:${first === 'A' ? 'B' : 'A'}`),
    )
    expect(check(config, bit)).toMatchObject({ ...refused, detail: 'signature_wrong' })
  })

  test('B.2.1 signs nothing of the request, which is never enough', () => {
    const input = 'sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"'
    const signature =
      'sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:'
    expect(check(config, example(input, signature))).toMatchObject({ detail: 'component_not_covered' })
  })
})
