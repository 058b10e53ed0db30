import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fill } from './fill.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-fill-'))
afterAll(() => rmSync(dir, { recursive: true }))

const env = { NAME: 'value', EMPTY: '' }

test.each([
  ['plain $text {with} braces', 'plain $text {with} braces'],
  ['${env:NAME}', 'value'],
  ['a-${env:NAME}-${env:NAME}', 'a-value-value'],
  ['${env:EMPTY}', ''],
  ['${env:EMPTY:-x}', 'x'],
  ['${env:MISSING:-}', ''],
  ['${env:MISSING:-a:-b}', 'a:-b'],
  ['$${env:NAME}', '${env:NAME}'],
  ['^/x$', '^/x$'],
])('%s becomes %s', (text, expected) => {
  expect(fill(text, dir, env)).toMatchObject({ text: expected, faults: [] })
})

test('inserted text is not read again', () => {
  expect(fill('${env:NAME}', dir, { NAME: '${env:OTHER}' })).toMatchObject({ text: '${env:OTHER}', faults: [] })
})

test('a file comes without the line break at its end, and is named', () => {
  writeFileSync(join(dir, 'secret'), 'hunter2\r\n')
  writeFileSync(join(dir, 'lines'), 'a\nb\n\n')
  expect(fill('x${file:secret}', dir, env)).toEqual({
    text: 'xhunter2',
    isFilled: true,
    secrets: ['hunter2'],
    files: [join(dir, 'secret')],
    fromEnvironment: false,
    faults: [],
  })
  expect(fill('${file:./lines}', dir, env).text).toBe('a\nb\n')
})

test('says what is missing, and names the file all the same', () => {
  expect(fill('${env:MISSING} ${file:nope}', dir, env)).toMatchObject({
    files: [join(dir, 'nope')],
    faults: ['the environment variable MISSING is not set', "the file nope can't be read: no such file"],
  })
})

test('what is too large for a secret is refused', () => {
  writeFileSync(join(dir, 'large'), Buffer.alloc((1 << 20) + 1, 'x'))
  expect(fill('${file:large}', dir, env).faults).toEqual(["the file large can't be read: it is larger than 1mb"])
})

test.each(['${NAME}', '${vault:x}', '${env:1}', '${env:}', '${file:}', '${}', '${env:NAME'])(
  '%s is no reference',
  (text) => {
    expect(fill(text, dir, env).faults).toHaveLength(1)
  },
)
