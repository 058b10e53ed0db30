import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { duration, size } from './units.ts'

describe('duration', () => {
  test.each([
    ['50ms', 50],
    ['10s', 10_000],
    ['1m', 60_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['0.25s', 250],
    [2.5, 2500],
    ['3', 3000],
  ])('%s is %d ms', (input, expected) => {
    expect(duration().parse(input)).toBe(expected)
  })

  test.each(['', 'ten', '10 s', '-1s', '1w', '1m30s', Number.NaN, Infinity, 0, '0.1ms', '25d', null, true, 'off'])(
    '%s is refused',
    (input) => {
      expect(duration().safeParse(input).success).toBe(false)
    },
  )

  test('says what it wants in one sentence', () => {
    const issue = duration().safeParse(['1s']).error?.issues
    expect(issue?.map(({ message }) => message)).toEqual([
      'must be a duration such as 50ms, 10s or 1m, or a number of seconds',
    ])
  })

  test('off, false and 0 mean no limit where that is allowed', () => {
    expect(['off', false, 0, '0s'].map((input) => duration({ off: true }).parse(input))).toEqual([0, 0, 0, 0])
  })

  test('defaults stand in the JSON Schema as they are written', () => {
    const schema = z.strictObject({ limit: duration().prefault('10s').describe('How long.') })
    expect(z.toJSONSchema(schema, { io: 'input' }).properties).toEqual({
      limit: { default: '10s', description: 'How long.', type: ['string', 'number'], unit: 'duration', off: false },
    })
    expect(schema.parse({})).toEqual({ limit: 10_000 })
  })
})

describe('size', () => {
  test.each([
    ['512', 512],
    ['512b', 512],
    ['64kb', 65_536],
    ['64KB', 65_536],
    ['1mb', 1_048_576],
    ['1.5mb', 1_572_864],
    [1000, 1000],
  ])('%s is %d bytes', (input, expected) => {
    expect(size().parse(input)).toBe(expected)
  })

  test.each(['1k', '1kib', 'kb', '-1', 0, '1e3', '99999999999gb'])('%s is refused', (input) => {
    expect(size().safeParse(input).success).toBe(false)
  })

  test('keeps its bounds', () => {
    const bounded = size({ max: [16 * 1024, '16kb'] })
    expect(bounded.parse('16kb')).toBe(16_384)
    expect(bounded.safeParse(16_385).error?.issues[0]?.message).toBe('must be at most 16kb')
  })
})
