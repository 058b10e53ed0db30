import { describe, expect, test } from 'vitest'
import { patternFault } from './pattern.ts'

describe('patternFault', () => {
  test.each([
    '^/v[0-9]+/',
    '^(?:a|b)+$',
    '(\\.[a-z]+)*',
    '^/(?<id>[^/]+)(?:/[^/]+)*$',
    '(?:ab?)+',
    '(?:(?:ab)[a-z]+)*',
    '[)(+*]+',
    '\\(a+\\)+',
    '(a{2,3}b)+',
    '(?=a+)b',
    'a++'.slice(0, 2),
    '(?:(?:x[0-9]*),)*',
  ])('%s is fine', (source) => {
    expect(patternFault(source)).toBeNull()
  })

  // With something behind it that does not match, each takes twice as long with every character.
  test.each([
    '(a+)+',
    '(a*)*$',
    '([a-z]+-?)*',
    '(?:\\w+)*x',
    '((a+))+',
    '((?:a|b*))*',
    '(?:a+|b)+',
    '(x+x*)+',
    '(?:[0-9]+){2,}',
    '(?<n>.*)*',
  ])('%s could stall the gateway', (source) => {
    expect(patternFault(source)).toMatch(/^must not repeat a group/)
  })

  test.each(['', '(', '[z-a]', '*a', '(?<a>x)(?<a>y)', '\\'])('%j is no regular expression', (source) => {
    expect(patternFault(source)).toMatch(/^must be a regular expression after "~"/)
  })
})
