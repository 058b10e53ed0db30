import { describe, expect, test } from 'vitest'
import { parseConfig } from './document.ts'
import { formatFault } from './fault.ts'

const read = (text: string, env: NodeJS.ProcessEnv = {}) => parseConfig(text, 'f.yaml', '/nowhere', env)

describe('places', () => {
  const document = read(
    [
      'top: 1',
      'list:',
      '  - a: 1',
      '    b: { c: 2 }',
      '  - just text',
      'base: &base',
      '  x: 1',
      'merged:',
      '  <<: *base',
      '  y: *base',
    ].join('\n'),
  )
  test.each([
    [['top'], '1:1 top'],
    [['list', 0], '3:5 list[0]'],
    [['list', 0, 'b'], '4:5 list[0].b'],
    [['list', 0, 'b', 'c'], '4:10 list[0].b.c'],
    [['list', 1], '5:5 list[1]'],
    // What is missing: the innermost part that is there.
    [['list', 0, 'b', 'd'], '4:5 list[0].b.d'],
    [['nope'], '1:1 nope'],
    // What comes from elsewhere: where it is written.
    [['merged', 'x'], '7:3 merged.x'],
    [['merged', 'y'], '10:3 merged.y'],
    [['merged', 'y', 'x'], '7:3 merged.y.x'],
  ])('%j', (path, expected) => {
    expect(formatFault(document.fault(path, 'm'))).toBe(`f.yaml:${expected}: m`)
  })

  test('of a key that must not be there', () => {
    expect(formatFault(document.faultAtKey(['list', 0], 'b', 'm'))).toBe('f.yaml:4:5 list[0]: m')
  })

  test('in a file with CRLF and a byte order mark', () => {
    expect(formatFault(read('\ufeffa: 1\r\nb: 2\r\n').fault(['b'], 'm'))).toBe('f.yaml:2:1 b: m')
  })
})

describe('data', () => {
  test('is YAML 1.2: off, yes and 0o are what they look like', () => {
    expect(read('a: off\nb: yes\nc: true\nd: ~\ne: 1.0\nf: "1"').value).toEqual({
      a: 'off',
      b: 'yes',
      c: true,
      d: null,
      e: 1,
      f: '1',
    })
  })
  test('may be JSON, with tabs', () => {
    expect(read('{\n\t"a": [1,\n\t\t{"b": "c"}]\n}').value).toEqual({ a: [1, { b: 'c' }] })
  })
  test('aliases and merges: own keys go before merged ones, earlier before later', () => {
    const { value, faults } = read(
      'a: &a { x: 1, y: 1 }\nb: &b { y: 2, z: 2 }\nc: { <<: [*a, *b], z: 3 }\nd: { x: null, <<: *a }',
    )
    expect(faults).toEqual([])
    expect(value).toMatchObject({ c: { x: 1, y: 1, z: 3 }, d: { x: null, y: 1 } })
  })
  test('keys such as constructor are plain keys', () => {
    const { value } = read('a: &a { constructor: 1 }\nb: { <<: *a, toString: 2 }')
    expect(value).toEqual({ a: { constructor: 1 }, b: { constructor: 1, toString: 2 } })
  })
  test('__proto__ is refused and changes nothing', () => {
    const { value, faults } = read('__proto__: { polluted: true }\na: 1')
    expect(faults.map(formatFault)).toEqual(['f.yaml:1:1: keys must be plain words'])
    expect((value as { polluted?: boolean }).polluted).toBeUndefined()
  })
  test('a few lines of aliases do not become billions of values', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `l${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`,
    )
    const { faults } = read(['l0: &l0 [x]', ...levels].join('\n'))
    expect(faults.map(({ message }) => message)).toEqual(['the aliases of this file expand to too many values'])
  })
  test('a mapping merged into itself', () => {
    const document = read('a: &a\n  b: 1\n  <<: *a\n')
    expect(document.faults.map(({ message }) => message)).toEqual(['a mapping is merged into itself'])
    expect(formatFault(document.fault(['a', 'c'], 'm'))).toBe('f.yaml:1:1 a.c: m')
  })
  test('nesting beyond reason is a fault, no crash', () => {
    expect(read('['.repeat(100_000)).faults).not.toEqual([])
  })
})

describe('references', () => {
  test('remember where they were and what must not be shown', () => {
    const document = read('a: ${env:A}\nb: ["x${env:A}y", plain]', { A: 'hunter2' })
    expect(document.value).toEqual({ a: 'hunter2', b: ['xhunter2y', 'plain'] })
    expect([...document.secrets].sort()).toEqual(['hunter2', 'xhunter2y'])
    expect([...document.filled.keys()]).toEqual(['a', 'b[0]'])
    expect(document.fault(['a'], 'got "hunter2"').message).toBe('got "***"')
  })
  test('are not looked for in keys, comments and numbers', () => {
    expect(read('${env:A}: 1 # ${env:B}').value).toEqual({ '${env:A}': 1 })
  })
})
