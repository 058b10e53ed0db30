import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { findingsOf, issueWords, shown } from './issue.ts'

/** `path: message` of everything that `schema` finds wrong with `input`. */
function find(schema: z.ZodType, input: unknown): string[] {
  const result = schema.safeParse(input, { error: issueWords })
  return findingsOf(result.error?.issues ?? [], input).map(({ path, message }) => `${path.join('.')}: ${message}`)
}

describe('words', () => {
  test.each<[string, z.ZodType, unknown, string]>([
    ['positive integer', z.int().positive(), 'ten', 'must be a positive integer (got "ten")'],
    ['positive integer, too small', z.int().positive(), 0, 'must be a positive integer (got 0)'],
    ['positive integer, no integer', z.int().min(1), 1.5, 'must be a positive integer (got 1.5)'],
    ['range', z.int().min(0).max(65_535), 70_000, 'must be an integer from 0 to 65535 (got 70000)'],
    ['open range', z.number().gt(0).max(1), 0, 'must be a number above 0 and at most 1 (got 0)'],
    ['lower bound', z.number().min(2), 1, 'must be a number of at least 2 (got 1)'],
    ['upper bound', z.number().lt(2), 2, 'must be a number below 2 (got 2)'],
    ['multiple', z.number().multipleOf(5), 3, 'must be a multiple of 5 (got 3)'],
    ['bare string', z.string(), 5, 'must be a string: put it in quotes (got 5)'],
    ['empty string', z.string().min(1), '', 'must be a string that is not empty (got "")'],
    ['length', z.string().min(2).max(3), 'abcd', 'must be a string of 2 to 3 characters (got "abcd")'],
    ['list', z.array(z.string()).min(1), 'a', 'must be a list (got "a")'],
    ['empty list', z.array(z.string()).min(1), [], 'must be a list with at least one item (got an empty list)'],
    ['mapping', z.strictObject({}), [1], 'must be a mapping (got a list)'],
    ['record', z.record(z.string(), z.string()), null, 'must be a mapping (got nothing)'],
    ['boolean', z.boolean(), 'yes', 'must be true or false (got "yes")'],
    ['enum', z.enum(['a', 'b', 'c']), 'd', 'must be "a", "b" or "c" (got "d")'],
    ['literal', z.literal(1), 2, 'must be 1 (got 2)'],
    ['format', z.url(), 'x', 'must be a URL (got "x")'],
    ['union', z.union([z.string(), z.int().positive()]), true, 'must be a string or a positive integer (got true)'],
    [
      'union with wrapped members',
      z.union([z.string().transform(Number), z.boolean().optional()]),
      1,
      'must be a string or true or false (got 1)',
    ],
    ['own words', z.string().refine((text) => text === 'a', 'must be a'), 'b', 'must be a (got "b")'],
    ['own words that are no demand', z.string().refine(() => false, 'is taken'), 'b', 'is taken'],
    [
      'own words with the value',
      z.string().refine(() => false, 'must be a (got something)'),
      'b',
      'must be a (got something)',
    ],
  ])('%s', (_, schema, input, expected) => {
    expect(find(schema, input)).toEqual([`: ${expected}`])
  })

  test('what is missing is required', () => {
    expect(find(z.strictObject({ a: z.string(), b: z.union([z.string(), z.number()]), c: z.enum(['x']) }), {})).toEqual(
      ['a: is required', 'b: is required', 'c: is required'],
    )
  })

  test('one line per unknown key, each with its own suggestion', () => {
    const schema = z.strictObject({ limit: z.int(), window: z.int().optional() })
    expect(find(schema, { limt: 1, limit: 1, windw: 2, other: 3 })).toEqual([
      ': unknown key "limt" (did you mean "limit"?)',
      ': unknown key "windw" (did you mean "window"?)',
      ': unknown key "other"',
    ])
  })

  test('the branch of a union that was meant speaks', () => {
    const schema = z.strictObject({
      log: z.union([z.literal(false), z.string(), z.strictObject({ path: z.string() })]),
    })
    expect(find(schema, { log: { path: 1, pth: 2 } })).toEqual([
      'log.path: must be a string: put it in quotes (got 1)',
      'log: unknown key "pth" (did you mean "path"?)',
    ])
  })

  test('keys of a record', () => {
    const schema = z.record(z.string().regex(/^[a-z]+$/, 'must be lower-case'), z.string())
    expect(find(schema, { A: 'x' })).toEqual([': key "A" must be lower-case'])
  })

  test('values under secret keys are not shown', () => {
    expect(find(z.strictObject({ token: z.string() }), { token: 12345 })).toEqual([
      'token: must be a string: put it in quotes (got ***)',
    ])
  })
})

test('values are shown short', () => {
  expect(shown('x'.repeat(200)).length).toBeLessThan(80)
  expect([shown({ a: 1 }), shown([1]), shown([]), shown(null), shown('a"b')]).toEqual([
    'a mapping',
    'a list',
    'an empty list',
    'nothing',
    '"a\\"b"',
  ])
})
