import { expect, test } from 'vitest'
import { didYouMean, nearest } from './nearest.ts'

test.each([
  ['limt', ['limit', 'window'], 'limit'],
  ['uspteam', ['upstream', 'timeouts'], 'upstream'],
  ['Paths', ['paths'], 'paths'],
  ['wieght', ['weight', 'height'], 'weight'],
  ['xyz', ['limit', 'window'], null],
  ['a', ['b', 'c'], 'b'],
  ['name', [], null],
])('%s among %j is %s', (word, candidates, expected) => {
  expect(nearest(word, candidates)).toBe(expected)
})

test('a suggestion is a phrase, or nothing', () => {
  expect(didYouMean('corse', ['cors'])).toBe(' (did you mean "cors"?)')
  expect(didYouMean('something', ['cors'])).toBe('')
})
